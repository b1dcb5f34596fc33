"""One partition a tenant, following the tenants table; a tenant without an index gets its first build."""

import dagster as dg

from enhancer_dagster.defs.index.jobs import build_request, rebuild_index_job
from enhancer_dagster.defs.index.tenant_partitions import TENANTS
from enhancer_dagster.domain.errors import ConfigurationError, DatabaseUnavailableError
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.settings import Settings

INTERVAL_SECONDS = 15


@dg.sensor(
    name="tenant_partitions_sensor",
    job=rebuild_index_job,
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Keeps the partitions in step with the tenants, and asks for a new tenant's first index.",
)
def tenant_partitions_sensor(
    context: dg.SensorEvaluationContext,
    ports: dg.ResourceParam[Ports],
    settings: dg.ResourceParam[Settings],
) -> dg.SensorResult | dg.SkipReason:
    """Add and remove partitions, and request first builds."""
    try:
        tenants = {tenant.tenant_id: tenant for tenant in ports.tenants.list_all()}
    except (DatabaseUnavailableError, ConfigurationError) as error:
        return dg.SkipReason(f"the tenants cannot be read: {error}")
    known = set(context.instance.get_dynamic_partitions(TENANTS.name or ""))
    added, gone = sorted(tenants.keys() - known), sorted(known - tenants.keys())
    requests = [
        TENANTS.build_add_request(added) if added else None,
        TENANTS.build_delete_request(gone) if gone else None,
    ]
    first_builds = [
        build_request(
            tenant_id, full=True, run_key=f"first-index:{tenant_id}:{tenant.created_at.isoformat()}"
        )
        for tenant_id, tenant in tenants.items()
        if tenant.active and TenantLocation(settings.index_location, tenant_id).current() is None
    ]
    if not (added or gone or first_builds):
        return dg.SkipReason("partitions and tenants agree")
    return dg.SensorResult(
        run_requests=first_builds, dynamic_partitions_requests=[r for r in requests if r is not None]
    )
