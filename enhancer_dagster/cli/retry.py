"""`enhancer retry`: what ended badly, or without AI, once more."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.cli.common import console, installation
from enhancer_dagster.database import Database
from enhancer_dagster.defs.assembly import required
from enhancer_dagster.domain.errors import FenceClosedError


class EndedAs(StrEnum):
    """Ends of a job that a person may want to have again."""

    FAILED = "failed"
    DEAD = "dead"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(retry)


def retry(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    since: Annotated[datetime | None, typer.Option(help="Received at or after, UTC.")] = None,
    state: Annotated[EndedAs | None, typer.Option(help="Only these; without it, failed and dead.")] = None,
    generated_without_ai: Annotated[
        bool,
        typer.Option("--generated-without-ai", help="Instead: completed ones whose section has no AI in it."),
    ] = False,
) -> None:
    """Put jobs back into the queue; each is due, whatever its text says."""
    with installation() as settings:
        bridge = BridgeClient(settings.claim_api, required(settings.claim_token, "ENHANCER_CLAIM_TOKEN"))
        if generated_without_ai:
            history = PostgresHistory(Database(required(settings.database_url, "ENHANCER_DATABASE_URL")))
            jobs = history.jobs_without_ai(tenant_id=tenant, since=since)
        else:
            states = [state.value] if state else [one.value for one in EndedAs]
            jobs = [job.job_id for job in bridge.jobs(tenant_id=tenant, states=states, since=since)]
        console.print(
            f"{sum(_retried(bridge, job_id) for job_id in jobs)} of {len(jobs)} jobs are queued again"
        )


def _retried(bridge: BridgeClient, job_id: UUID) -> bool:
    try:
        bridge.retry(job_id)
    except FenceClosedError as error:
        console.print(f"left alone: {error}", soft_wrap=True)
        return False
    return True
