"""Brings queue, history and Dagster's runs back together where a process died or a connection was cut.

What a run could not say itself is said here, within a minute: rows that history missed, runs that crashed,
and runs that a person cancelled. A crashed run's job is not ended: its lease runs out, and the queue gives it
another attempt or, the third time, gives it up.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import cast

import dagster as dg

from enhancer_dagster.domain.errors import (
    BridgeUnavailableError,
    DatabaseUnavailableError,
    FenceClosedError,
)
from enhancer_dagster.domain.outcomes import HistoryRecord, HistoryStatus, JobOutcome
from enhancer_dagster.domain.ports import Finish, JobRow, Ports
from enhancer_dagster.domain.steps.record import save_if_possible

INTERVAL_SECONDS = 15
OPEN_STATES = ("claimed", "running")
DEAD = (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)


@dg.sensor(
    name="reconcile_sensor",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes history that was missed, and records runs that crashed or were cancelled.",
)
def reconcile_sensor(context: dg.SensorEvaluationContext, ports: dg.ResourceParam[Ports]) -> dg.SkipReason:
    """Reconcile once, and say in the tick what was done."""
    try:
        done = [*write_missed_history(ports), *record_dead_runs(context.instance, ports)]
    except (BridgeUnavailableError, DatabaseUnavailableError) as error:
        return dg.SkipReason(f"cannot reconcile now: {error}")
    return dg.SkipReason("; ".join(done) or "queue, history and runs agree")


def write_missed_history(ports: Ports) -> Sequence[str]:
    """Write the rows that history does not have yet; what was done, in words."""
    missed = ports.ledger.unwritten_history()
    for record in missed:
        ports.history.save(record)
    ports.ledger.acknowledge_history(missed)
    return [f"history row of ticket {record.ticket_id} written" for record in missed]


def record_dead_runs(instance: dg.DagsterInstance, ports: Ports) -> Sequence[str]:
    """Record why runs ended that could not do so themselves; what was done, in words."""
    jobs = {job.run_id: job for job in ports.ledger.jobs(states=OPEN_STATES) if job.run_id}
    if not jobs:
        return []
    wanted = dg.RunsFilter(run_ids=[run_id for run_id in jobs if run_id], statuses=list(DEAD))
    done = []
    for run in instance.get_runs(wanted):
        job = jobs[run.run_id]
        if run.status == dg.DagsterRunStatus.CANCELED:
            done += _end_cancelled(job, ports)
        elif ports.history.pending_jobs([job.job_id]):
            reason = _why_it_failed(instance, run.run_id)
            ports.history.save(_failed(job, reason))
            done.append(f"ticket {job.ticket_id}: {reason}")
    return done


def _end_cancelled(job: JobRow, ports: Ports) -> Sequence[str]:
    record = _failed(job, "the run was cancelled")
    saved = save_if_possible(record, ports.history)
    finish = Finish(JobOutcome.FAILED, record, error=record.error_message, history_written=saved)
    try:
        ports.queue.finish(job.job_id, job.attempt, job.run_id or "", finish)
    except FenceClosedError:
        return []  # another run took the job over meanwhile
    return [f"ticket {job.ticket_id}: the run was cancelled"]


def _failed(job: JobRow, reason: str) -> HistoryRecord:
    return HistoryRecord(
        correlation_id=job.correlation_id,
        tenant_id=job.tenant_id,
        ticket_id=job.ticket_id,
        job_id=job.job_id,
        status=HistoryStatus.FAILED,
        attempt=job.attempt,
        dagster_run_id=job.run_id,
        received_at=job.received_at,
        started_at=_started_at(job),
        completed_at=datetime.now(UTC),
        error_message=reason,
    )


def _started_at(job: JobRow) -> datetime:
    started = job.extra.get("started_at")
    return datetime.fromisoformat(cast("str", started)) if started else job.received_at


def _why_it_failed(instance: dg.DagsterInstance, run_id: str) -> str:
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.PIPELINE_FAILURE)
    message = events[-1].message if events else ""
    return f"the run ended before it could record its outcome: {message or 'its worker vanished'}"
