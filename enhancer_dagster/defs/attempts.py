"""What every op of a ticket does around its work: the fence, log lines with ids, failure recorded."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import dagster as dg
from loguru import logger

from enhancer_dagster.defs.policies import retry_transient_errors
from enhancer_dagster.domain.deadlines import Clock, Deadline
from enhancer_dagster.domain.errors import EnhancerError
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.domain.steps.record import conclude_failure, failed_record
from enhancer_dagster.domain.steps.values import Enhancement, GatheredContext, TicketRun
from enhancer_dagster.domain.tickets import Claim
from enhancer_dagster.settings import Settings


@dataclass(frozen=True)
class RunClock:
    """When this run began. Made with the run's resources, so that all its ops share it.

    Attributes:
        started_at: Wall clock, UTC.
        soft_limit: After it no new work is begun, and what there is gets written.
        write_limit: After it that is not written any more, so that a failure is recorded before the hard
            limit ends the worker.
    """

    soft_limit: Deadline
    write_limit: Deadline
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))

    @classmethod
    def started(cls, settings: Settings, clock: Clock = time.monotonic) -> "RunClock":
        """The clock of a run that begins now; half of the time between the two limits is for writing."""
        soft, hard = settings.run_soft_limit_seconds, settings.run_hard_limit_seconds
        return cls(Deadline.after(soft, clock), Deadline.after(soft + max(0.0, hard - soft) / 2, clock))

    def now(self) -> datetime:
        """The time, UTC."""
        return datetime.now(UTC)


@dataclass(frozen=True)
class JobKey:
    """Which job an op works on, before the queue has let it in."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    correlation_id: UUID
    attempt: int


@dataclass(frozen=True)
class Admitted:
    """The queue let this run in: what it said, and the attempt that follows from it."""

    claim: Claim
    run: TicketRun


@contextmanager
def admitted(
    context: dg.OpExecutionContext,
    key: JobKey,
    ports: Ports,
    clock: RunClock,
    gathered: GatheredContext | None = None,
    enhancement: Enhancement | None = None,
) -> Iterator[Admitted]:
    """Pass the fence, and see to it that a failure inside is recorded.

    Args:
        context: The op's.
        key: The job.
        ports: The outside.
        clock: The run's.
        gathered: What is known of the ticket, for the record of a failure.
        enhancement: What was written already, likewise.

    Raises:
        dagster.RetryRequested: As `policies.retry_transient_errors`.
        dagster.Failure: Likewise.
    """
    let_in: list[Admitted] = []

    def record_failure(error: EnhancerError) -> None:
        for admission in let_in:
            record = failed_record(admission.run, str(error), clock.now(), gathered, enhancement)
            conclude_failure(error, record, admission.run, ports.history, ports.queue, clock.now())

    ids = {"correlation_id": str(key.correlation_id), "tenant_id": key.tenant_id, "ticket_id": key.ticket_id}
    with (
        logger.contextualize(**ids, run_id=context.run_id),
        retry_transient_errors(context, clock.soft_limit, record_failure),
    ):
        let_in.append(pass_fence(context, key, ports, clock))
        yield let_in[0]


def pass_fence(context: dg.OpExecutionContext, key: JobKey, ports: Ports, clock: RunClock) -> Admitted:
    """Ask the queue whether this run is still the job's current one.

    Raises:
        FenceClosedError: It is not.
        BridgeUnavailableError: The queue cannot be asked.
    """
    claim = ports.queue.start(key.job_id, key.attempt, context.run_id, context.run.parent_run_id)
    return Admitted(claim, TicketRun.of(claim, context.run_id, clock.started_at))


def key_of(gathered: GatheredContext) -> JobKey:
    """The job that `gathered` is about."""
    run = gathered.run
    return JobKey(run.job_id, run.tenant_id, run.ticket_id, run.correlation_id, run.attempt)
