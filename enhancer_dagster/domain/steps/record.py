"""Step four, and what a failure does instead: the history row, and the end of the job in the queue."""

from dataclasses import replace
from datetime import datetime, timedelta

from loguru import logger

from enhancer_dagster.domain.errors import (
    DatabaseUnavailableError,
    EnhancerError,
    FenceClosedError,
    ServiceDeskThrottledError,
    ServiceDeskUnavailableError,
    TransientError,
    WriteOutcomeUnknownError,
)
from enhancer_dagster.domain.outcomes import HistoryRecord, HistoryStatus, JobOutcome
from enhancer_dagster.domain.ports import Finish, History, JobQueue
from enhancer_dagster.domain.steps.values import Enhancement, GatheredContext, TicketRun, WrittenSection

SERVICE_DESK_DOWN = (ServiceDeskUnavailableError, ServiceDeskThrottledError, WriteOutcomeUnknownError)
"""After one of these the job goes back to the queue, which waits and tries again by itself."""


def completed_record(
    gathered: GatheredContext, enhancement: Enhancement, written: WrittenSection, now: datetime
) -> HistoryRecord:
    """The row of a ticket that carries its section."""
    return _with_enhancement(
        gathered.run.record(HistoryStatus.COMPLETED, now), gathered, enhancement
    ).model_copy(
        update={
            "content_hash": gathered.content_hash,
            "enhancement": written.markdown,
            "sources": enhancement.sources,
            "note_id": written.note_id,
        }
    )


def failed_record(
    run: TicketRun,
    error: str,
    now: datetime,
    gathered: GatheredContext | None = None,
    enhancement: Enhancement | None = None,
) -> HistoryRecord:
    """The row of a run that failed, with what it had found and spent until then."""
    record = run.record(HistoryStatus.FAILED, now).model_copy(update={"error_message": error})
    return _with_enhancement(record, gathered, enhancement)


def skipped_record(run: TicketRun, now: datetime) -> HistoryRecord:
    """The row of a job that was not due."""
    return run.record(HistoryStatus.COMPLETED, now).model_copy(update={"skipped": True})


def save_if_possible(record: HistoryRecord, history: History) -> bool:
    """Write the row and tell whether that worked: `finish` carries the record, so it can be written later."""
    try:
        history.save(record)
    except DatabaseUnavailableError as error:
        logger.warning("history cannot be written now, the reconciler will: {}", error)
        return False
    return True


def conclude(finish: Finish, run: TicketRun, history: History, queue: JobQueue) -> None:
    """Write the row and end the job.

    Raises:
        BridgeUnavailableError: The queue could not be told; the row is written.
        FenceClosedError: Another run owns the job by now.
    """
    saved = save_if_possible(finish.record, history)
    queue.finish(run.job_id, run.attempt, run.run_id, replace(finish, history_written=saved))


def conclude_failure(
    error: EnhancerError,
    record: HistoryRecord,
    run: TicketRun,
    history: History,
    queue: JobQueue,
    now: datetime,
) -> None:
    """End the job after `error`, which itself is raised on by the caller, so nothing is raised here."""
    if isinstance(error, FenceClosedError):
        return
    try:
        conclude(_finish_after(error, record, now), run, history, queue)
    except EnhancerError as second:
        logger.warning("the queue cannot be told of the failure, the reconciler will: {}", second)


def _finish_after(error: EnhancerError, record: HistoryRecord, now: datetime) -> Finish:
    if not isinstance(error, SERVICE_DESK_DOWN):
        return Finish(JobOutcome.FAILED, record, error=str(error))
    wait = error.retry_after if isinstance(error, TransientError) else None
    not_before = now + timedelta(seconds=wait) if wait else None
    return Finish(JobOutcome.RETRY, record, error=str(error), not_before=not_before)


def _with_enhancement(
    record: HistoryRecord, gathered: GatheredContext | None, enhancement: Enhancement | None
) -> HistoryRecord:
    known: dict[str, object] = {}
    if gathered:
        known |= {
            "context_nodes_success": gathered.state.nodes_success,
            "context_nodes_failed": gathered.state.nodes_failed,
        }
    if enhancement:
        usage = enhancement.usage
        known |= {
            "generated_without_ai": enhancement.generated_without_ai,
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "cost_usd": usage.cost_usd,
        }
        if not enhancement.generated_without_ai:
            known |= {"llm_provider": usage.provider, "llm_model": usage.model}
    return record.model_copy(update=known)
