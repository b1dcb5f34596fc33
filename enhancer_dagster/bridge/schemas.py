"""What the pipeline sends to the claim listener."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, BeforeValidator, Field, StringConstraints

from enhancer_dagster.bridge.payload import Moment, Name
from enhancer_dagster.domain.outcomes import HistoryRecord, JobOutcome
from enhancer_dagster.domain.ports import Finish
from enhancer_dagster.domain.text import storable
from enhancer_dagster.domain.tickets import FreeText, TenantId, TicketId

RunId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,128}$")]
JobState = Literal["queued", "claimed", "running", "completed", "failed", "dead"]
Attempt = Annotated[int, Field(ge=1, le=2**31 - 1)]


def _cut(value: object) -> object:
    return storable(value)[:10_000] if isinstance(value, str) else value


class ClaimRequest(BaseModel):
    """How many jobs, and how long to wait for the first."""

    limit: int = Field(default=1, ge=1, le=500)
    wait_seconds: float = Field(default=0, ge=0, le=120, allow_inf_nan=False)


class StartRequest(BaseModel):
    """A run at the fence. `attempt` is the number in the run's tag."""

    attempt: Attempt
    run_id: RunId
    parent_run_id: RunId | None = None


class FinishRequest(BaseModel):
    """How a run ends its job."""

    attempt: Attempt
    run_id: RunId
    outcome: JobOutcome
    not_before: AwareDatetime | None = None
    error: Annotated[str | None, BeforeValidator(_cut)] = None
    record: HistoryRecord
    history_written: bool = False

    def as_finish(self) -> Finish:
        """The same in the domain's words."""
        return Finish(self.outcome, self.record, self.error, self.not_before, self.history_written)


class EnqueueRequest(BaseModel):
    """A ticket that polling found or a person named. None means that it is not known.

    With `changed_at` nothing is enqueued where a job covers that state of the ticket already.
    """

    tenant_id: TenantId
    ticket_id: TicketId
    subject: FreeText | None = None
    description: FreeText | None = None
    event: Name = ""
    priority: Name = ""
    created_at: Moment = None
    changed_at: AwareDatetime | None = None
    asked_again: bool = False


class OwnershipRequest(BaseModel):
    """Which of these correlation ids belong to this tenant and ticket."""

    tenant_id: TenantId
    ticket_id: TicketId
    correlation_ids: list[UUID] = Field(max_length=1000)


class WrittenOutcome(BaseModel):
    """An outcome that history has now; a later attempt's is not meant."""

    job_id: UUID
    attempt: Attempt


class WrittenRequest(BaseModel):
    """Outcomes that history has now."""

    written: list[WrittenOutcome] = Field(max_length=1000)


class ReplayRequest(BaseModel):
    """A quarantined delivery once more, with a corrected body where one is given."""

    body: str | None = Field(default=None, max_length=2**20)


class JobFilter(BaseModel):
    """Which jobs are listed, newest first; what is left out does not matter."""

    tenant: TenantId | None = None
    state: list[JobState] = Field(default=[], max_length=6)
    ticket: TicketId | None = None
    since: datetime | None = Field(default=None, description="Received at or after this moment.")
    newest: bool = Field(default=False, description="Only jobs that are the last of their ticket.")
    correlation_id: list[UUID] = Field(default=[], max_length=1000)
    run_id: RunId | None = Field(default=None, description="Any run that this job ever had.")
    run_given_up: bool = Field(default=False, description="Only jobs whose last run was given up.")
    before: UUID | None = Field(default=None, description="The last job of the page before.")
    limit: int = Field(default=100, ge=1, le=1000)
