"""The same ops in this process, against real service desk, index and LLM, with nothing written anywhere."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, cast
from uuid import UUID, uuid4

import dagster as dg

from enhancer_dagster.defs.assembly import ports_of
from enhancer_dagster.defs.build import build_defs
from enhancer_dagster.defs.config import FIRST_OP, JOB_NAME, EnhanceTicketConfig
from enhancer_dagster.defs.in_process import why_it_failed
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import PermanentError
from enhancer_dagster.domain.outcomes import HistoryRecord, LastEnhancement
from enhancer_dagster.domain.ports import Finish, History, ServiceDesk, ServiceDesks
from enhancer_dagster.domain.steps.values import Enhancement, GatheredContext, WrittenSection
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.domain.tickets import Claim, EnhancementJob, Ticket
from enhancer_dagster.settings import Settings


@dataclass(frozen=True)
class DryRun:
    """What would have been written."""

    section: str
    context: GatheredContext
    enhancement: Enhancement

    def as_json(self) -> dict[str, Any]:
        """All of it."""
        return {
            "section": self.section,
            "context": self.context.model_dump(mode="json"),
            "enhancement": self.enhancement.model_dump(mode="json"),
        }


def dry_run_ticket(settings: Settings, tenant_id: str, ticket_id: str) -> DryRun:
    """Run the job on one ticket as if somebody had asked for it, and keep what it would have written.

    Raises:
        PermanentError: The run failed, or the ticket is one that is never enhanced; the message says why.
    """
    real = ports_of(settings)
    ports = replace(
        real,
        service_desks=_ReadOnlyDesks(real.service_desks),
        history=_ReadOnlyHistory(real.history),
        queue=_QueueOfOne(tenant_id, ticket_id),
    )
    job = build_defs(settings, {"ports": ports, "settings": settings, "io_manager": dg.mem_io_manager})
    config = EnhanceTicketConfig(
        job_id=str(uuid4()), tenant_id=tenant_id, ticket_id=ticket_id, correlation_id=str(uuid4())
    )
    result = job.resolve_job_def(JOB_NAME).execute_in_process(
        run_config=dg.RunConfig(ops={FIRST_OP: config}), raise_on_error=False
    )
    if not result.success:
        raise PermanentError(why_it_failed(result))
    if not result.events_for_node("record_outcome"):
        raise PermanentError("the ticket is closed, in the trash, or left out by the tenant's filter")
    written: WrittenSection = result.output_for_node("update_ticket")
    return DryRun(
        written.markdown,
        result.output_for_node("gather_context"),
        result.output_for_node("synthesize_enhancement"),
    )


class _ReadOnlyDesks:
    """Service desks whose changes are kept to themselves."""

    def __init__(self, real: ServiceDesks) -> None:
        self._real = real

    def connect(self, tenant: Tenant, correlation_id: UUID | None = None) -> ServiceDesk:
        return cast("ServiceDesk", _ReadOnlyDesk(self._real.connect(tenant, correlation_id)))


class _ReadOnlyDesk:
    """Answers with a change that was made here as if it had been made there."""

    def __init__(self, real: ServiceDesk) -> None:
        self._real = real
        self._descriptions: dict[str, str] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def ticket(self, ticket_id: str, deadline: Deadline) -> Ticket:
        ticket = self._real.ticket(ticket_id, deadline)
        return ticket.model_copy(
            update={"description": self._descriptions.get(ticket_id, ticket.description)}
        )

    def replace_description(self, ticket_id: str, html: str, deadline: Deadline) -> None:
        self._descriptions[ticket_id] = html

    def note(self, ticket_id: str, note_id: str, deadline: Deadline) -> None:
        return None

    def notes(self, ticket_id: str, deadline: Deadline) -> Sequence[Any]:
        return ()

    def add_note(self, ticket_id: str, html: str, deadline: Deadline) -> str:
        return "dry-run"


class _ReadOnlyHistory:
    """History that can be asked and takes nothing."""

    def __init__(self, real: History) -> None:
        self._real = real

    def save(self, record: HistoryRecord) -> None:
        pass

    def last_enhancement(
        self, tenant_id: str, ticket_id: str, standing: Iterable[UUID] = ()
    ) -> LastEnhancement | None:
        return self._real.last_enhancement(tenant_id, ticket_id, standing)

    def owned_correlation_ids(
        self, tenant_id: str, ticket_id: str, correlation_ids: Iterable[UUID]
    ) -> frozenset[UUID]:
        return self._real.owned_correlation_ids(tenant_id, ticket_id, correlation_ids)

    def pending(self, limit: int = 500) -> Sequence[HistoryRecord]:
        return ()

    def records(self, job_ids: Iterable[UUID]) -> Mapping[UUID, HistoryRecord]:
        return {}


class _QueueOfOne:
    """A queue with one job, which lets in whoever asks."""

    def __init__(self, tenant_id: str, ticket_id: str) -> None:
        self._tenant_id, self._ticket_id = tenant_id, ticket_id

    def start(self, job_id: UUID, attempt: int, run_id: str, parent_run_id: str | None) -> Claim:
        now = datetime.now(UTC)
        job = EnhancementJob(
            job_id=job_id, ticket_id=self._ticket_id, tenant_id=self._tenant_id, timestamp=now
        )
        return Claim(
            job=job, attempt=attempt, correlation_id=job_id, asked_again=True,
            lease_expires_at=now + timedelta(minutes=5),
        )  # fmt: skip

    def finish(self, job_id: UUID, attempt: int, run_id: str, finish: Finish) -> None:
        pass

    def owned_correlation_ids(
        self, tenant_id: str, ticket_id: str, correlation_ids: Iterable[UUID]
    ) -> frozenset[UUID]:
        return frozenset()

    def claim(self, limit: int, wait_seconds: float) -> Sequence[Claim]:
        return ()
