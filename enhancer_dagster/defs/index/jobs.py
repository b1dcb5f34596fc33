"""The job that rebuilds one tenant's index, and the schedules that run it for all."""

from collections.abc import Iterator

import dagster as dg

from enhancer_dagster.defs.index.pulled import PullConfig
from enhancer_dagster.defs.index.tenant_partitions import TENANTS
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.settings import Settings

GROUP = "index"
PULLS = ("resolved_tickets", "kb_articles", "ip_inventory")
MAX_RUNTIME_SECONDS = 6 * 3600

rebuild_index_job = dg.define_asset_job(
    "rebuild_index_job",
    selection=dg.AssetSelection.groups(GROUP),
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": str(MAX_RUNTIME_SECONDS), "dagster/priority": "-1"},
    description="Pulls what changed from one tenant's service desk and publishes a new index.",
)


def build_request(tenant_id: str, *, full: bool, run_key: str | None = None) -> dg.RunRequest:
    """A run of the job for one tenant; `full` reads everything and notices what was deleted."""
    return dg.RunRequest(
        run_key=run_key,
        partition_key=tenant_id,
        run_config=dg.RunConfig(ops=dict.fromkeys(PULLS, PullConfig(full=full))),
        tags={"tenant_id": tenant_id, "full": str(full).lower()},
    )


def index_schedules(settings: Settings) -> list[dg.ScheduleDefinition]:
    """A nightly full build and an hourly incremental one, each for every active tenant."""
    return [
        _schedule("nightly_index_schedule", settings.index_full_cron, full=True),
        _schedule("hourly_index_schedule", settings.index_incremental_cron, full=False),
    ]


def _schedule(name: str, cron: str, *, full: bool) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name,
        job=rebuild_index_job,
        cron_schedule=cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Full builds, one run a tenant." if full else "Incremental builds, one run a tenant.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, ports: dg.ResourceParam[Ports]
    ) -> Iterator[dg.RunRequest]:
        known = set(context.instance.get_dynamic_partitions(TENANTS.name or ""))
        for tenant in ports.tenants.list_all():
            if tenant.active and tenant.tenant_id in known:
                yield build_request(tenant.tenant_id, full=full)

    return schedule
