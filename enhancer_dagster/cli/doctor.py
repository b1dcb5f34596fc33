"""`enhancer doctor`: looks at every part and says what to do about what fails."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated
from uuid import uuid4

import typer
from pydantic import SecretStr
from rich.table import Table

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.cli.common import clear_errors, console, print_json
from enhancer_dagster.cli.destinations import described
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import BridgeUnavailableError, ConfigurationError, EnhancerError
from enhancer_dagster.domain.ports import Ports, Prompt, TicketQuery
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.settings import Settings, load_settings

CHECK_SECONDS = 10.0


@dataclass(frozen=True)
class Finding:
    """One part that was looked at. `advice` says what to do, where something fails."""

    part: str
    ok: bool
    detail: str
    advice: str = ""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(doctor)


def doctor(json: Annotated[bool, typer.Option("--json", help="As JSON.")] = False) -> None:
    """Check settings, database, bridge, each tenant's service desk and the LLM."""
    with clear_errors():
        findings = list(examine(load_settings()))
    if json:
        print_json([finding.__dict__ for finding in findings])
    else:
        table = Table("", "part", "finding", "what to do")
        for finding in findings:
            mark = "[green]ok[/green]" if finding.ok else "[red]fails[/red]"
            table.add_row(mark, finding.part, finding.detail, finding.advice)
        console.print(table)
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def examine(settings: Settings) -> Iterator[Finding]:
    """Look at every part in the order in which they depend on each other; stop where nothing can follow."""
    from enhancer_dagster.defs.assembly import ports_of
    from enhancer_dagster.runtime.installation import ready_installation
    from enhancer_dagster.runtime.own_database import require_product_database

    yield Finding("settings", True, f"data in {settings.data_dir}")
    yield Finding("addresses", True, f"service desks and gateways: {described(settings.destinations)}")
    try:
        with ready_installation(settings) as ready:
            if ready.database_url is not None:
                server = require_product_database(ready.database_url)
                yield Finding("database", True, f"{server}, migrations are up to date")
                yield _notifications(ready.database_url)
            ports = ports_of(ready)
            yield _bridge(ready)
            tenants = ports.tenants.list_all()
            if not tenants:
                yield Finding("tenants", False, "there is none", "add one: enhancer tenants add --help")
            for tenant in tenants:
                yield _service_desk(tenant, ports)
            yield _language_model(ready, ports)
    except EnhancerError as error:
        yield Finding("database", False, str(error), _database_advice(error))


def _notifications(url: SecretStr) -> Finding:
    from enhancer_dagster.runtime.own_database import notifications_arrive

    if notifications_arrive(url):
        return Finding("notifications", True, "arrive")
    return Finding(
        "notifications",
        False,
        "are lost: a pooler in transaction mode lies before the database, and tickets would wait up to 5 s",
        "give the bridge an address past the pooler, or one in session mode",
    )


def _database_advice(error: EnhancerError) -> str:
    if isinstance(error, ConfigurationError):
        return "as the finding says"
    return "check ENHANCER_DATABASE_URL, or the folder's permissions"


def _bridge(settings: Settings) -> Finding:
    token = settings.claim_token
    if token is None:
        return Finding("bridge", False, "no claim token", "set ENHANCER_CLAIM_TOKEN")
    return _finding(
        "bridge",
        lambda: f"{BridgeClient(settings.claim_api, token).counts() or 'no jobs yet'}",
        lambda error: (
            "start the system: enhancer up"
            if isinstance(error, BridgeUnavailableError)
            else "the token differs from the running bridge's"
        ),
    )


def _service_desk(tenant: Tenant, ports: Ports) -> Finding:
    part = f"service desk of {tenant.tenant_id}"
    if not tenant.active:
        return Finding(part, True, "the tenant is disabled, not asked")

    def ask() -> str:
        desk = ports.service_desks.connect(tenant, uuid4())
        page = desk.tickets(TicketQuery(row_count=1), Deadline.after(CHECK_SECONDS))
        return f"answers; {len(page.rows)} ticket read"

    def advice(error: EnhancerError) -> str:
        if isinstance(error, ConfigurationError):
            return "as the finding says"
        return f"enhancer tenants edit {tenant.tenant_id}: address or credentials"

    return _finding(part, ask, advice)


def _language_model(settings: Settings, ports: Ports) -> Finding:
    model = ports.language_model
    if model is None:
        wanted = settings.llm_enabled and settings.llm_api_key is not None
        return Finding(
            "LLM", not wanted, f"off: {ports.why_no_language_model}", "sections are written without AI"
        )

    def ask() -> str:
        prompt = Prompt("Answer with one word.", "Say: ready", max_answer_tokens=16)
        completion = model.complete(prompt, [settings.llm_model], uuid4(), Deadline.after(CHECK_SECONDS))
        return f"{completion.usage.model or settings.llm_model} answers"

    return _finding("LLM", ask, lambda _: "check ENHANCER_LLM_BASE_URL, ENHANCER_LLM_MODEL and the key")


def _finding(part: str, ask: Callable[[], str], advice: Callable[[EnhancerError], str]) -> Finding:
    try:
        return Finding(part, True, ask())
    except EnhancerError as error:
        return Finding(part, False, str(error), advice(error))
