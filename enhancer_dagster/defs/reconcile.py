"""Brings queue, history and Dagster's runs back together where a process died or a connection was cut.

What a run could not say itself is said here, within a minute and in both directions: from the queue's open
jobs to their runs, from jobs whose run was given up to history, and from history's open rows to their jobs.
A crashed run's job is not ended: its lease runs out, and the queue gives it another attempt or, the third
time, buries it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import cast

import dagster as dg
from loguru import logger

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

SETTLING = timedelta(seconds=20)
"""A job that is younger may just be getting its run, and a run that ended later may just be telling so."""

MOST_GIVEN_UP = 1000
"""A dead job whose run was given up is looked at as long as it is among so many of the newest."""


@dg.sensor(
    name="reconcile_sensor",
    minimum_interval_seconds=INTERVAL_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes history that was missed, and records runs that crashed or were cancelled.",
)
def reconcile_sensor(context: dg.SensorEvaluationContext, ports: dg.ResourceParam[Ports]) -> dg.SkipReason:
    """Reconcile once, and say in the tick what was done."""
    try:
        done = reconcile(context.instance, ports, datetime.now(UTC))
    except (BridgeUnavailableError, DatabaseUnavailableError) as error:
        return dg.SkipReason(f"cannot reconcile now: {error}")
    return dg.SkipReason("; ".join(done) or "queue, history and runs agree")


def reconcile(instance: dg.DagsterInstance, ports: Ports, now: datetime) -> Sequence[str]:
    """Everything that is to be brought together at this moment; what was done, in words.

    Raises:
        BridgeUnavailableError: The queue cannot be asked; what was done before stays.
        DatabaseUnavailableError: History cannot be written, likewise.
    """
    return [
        *write_missed_history(ports),
        *complete_given_up_jobs(ports),
        *end_lost_runs(instance, ports, now),
        *close_rows(ports, now),
    ]


def write_missed_history(ports: Ports) -> Iterator[str]:
    """Write the rows that history does not have yet."""
    missed = ports.ledger.unwritten_history()
    for record in missed:
        ports.history.save(record)
    ports.ledger.acknowledge_history(missed)
    return (f"history row of ticket {record.ticket_id} written" for record in missed)


def complete_given_up_jobs(ports: Ports) -> Iterator[str]:
    """From jobs whose run was given up to history: it may have done its work before its lease ran out."""
    given_up = list(islice(ports.ledger.jobs(run_given_up=True), MOST_GIVEN_UP))
    rows = ports.history.records([job.job_id for job in given_up])
    for job in given_up:
        row = rows.get(job.job_id)
        if row and (row.attempt, row.dagster_run_id) == (job.attempt, job.run_id):
            yield from _end_recorded(_Fate(job, job.run_id, "its run had done its work"), row, ports)


def end_lost_runs(instance: dg.DagsterInstance, ports: Ports, now: datetime) -> Iterator[str]:
    """From the queue's open jobs to their runs: record what the run could not, and why."""
    jobs = list(ports.ledger.jobs(states=OPEN_STATES))
    lost = [fate for job, run in _with_runs(instance, jobs) if (fate := _fate(instance, job, run, now))]
    rows = ports.history.records([fate.job.job_id for fate in lost])
    for fate in lost:
        row = rows.get(fate.job.job_id)
        if row and row.attempt >= fate.job.attempt and row.status is not HistoryStatus.PENDING:
            yield from _end_recorded(fate, row, ports)
        elif fate.is_cancelled:
            yield from _end(fate, _failed(fate.job, fate.run_id, fate.reason), JobOutcome.FAILED, ports)
        else:
            ports.history.save(_failed(fate.job, fate.run_id, fate.reason))
            yield _said(fate.job, fate.reason)


def close_rows(ports: Ports, now: datetime) -> Iterator[str]:
    """From history's open rows to their jobs: no row stays pending whose job nobody works on."""
    pending = [row for row in ports.history.pending() if row.started_at < now - SETTLING]
    if not pending:
        return
    jobs = {job.job_id: job for job in ports.ledger.jobs(correlation_ids=[r.correlation_id for r in pending])}
    for row in pending:
        job = jobs.get(row.job_id)
        if job and job.state in OPEN_STATES and job.attempt == row.attempt:
            continue
        reason = (job and job.error) or "the run ended before it could record its outcome"
        closed = row.model_copy(
            update={"status": HistoryStatus.FAILED, "completed_at": now, "error_message": reason}
        )
        ports.history.save(closed)
        yield f"ticket {row.ticket_id}: {reason}"


@dataclass(frozen=True)
class _Fate:
    """What became of the run of a job, where that run does nothing more."""

    job: JobRow
    run_id: str | None
    reason: str
    is_cancelled: bool = False


def _with_runs(
    instance: dg.DagsterInstance, jobs: Sequence[JobRow]
) -> Iterator[tuple[JobRow, dg.RunRecord | None]]:
    """Each job with its run: by the id that came to the fence or, before that, by the run's tags."""
    by_id = _records(instance, run_ids=[job.run_id for job in jobs if job.run_id])
    waiting = [str(job.job_id) for job in jobs if not job.run_id]
    by_tags = _records(instance, tags={"job_id": waiting}) if waiting else []
    known = {record.dagster_run.run_id: record for record in by_id}
    tagged: Mapping[tuple[str | None, str | None], dg.RunRecord] = {
        (tags.get("job_id"), tags.get("attempt")): record
        for record in reversed(by_tags)
        if (tags := record.dagster_run.tags)
    }
    for job in jobs:
        run = known.get(job.run_id) if job.run_id else tagged.get((str(job.job_id), str(job.attempt)))
        yield job, run


def _records(instance: dg.DagsterInstance, **wanted: object) -> Sequence[dg.RunRecord]:
    if not all(wanted.values()):
        return []
    return instance.get_run_records(dg.RunsFilter(**wanted))  # type: ignore[arg-type]


def _fate(instance: dg.DagsterInstance, job: JobRow, run: dg.RunRecord | None, now: datetime) -> _Fate | None:
    if run is None:
        began = _moment(job, "started_at") or _moment(job, "claimed_at")
        reason = "Dagster does not know its run" if job.run_id else "it was claimed and no run was started"
        return _Fate(job, job.run_id, reason) if began and began < now - SETTLING else None
    run_id, status = run.dagster_run.run_id, run.dagster_run.status
    if status is dg.DagsterRunStatus.CANCELED:
        return _Fate(job, run_id, "the run was cancelled", is_cancelled=True)
    if status is dg.DagsterRunStatus.FAILURE:
        return _Fate(job, run_id, _why_it_failed(instance, run_id))
    if status is dg.DagsterRunStatus.SUCCESS and (run.end_time or 0) < (now - SETTLING).timestamp():
        return _Fate(job, run_id, "the run succeeded, and the queue was not told")
    return None


def _end_recorded(fate: _Fate, row: HistoryRecord, ports: Ports) -> Iterator[str]:
    """The run had written its outcome and vanished before it told the queue."""
    if row.status is HistoryStatus.COMPLETED:
        yield from _end(fate, row, JobOutcome.COMPLETED, ports)


def _end(fate: _Fate, record: HistoryRecord, outcome: JobOutcome, ports: Ports) -> Iterator[str]:
    saved = save_if_possible(record, ports.history)
    finish = Finish(outcome, record, error=record.error_message, history_written=saved)
    try:
        ports.queue.finish(fate.job.job_id, fate.job.attempt, fate.run_id or "", finish)
    except FenceClosedError:
        return  # another run took the job over meanwhile, or a person or a change asked for it anew
    yield _said(fate.job, f"{outcome.value}: {fate.reason}")


def _said(job: JobRow, what: str) -> str:
    ids = {"correlation_id": str(job.correlation_id), "tenant_id": job.tenant_id, "ticket_id": job.ticket_id}
    logger.bind(**ids).warning("reconciled: {}", what)
    return f"ticket {job.ticket_id}: {what}"


def _failed(job: JobRow, run_id: str | None, reason: str) -> HistoryRecord:
    return HistoryRecord(
        correlation_id=job.correlation_id,
        tenant_id=job.tenant_id,
        ticket_id=job.ticket_id,
        job_id=job.job_id,
        status=HistoryStatus.FAILED,
        attempt=job.attempt,
        dagster_run_id=run_id,
        received_at=job.received_at,
        started_at=_moment(job, "started_at") or _moment(job, "claimed_at") or job.received_at,
        completed_at=datetime.now(UTC),
        error_message=reason,
    )


def _moment(job: JobRow, name: str) -> datetime | None:
    moment = job.extra.get(name)
    return datetime.fromisoformat(cast("str", moment)) if moment else None


def _why_it_failed(instance: dg.DagsterInstance, run_id: str) -> str:
    events = instance.all_logs(run_id, of_type=dg.DagsterEventType.PIPELINE_FAILURE)
    message = events[-1].message if events else ""
    return f"the run ended before it could record its outcome: {message or 'its worker vanished'}"
