"""The job that rebuilds an index, in this process: for a terminal, where no system is running."""

import dagster as dg

from enhancer_dagster.defs.build import build_defs
from enhancer_dagster.defs.in_process import why_it_failed
from enhancer_dagster.defs.index.built import BuildConfig
from enhancer_dagster.defs.index.jobs import PULLS, rebuild_index_job
from enhancer_dagster.defs.index.pulled import PullConfig
from enhancer_dagster.defs.index.tenant_partitions import TENANTS
from enhancer_dagster.domain.errors import PermanentError
from enhancer_dagster.settings import Settings


def rebuild_here(settings: Settings, tenant_id: str, *, full: bool, allow_shrinking: bool) -> None:
    """Pull, build, check and publish one tenant's index; progress goes to stderr.

    Raises:
        PermanentError: A step failed; the message says which and why. The last snapshot goes on serving.
    """
    definitions = build_defs(settings, {"settings": settings, "io_manager": dg.mem_io_manager})
    config = dg.RunConfig(
        ops={
            **dict.fromkeys(PULLS, PullConfig(full=full)),
            "ticket_index": BuildConfig(allow_shrinking=allow_shrinking),
        },
        loggers={"console": {"config": {"log_level": "INFO"}}},
    )
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(TENANTS.name or "", [tenant_id])
        result = definitions.resolve_job_def(rebuild_index_job.name).execute_in_process(
            run_config=config, partition_key=tenant_id, instance=instance, raise_on_error=False
        )
    if not result.success:
        raise PermanentError(why_it_failed(result))
