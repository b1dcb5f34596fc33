"""A tenant whose service desk is away: its claims pause, but for one probe at a time.

The states of jobs change in `transitions` alone; rows are locked in the same order, jobs before tenants.
"""

from typing import Final

PAUSE: Final = """
    -- Each probe that comes back doubles the wait for the next one: 15 s, 30 s, ... up to 10 minutes, or as
    -- long as the service desk asked for. Other runs that come back change nothing.
    INSERT INTO bridge.tenants AS tenant (tenant_id, paused_since, probe_at, failures)
    VALUES (%(tenant_id)s, now(), greatest(
        now() + interval '15 seconds', now() + make_interval(secs => %(wait_seconds)s)), 1)
    ON CONFLICT (tenant_id) DO UPDATE SET
        paused_since = coalesce(tenant.paused_since, now()),
        failures = CASE WHEN tenant.paused_since IS NULL THEN 1
            WHEN tenant.probe_job_id = %(job_id)s THEN tenant.failures + 1 ELSE tenant.failures END,
        probe_at = greatest(tenant.probe_at, now() + make_interval(secs => %(wait_seconds)s),
            CASE WHEN tenant.paused_since IS NULL THEN now() + interval '15 seconds'
                WHEN tenant.probe_job_id = %(job_id)s THEN now() + make_interval(
                    secs => least(600, 15 * power(2, least(tenant.failures, 20)))) END),
        probe_job_id = nullif(tenant.probe_job_id, %(job_id)s)
"""

RELEASE: Final = """
    -- A probe got through after an outage: jobs that it sent back need not wait out their back-off. After a
    -- single failure they do, or one ticket that always fails would pause its tenant again and again.
    UPDATE bridge.jobs AS job SET available_at = now()
    FROM bridge.tenants tenant
    WHERE tenant.tenant_id = %(tenant_id)s AND tenant.probe_job_id = %(job_id)s AND tenant.failures > 1
        AND job.tenant_id = tenant.tenant_id AND job.state = 'queued' AND job.available_at > now()
        AND coalesce(job.not_before <= now(), true)
"""

RESUME: Final = """
    -- The tenant's pause ends, since its probe got through.
    UPDATE bridge.tenants SET paused_since = NULL, probe_at = NULL, failures = 0
    WHERE tenant_id = %(tenant_id)s AND probe_job_id = %(job_id)s AND paused_since IS NOT NULL
    RETURNING tenant_id
"""
