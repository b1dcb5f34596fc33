"""What Dagster runs: ops and the job, sensors, assets, schedules, resources, policies.

Ops call the steps of the domain, translate errors and attach metadata; they hold no logic of their own.
"""
