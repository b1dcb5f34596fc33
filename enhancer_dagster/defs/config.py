"""The run of one ticket, as Dagster sees it: config, key and tags. No text of the ticket is in it."""

from uuid import UUID

import dagster as dg
from pydantic import Field

from enhancer_dagster.domain.tickets import Claim, Priority
from enhancer_dagster.settings import Settings

JOB_NAME = "enhance_ticket_job"
FIRST_OP = "gather_context"


class EnhanceTicketConfig(dg.Config):
    """Which job of the queue a run works on."""

    job_id: str = Field(description="UUID of the job in the bridge's queue.")
    tenant_id: str
    ticket_id: str
    correlation_id: str = Field(description="UUID4, made when the webhook arrived.")
    attempt: int = Field(default=1, ge=1, description="The attempt that the claim allowed.")

    @property
    def job_uuid(self) -> UUID:
        """`job_id` as a UUID."""
        return UUID(self.job_id)

    @property
    def correlation_uuid(self) -> UUID:
        """`correlation_id` as a UUID."""
        return UUID(self.correlation_id)


def run_request(claim: Claim, settings: Settings) -> dg.RunRequest:
    """The run for a claimed job. Dagster spends a run key for ever, so the attempt is part of it."""
    job = claim.job
    config = EnhanceTicketConfig(
        job_id=str(job.job_id),
        tenant_id=job.tenant_id,
        ticket_id=job.ticket_id,
        correlation_id=str(claim.correlation_id),
        attempt=claim.attempt,
    )
    return dg.RunRequest(
        run_key=f"{job.job_id}:{claim.attempt}",
        run_config=dg.RunConfig(ops={FIRST_OP: config}),
        tags=_tags(config, Priority.named(job.priority), settings),
    )


def _tags(config: EnhanceTicketConfig, priority: Priority, settings: Settings) -> dict[str, str]:
    tags = {
        "tenant_id": config.tenant_id,
        "ticket_id": config.ticket_id,
        "job_id": config.job_id,
        "attempt": str(config.attempt),
        "correlation_id": config.correlation_id,
        "dagster/max_runtime": f"{settings.run_hard_limit_seconds:g}",
    }
    if settings.ticket_priorities:
        tags["dagster/priority"] = str(priority.dagster_priority)
    return tags
