"""What the steps hand on to each other: plain data that is stored as readable JSON."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from enhancer_dagster.domain.context import WorkflowState
from enhancer_dagster.domain.links import AllowedLinks
from enhancer_dagster.domain.outcomes import HistoryRecord, HistoryStatus, Usage
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.domain.tickets import Claim, FreeText, TenantId, TicketId


class TicketRun(BaseModel):
    """One attempt at a job, by one Dagster run."""

    model_config = ConfigDict(frozen=True)

    job_id: UUID
    tenant_id: TenantId
    ticket_id: TicketId
    correlation_id: UUID
    attempt: int
    run_id: str
    received_at: AwareDatetime
    started_at: AwareDatetime

    @classmethod
    def of(cls, claim: Claim, run_id: str, started_at: datetime) -> "TicketRun":
        """The attempt that `claim` allows run `run_id`."""
        return cls(
            job_id=claim.job.job_id,
            tenant_id=claim.job.tenant_id,
            ticket_id=claim.job.ticket_id,
            correlation_id=claim.correlation_id,
            attempt=claim.attempt,
            run_id=run_id,
            received_at=claim.job.timestamp,
            started_at=started_at,
        )

    def record(self, status: HistoryStatus, completed_at: datetime | None = None) -> HistoryRecord:
        """The history row of this attempt, as far as the attempt itself knows it."""
        return HistoryRecord(
            correlation_id=self.correlation_id,
            tenant_id=self.tenant_id,
            ticket_id=self.ticket_id,
            job_id=self.job_id,
            status=status,
            attempt=self.attempt,
            dagster_run_id=self.run_id,
            received_at=self.received_at,
            started_at=self.started_at,
            completed_at=completed_at,
        )


class GatheredContext(BaseModel):
    """What `gather_context` found. Texts are plain, without our own sections and without credentials.

    Attributes:
        taken_from: The run of an earlier attempt that found it, where this one did not have to.
    """

    model_config = ConfigDict(frozen=True)

    run: TicketRun
    subject: FreeText
    text: FreeText
    priority: str
    state: WorkflowState
    content_hash: str
    ticket_url: str | None = None
    taken_from: str | None = None

    def with_texts(self, change: Callable[[str], str]) -> "GatheredContext":
        """This context with `change` made to every text that somebody wrote."""
        return self.model_copy(
            update={
                "subject": change(self.subject),
                "text": change(self.text),
                "state": self.state.with_texts(change),
            }
        )

    def allowed_links(self, tenant: Tenant) -> AllowedLinks:
        """Which links the section may hold: addresses in its sources, hosts that `tenant` trusts."""
        return AllowedLinks.from_sources(self.state, tenant.link_hosts)


class Enhancement(BaseModel):
    """What `synthesize_enhancement` wrote: markdown, checked against its sources.

    Attributes:
        generated_at: For the footer; the same however often the section is written.
        without_ai_reason: Why no model's answer is in it; None where one is.
        citations_removed: Citations of something that was not in the context.
        sentences_removed: Sentences that presented a fact without a valid citation.
        sentences_marked: Steps without a citation that were kept and marked.
        code_removed: Blocks of code that no source cited before them holds.
    """

    model_config = ConfigDict(frozen=True)

    content: FreeText
    generated_at: AwareDatetime
    generated_without_ai: bool
    without_ai_reason: FreeText | None = None
    usage: Usage = Usage()
    sources: tuple[str, ...] = ()
    citations_kept: int = 0
    citations_removed: int = 0
    sentences_removed: int = 0
    sentences_marked: int = 0
    code_removed: int = 0


class WrittenSection(BaseModel):
    """What `update_ticket` put on the ticket.

    Attributes:
        markdown: The whole section with heading and footer.
        note_id: The note that holds it, None where the description does.
        writes: How many writes it took; more than one where a first one's outcome had to be looked up.
    """

    model_config = ConfigDict(frozen=True)

    markdown: FreeText
    written_at: AwareDatetime
    note_id: str | None = None
    writes: int = 1
