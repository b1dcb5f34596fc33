"""`enhancer retry`: what ended badly, or without AI, once more."""

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer
from rich.progress import Progress

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.cli.common import console, errors, installation
from enhancer_dagster.cli.tenants import store
from enhancer_dagster.database import Database
from enhancer_dagster.defs.assembly import required
from enhancer_dagster.domain.errors import FenceClosedError

_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


class EndedAs(StrEnum):
    """Ends of a job that a person may want to have again."""

    FAILED = "failed"
    DEAD = "dead"


def moment(text: str) -> datetime:
    """A moment as people give it: a span before now (`90m`, `2h`, `7d`), or ISO 8601, UTC where it is silent.

    Raises:
        typer.BadParameter: It is neither.
    """
    if span := re.fullmatch(r"(\d{1,6})([mhd])", text):
        return datetime.now(UTC) - timedelta(**{_UNITS[span[2]]: int(span[1])})
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither a span like 90m, 2h or 7d nor a moment like 2026-11-02T15:30"
        ) from None
    return given if given.tzinfo else given.replace(tzinfo=UTC)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(retry)


def retry(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant's.")] = None,
    since: Annotated[
        datetime | None,
        typer.Option(
            parser=moment,
            metavar="WHEN",
            help="Only what was received since: 90m, 2h or 7d ago, or a moment like 2026-11-02T15:30, UTC.",
        ),
    ] = None,
    state: Annotated[EndedAs | None, typer.Option(help="Only these; without it, failed and dead.")] = None,
    generated_without_ai: Annotated[
        bool,
        typer.Option("--generated-without-ai", help="Instead: completed ones whose section has no AI in it."),
    ] = False,
) -> None:
    """Put jobs back into the queue; each is due, whatever its text says.

    A ticket has several jobs if it was changed several times. Only its last one is put back: what a later job
    has dealt with is not done again. The ticket keeps one section, and its row of history the correlation id.
    """
    if generated_without_ai and state:
        raise typer.BadParameter("--state and --generated-without-ai ask for different jobs: give one")
    with installation() as settings:
        if tenant:
            store(settings).get(tenant)
        bridge = BridgeClient(settings.claim_api, required(settings.claim_token, "ENHANCER_CLAIM_TOKEN"))
        if generated_without_ai:
            url = settings.history_database_url or required(settings.database_url, "ENHANCER_DATABASE_URL")
            jobs = PostgresHistory(Database(url)).jobs_without_ai(tenant_id=tenant, since=since)
        else:
            states = [state.value] if state else [one.value for one in EndedAs]
            found = bridge.jobs(tenant_id=tenant, states=states, since=since, newest=True)
            jobs = [job.job_id for job in found]
        _retry(bridge, jobs)


def _retry(bridge: BridgeClient, jobs: Sequence[UUID]) -> None:
    queued = 0
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        for job_id in progress.track(jobs, description="queued again"):
            queued += _retried(bridge, job_id)
    console.print(f"{queued} of {len(jobs)} jobs are queued again")


def _retried(bridge: BridgeClient, job_id: UUID) -> bool:
    try:
        bridge.retry(job_id)
    except FenceClosedError as error:
        console.print(f"left alone: {error}", soft_wrap=True)
        return False
    return True
