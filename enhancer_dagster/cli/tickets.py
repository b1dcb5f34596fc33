"""Commands about single tickets: what became of one, a dry run, a test webhook."""

from datetime import UTC, datetime
from typing import Annotated

import typer
from rich.markdown import Markdown
from rich.table import Table

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.cli.common import console, installation, print_json
from enhancer_dagster.cli.tenants import store
from enhancer_dagster.database import Database
from enhancer_dagster.defs.assembly import required


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(history)
    app.command()(enhance)
    app.command()(send_test_webhook)


def history(
    ticket: Annotated[str | None, typer.Option(help="Only this ticket.")] = None,
    tenant: Annotated[str | None, typer.Option(help="Only this tenant.")] = None,
    status: Annotated[str | None, typer.Option(help="pending, completed or failed.")] = None,
    limit: Annotated[int, typer.Option(min=1)] = 50,
    json: Annotated[bool, typer.Option("--json", help="All columns as JSON.")] = False,
) -> None:
    """What became of tickets, newest first."""
    with installation() as settings:
        url = settings.history_database_url or required(settings.database_url, "ENHANCER_DATABASE_URL")
        rows = PostgresHistory(Database(url)).rows(
            ticket_id=ticket, tenant_id=tenant, status=status, limit=limit
        )
    if json:
        print_json(rows)
        return
    table = Table("started (UTC)", "tenant", "ticket", "status", "ms", "context", "model", "error")
    for row in rows:
        model = "without AI" if row["generated_without_ai"] else row["llm_model"] or ""
        table.add_row(
            f"{row['started_at'].astimezone(UTC):%Y-%m-%d %H:%M:%S}", row["tenant_id"], row["ticket_id"],
            "skipped" if row["skipped"] else row["status"], str(row["processing_time_ms"] or ""),
            f"{row['context_nodes_success'] or 0}/4", model, row["error_message"] or "",
        )  # fmt: skip
    console.print(table)


def enhance(
    ticket: Annotated[str, typer.Argument(help="The ticket's id.")],
    tenant: Annotated[str, typer.Option(help="Whose ticket it is.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the section and write nothing.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Section, sources, errors and cost as JSON.")] = False,
) -> None:
    """Enhance one ticket now: through the queue, or with --dry-run here, by the same ops."""
    with installation() as settings:
        if not dry_run:
            bridge = BridgeClient(settings.claim_api, required(settings.claim_token, "ENHANCER_CLAIM_TOKEN"))
            taken = bridge.enqueue(tenant, ticket, event="asked for by hand", asked_again=True)
            console.print(f"queued as job {taken.job_id}; see: enhancer history --ticket {ticket}")
            return
        from enhancer_dagster.defs.dry_run import dry_run_ticket

        outcome = dry_run_ticket(settings, tenant, ticket)
    if json:
        print_json(outcome.as_json())
    else:
        console.print(Markdown(outcome.section))


def send_test_webhook(
    tenant: Annotated[str, typer.Option(help="For whom; its newest secret signs.")],
    ticket: Annotated[str, typer.Option(help="A ticket that exists there.")],
    url: Annotated[str | None, typer.Option(help="Base address; without it this installation's.")] = None,
    event: Annotated[str, typer.Option()] = "ticket_created",
) -> None:
    """Send a signed webhook, as a service desk would, and show the answer."""
    import httpx

    from enhancer_dagster.adapters.webhook_sender import WebhookSender

    with installation() as settings:
        base = url or settings.webhook_base
        sender = WebhookSender(base, tenant, store(settings).get(tenant).webhook_secrets[0])
        created_at = datetime.now(UTC).isoformat()
        payload = {"ticket_id": ticket, "description": "", "priority": "Medium", "created_at": created_at}
        try:
            answer = sender.send(payload | {"event": event})
        except httpx.HTTPError as error:
            console.print(f"[red]no answer from {sender.address}:[/red] {error}; is `enhancer up` running?")
            raise typer.Exit(1) from error
    console.print(f"{answer.status_code} {answer.text}", soft_wrap=True)
    raise typer.Exit(0 if answer.is_success else 1)
