"""Puts jobs, sensors, assets and resources together; tests and dry runs put other resources in."""

from collections.abc import Mapping

import dagster as dg

from enhancer_dagster.defs.enhance_ticket import enhance_ticket_job
from enhancer_dagster.defs.reconcile import reconcile_sensor
from enhancer_dagster.defs.resources import default_resources
from enhancer_dagster.defs.ticket_sensors import ticket_sensors


def build_defs(resource_overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """All definitions.

    Args:
        resource_overrides: By name, in place of the resources made from the settings.
    """
    return dg.Definitions(
        jobs=[enhance_ticket_job],
        sensors=[*ticket_sensors(), reconcile_sensor],
        resources={**default_resources(), **(resource_overrides or {})},
    )
