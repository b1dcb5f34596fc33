"""The nightly job that prunes runs, ticks and, where it is wanted, history."""

from datetime import UTC, datetime, timedelta

import dagster as dg

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.database import Database
from enhancer_dagster.defs.assembly import op_outputs, required
from enhancer_dagster.defs.retention.runs import Past, prune_runs
from enhancer_dagster.defs.retention.ticks import prune_ticks
from enhancer_dagster.settings import Settings

JOB_NAME = "retention_job"
LOCATION_TAG = "dagster/code_location"
MAX_RUNTIME_SECONDS = 4 * 3600


@dg.op
def prune_old_runs(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Forget runs that ended long ago, with their events, logs and op outputs."""
    own = {name: tag for name, tag in context.run.tags.items() if name == LOCATION_TAG}
    past = Past(context.instance, op_outputs(settings), own, context.log.info)
    pruned = prune_runs(past, _days_ago(settings.retention_runs_days))
    context.add_output_metadata(
        {"runs": pruned.runs, "op outputs": pruned.op_outputs, "old runs still needed": pruned.kept}
    )


@dg.op(ins={"after": dg.In(dg.Nothing)})
def prune_old_ticks(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Forget ticks of sensors and schedules."""
    before = _days_ago(settings.retention_ticks_days)
    skipped_before = _days_ago(settings.retention_skipped_ticks_days)
    instigators = prune_ticks(context.instance, before, max(before, skipped_before))
    context.add_output_metadata({"sensors and schedules": instigators})


@dg.op(ins={"after": dg.In(dg.Nothing)})
def prune_old_history(context: dg.OpExecutionContext, settings: dg.ResourceParam[Settings]) -> None:
    """Forget rows of history, only where a setting says so."""
    rows = 0
    if settings.retention_history_days is not None:
        url = settings.history_database_url or required(settings.database_url, "ENHANCER_DATABASE_URL")
        rows = PostgresHistory(Database(url)).prune(_days_ago(settings.retention_history_days))
    else:
        context.log.info("history is kept for ever: ENHANCER_RETENTION_HISTORY_DAYS is not set")
    context.add_output_metadata({"rows": rows})


@dg.job(
    name=JOB_NAME,
    executor_def=dg.in_process_executor,
    tags={"dagster/max_runtime": str(MAX_RUNTIME_SECONDS), "dagster/priority": "-2"},
    description="Forgets runs, op outputs, ticks and history by age; never what is open or still needed.",
)
def retention_job() -> None:
    """Wires the three ops, one after another."""
    prune_old_history(prune_old_ticks(prune_old_runs()))


def retention_schedule(settings: Settings) -> dg.ScheduleDefinition:
    """The job, at the time that `settings` name."""
    return dg.ScheduleDefinition(
        name="retention_schedule",
        job=retention_job,
        cron_schedule=settings.retention_cron,
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description="Prunes what is old.",
    )


def _days_ago(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)
