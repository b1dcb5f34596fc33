"""The outside, as the domain sees it. Every method raises only errors of `domain.errors`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from enhancer_dagster.domain.context import IpInfo, KbArticle, SimilarTicket
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.outcomes import HistoryRecord, JobOutcome, LastEnhancement, Usage
from enhancer_dagster.domain.steps.values import Enhancement, GatheredContext
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.domain.tickets import Article, Asset, Claim, Note, Ticket

Row = TypeVar("Row")


@dataclass(frozen=True)
class Page(Generic[Row]):
    """One page of a list. `next_index` is where the next one starts, None on the last."""

    rows: Sequence[Row]
    next_index: int | None = None


@dataclass(frozen=True)
class TicketQuery:
    """Which tickets a list call is after, oldest change first, at most 100 rows from `start_index` (from 1).

    Attributes:
        updated_since: Only those changed at or after this moment; creation is a change.
        edited_since: Only those whose time of change is at or after this moment. On premises a ticket that
            was never changed has none.
        created_since: Only those created at or after this moment; with it alone, oldest creation first.
        statuses: Only those in a status of one of these names; empty means any.
    """

    updated_since: datetime | None = None
    edited_since: datetime | None = None
    created_since: datetime | None = None
    statuses: tuple[str, ...] = ()
    start_index: int = 1
    row_count: int = 100


class ServiceDesk(Protocol):
    """One tenant's ServiceDesk Plus, spoken to under one correlation id.

    Reads are repeated within the deadline where that can help. Writes are never repeated blindly:
    `WriteOutcomeUnknownError` leaves it to the caller to look.
    """

    def ticket(self, ticket_id: str, deadline: Deadline) -> Ticket:
        """The ticket with its description and resolution; `TicketNotFoundError` where there is none."""
        ...

    def replace_description(self, ticket_id: str, html: str, deadline: Deadline) -> None:
        """Set the whole description."""
        ...

    def notes(self, ticket_id: str, deadline: Deadline) -> Sequence[Note]:
        """All notes of a ticket, with their text."""
        ...

    def note(self, ticket_id: str, note_id: str, deadline: Deadline) -> Note | None:
        """One note with its text, None where there is none."""
        ...

    def add_note(self, ticket_id: str, html: str, deadline: Deadline) -> str:
        """Add a note that the requester does not see; returns its id."""
        ...

    def replace_note(self, ticket_id: str, note_id: str, html: str, deadline: Deadline) -> None:
        """Set the whole text of a note."""
        ...

    def tickets(self, query: TicketQuery, deadline: Deadline) -> Page[Ticket]:
        """A page of tickets, without description and resolution."""
        ...

    def linked_tickets(self, ticket_id: str, deadline: Deadline) -> Sequence[str]:
        """The ids of the tickets that a person linked to this one."""
        ...

    def article(self, article_id: str, deadline: Deadline) -> Article:
        """One article with its content."""
        ...

    def articles(self, start_index: int, updated_since: datetime | None, deadline: Deadline) -> Page[Article]:
        """A page of articles, without content where the list omits it."""
        ...

    def assets(self, start_index: int, deadline: Deadline) -> Page[Asset]:
        """A page of the inventory, by whichever of the two asset interfaces this build has."""
        ...


class ServiceDesks(Protocol):
    """Gives the service desk of a tenant."""

    def connect(self, tenant: Tenant, correlation_id: UUID | None = None) -> ServiceDesk:
        """A client whose every call carries `correlation_id`; connections are pooled underneath."""
        ...


@dataclass(frozen=True)
class Prompt:
    """What is sent to a model. `user` sets the data apart from the instructions in `system`."""

    system: str
    user: str
    max_answer_tokens: int


@dataclass(frozen=True)
class Completion:
    """A model's answer. `finish_reason` is the gateway's word: "stop", "length", ..."""

    text: str
    finish_reason: str | None
    usage: Usage


class LanguageModel(Protocol):
    """The LLM gateway."""

    def complete(
        self, prompt: Prompt, models: Sequence[str], correlation_id: UUID, deadline: Deadline
    ) -> Completion:
        """Ask the first of `models`, and the next ones where it fails, all within `deadline`.

        Raises:
            LanguageModelUnavailableError: None answered in time.
            LanguageModelRefusedError: All refused.
        """
        ...


class ContextSearch(Protocol):
    """What ticket runs read from a tenant's published index.

    Every method raises `IndexUnavailableError` where nothing has been published yet.
    """

    def similar_tickets(
        self, tenant_id: str, subject: str, text: str, *, exclude_ticket_id: str, limit: int
    ) -> Sequence[SimilarTicket]:
        """Resolved tickets that resemble this one, best first; the ticket itself is left out."""
        ...

    def kb_articles(self, tenant_id: str, subject: str, text: str, *, limit: int) -> Sequence[KbArticle]:
        """Articles that bear on the text, best first."""
        ...

    def inventory(self, tenant_id: str, text: str) -> Sequence[IpInfo]:
        """Every IPv4 and IPv6 address and every known host name in `text`, with what is known of it."""
        ...


class History(Protocol):
    """The outcome of every job, one row each."""

    def save(self, record: HistoryRecord) -> None:
        """Write the job's row, new or again; a later attempt's fields replace the earlier one's."""
        ...

    def last_enhancement(
        self, tenant_id: str, ticket_id: str, standing: Iterable[UUID] = ()
    ) -> LastEnhancement | None:
        """The last one of this ticket that was completed, or whose id is of a section that stands there."""
        ...

    def owned_correlation_ids(
        self, tenant_id: str, ticket_id: str, correlation_ids: Iterable[UUID]
    ) -> frozenset[UUID]:
        """Those of `correlation_ids` that history knows for this tenant and ticket."""
        ...

    def pending(self, limit: int = 500) -> Sequence[HistoryRecord]:
        """The rows that say pending, oldest first."""
        ...

    def records(self, job_ids: Iterable[UUID]) -> Mapping[UUID, HistoryRecord]:
        """The rows of these jobs, by job, as far as there are any."""
        ...


@dataclass(frozen=True)
class Finish:
    """How a run ends its job.

    Attributes:
        record: The whole outcome, from which a history row that could not be written is written later.
        not_before: With `retry`, the earliest moment the service desk named for another try.
        history_written: Whether `record` is in history already.
    """

    outcome: JobOutcome
    record: HistoryRecord
    error: str | None = None
    not_before: datetime | None = None
    history_written: bool = False


@dataclass(frozen=True)
class JobRow:
    """A job as the queue lists it."""

    job_id: UUID
    tenant_id: str
    ticket_id: str
    state: str
    attempt: int
    correlation_id: UUID
    received_at: datetime
    error: str | None = None
    run_id: str | None = None
    extra: dict[str, object] = field(default_factory=dict)


class JobQueue(Protocol):
    """The bridge's queue, from the pipeline's side."""

    def claim(self, limit: int, wait_seconds: float) -> Sequence[Claim]:
        """Lease up to `limit` jobs, waiting up to `wait_seconds` for the first."""
        ...

    def start(self, job_id: UUID, attempt: int, run_id: str, parent_run_id: str | None) -> Claim:
        """Pass the fence; the answer holds the job's current attempt.

        Raises:
            FenceClosedError: This run is not the job's current one.
        """
        ...

    def finish(self, job_id: UUID, attempt: int, run_id: str, finish: Finish) -> None:
        """End the job, or give it back; idempotent for one run id."""
        ...

    def owned_correlation_ids(
        self, tenant_id: str, ticket_id: str, correlation_ids: Iterable[UUID]
    ) -> frozenset[UUID]:
        """Those of `correlation_ids` that the queue knows for this tenant and ticket."""
        ...


@dataclass(frozen=True)
class Enqueued:
    """What became of a ticket that was reported: "queued", "duplicate" or "known" (a job covers it)."""

    status: str
    job_id: UUID
    correlation_id: UUID


class TicketIntake(Protocol):
    """Where tickets are reported whose webhook never came."""

    def enqueue(
        self,
        tenant_id: str,
        ticket_id: str,
        *,
        subject: str | None = None,
        priority: str = "",
        event: str = "",
        created_at: datetime | None = None,
        changed_at: datetime | None = None,
    ) -> Enqueued:
        """Report a ticket; nothing is enqueued where a job covers what it was at `changed_at`."""
        ...


class QueueLedger(Protocol):
    """What the queue knows, for the reconciler."""

    def jobs(
        self,
        *,
        states: Iterable[str] = (),
        correlation_ids: Iterable[UUID] = (),
        run_given_up: bool = False,
    ) -> Iterator[JobRow]:
        """Jobs in one of `states`, under one of these ids, or whose run was given up, newest first."""
        ...

    def unwritten_history(self, limit: int = 100) -> Sequence[HistoryRecord]:
        """Outcomes that history has not acknowledged, oldest first."""
        ...

    def acknowledge_history(self, records: Iterable[HistoryRecord]) -> int:
        """History has these now."""
        ...


class EarlierWork(Protocol):
    """What earlier runs of a job stored, so that no attempt repeats what one that vanished had done.

    Every method raises `DatabaseUnavailableError`.
    """

    def context(self, run_ids: Sequence[str], content_hash: str | None) -> GatheredContext | None:
        """What one of these runs, newest first, found for a text; None as hash is any text.

        One that went on to write an enhancement comes before one that did not. `taken_from` names it.
        """
        ...

    def enhancement(self, run_id: str) -> Enhancement | None:
        """What this run wrote, None where it did not come to that."""
        ...

    def keep(self, run_id: str, gathered: GatheredContext, enhancement: Enhancement) -> None:
        """Store what a re-execution inherited as its own, to be found by later attempts."""
        ...


class Tenants(Protocol):
    """The tenants table, read only."""

    def get(self, tenant_id: str) -> Tenant:
        """The tenant; `ConfigurationError` where there is none."""
        ...

    def list_all(self) -> Sequence[Tenant]:
        """Every tenant, disabled ones too, by id."""
        ...


@dataclass(frozen=True)
class Ports:
    """The whole outside at once, as a run gets it.

    Attributes:
        language_model: None where the installation has no LLM, with `why_no_language_model` saying why.
    """

    tenants: Tenants
    service_desks: ServiceDesks
    search: ContextSearch
    history: History
    queue: JobQueue
    intake: TicketIntake
    ledger: QueueLedger
    earlier: EarlierWork
    language_model: LanguageModel | None
    why_no_language_model: str = ""
