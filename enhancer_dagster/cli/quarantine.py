"""`enhancer quarantine`: webhook bodies that could not be read, kept until somebody looks at them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.cli.common import console, installation, print_json
from enhancer_dagster.defs.assembly import required

app = typer.Typer(help="Webhook bodies that could not be read.", no_args_is_help=True)

Id = Annotated[int, typer.Argument(help="Number of the entry, see `list`.")]


@contextmanager
def bridge() -> Iterator[BridgeClient]:
    """The running bridge of this installation."""
    with installation() as settings:
        yield BridgeClient(settings.claim_api, required(settings.claim_token, "ENHANCER_CLAIM_TOKEN"))


@app.command("list")
def list_entries(
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    state: Annotated[str | None, typer.Option(help="waiting, replayed or discarded.")] = None,
    json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False,
) -> None:
    """The newest entries."""
    with bridge() as client:
        entries = client.quarantine(tenant_id=tenant, state=state)
    if json:
        print_json([asdict(entry) for entry in entries])
        return
    table = Table("id", "received (UTC)", "tenant", "state", "reason", "fields")
    for entry in entries:
        table.add_row(
            str(entry.quarantine_id), f"{entry.received_at:%Y-%m-%d %H:%M:%S}", entry.tenant_id, entry.state,
            entry.reason, ", ".join(entry.fields),
        )  # fmt: skip
    console.print(table)


@app.command()
def show(quarantine_id: Id) -> None:
    """One entry with its body, as JSON."""
    with bridge() as client:
        print_json(asdict(client.quarantined(quarantine_id)))


@app.command()
def replay(
    quarantine_id: Id,
    body: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="A corrected body to take in its place.")
    ] = None,
) -> None:
    """Take the webhook in after all."""
    with bridge() as client:
        taken = client.replay(quarantine_id, body.read_text() if body else None)
    console.print(f"queued as job {taken.job_id}")


@app.command()
def discard(quarantine_id: Id) -> None:
    """Mark the entry as not wanted; retention removes it."""
    with bridge() as client:
        client.discard(quarantine_id)
    console.print(f"{quarantine_id} is discarded.")
