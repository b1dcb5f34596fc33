"""What became of a ticket: the pieces of a history row, and the record that `finish` carries."""

from datetime import datetime
from enum import StrEnum
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict

from enhancer_dagster.domain.tickets import FreeText, TenantId, TicketId


class HistoryStatus(StrEnum):
    """The states of a history row."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class JobOutcome(StrEnum):
    """How a run ends its job in the queue."""

    COMPLETED = "completed"
    FAILED = "failed"
    RETRY = "retry"


class Usage(BaseModel):
    """What an answer cost. `cost_usd` is the gateway's own figure, else from the price table."""

    model_config = ConfigDict(frozen=True)

    provider: str | None = None
    model: str | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    seconds: float | None = None


class HistoryRecord(BaseModel):
    """One row of `enhancement_history`; a job has one, whatever is retried or re-executed.

    Fields hold what is known so far: a row that could not be written while the run went on is written
    later from the last of these. `skipped` is a job that was not due: completed, without an enhancement.
    """

    model_config = ConfigDict(frozen=True)

    correlation_id: UUID
    tenant_id: TenantId
    ticket_id: TicketId
    job_id: UUID
    status: HistoryStatus
    attempt: int = 1
    dagster_run_id: str | None = None
    received_at: AwareDatetime | None = None
    started_at: AwareDatetime
    completed_at: AwareDatetime | None = None
    context_nodes_success: int | None = None
    context_nodes_failed: int | None = None
    llm_provider: str | None = None
    llm_model: str | None = None
    error_message: FreeText | None = None
    generated_without_ai: bool | None = None
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cost_usd: float | None = None
    content_hash: str | None = None
    enhancement: FreeText | None = None
    sources: tuple[str, ...] = ()
    note_id: str | None = None
    skipped: bool = False

    @property
    def processing_time_ms(self) -> int | None:
        """Milliseconds from start to completion."""
        if self.completed_at is None:
            return None
        return max(0, round((self.completed_at - self.started_at).total_seconds() * 1000))


class LastEnhancement(BaseModel):
    """What history knows of the last time a ticket was enhanced."""

    model_config = ConfigDict(frozen=True)

    correlation_id: UUID
    content_hash: str | None = None
    note_id: str | None = None
    completed_at: datetime | None = None
