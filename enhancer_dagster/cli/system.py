"""`enhancer up` and `enhancer demo`: the whole system on one machine."""

import os
import signal
import threading
from pathlib import Path
from typing import Annotated

import typer

from enhancer_dagster.cli.common import clear_errors, console, installation, print_json
from enhancer_dagster.logs import configure_logging
from enhancer_dagster.settings import load_settings

REVIVE_SECONDS = 1.0
"""How often it is looked whether all processes live."""


def register(app: typer.Typer) -> None:
    """Add the commands of this module to `app`."""
    app.command()(up)
    app.command()(demo)


def up(
    log_folder: Annotated[
        Path | None, typer.Option(help="Write NAME.log files there instead of JSON lines on stderr.")
    ] = None,
    i_have_a_proxy: Annotated[
        bool,
        typer.Option(
            "--i-have-a-proxy", help="Allow the Dagster UI, which has no login, on a public address."
        ),
    ] = False,
) -> None:
    """Run bridge, Dagster and PostgreSQL for the tenants that are configured, until Ctrl-C or SIGTERM."""
    from enhancer_dagster.runtime.system import require_private_ui, running_system, ui_url

    stop = stop_on_signals()
    with installation() as settings:
        require_private_ui(settings, allowed=i_have_a_proxy)
        configure_logging(settings.log_level)
        with running_system(settings, log_folder) as supervisor:
            webhooks = f"{settings.webhook_base}/webhook/servicedesk/TENANT"
            console.print(
                f"Dagster UI  {ui_url(settings)}\nwebhooks    {webhooks}\nCtrl-C ends it.", soft_wrap=True
            )
            while not stop.wait(REVIVE_SECONDS):
                supervisor.revive()


def demo(
    tickets: Annotated[int, typer.Option(min=1, help="How many tickets are sent.")] = 20,
    tickets_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Your own tickets, .jsonl or .jsonl.gz: {id, text} or {id, subject, description} a line.",
        ),
    ] = None,
    exit_when_done: Annotated[bool, typer.Option("--exit", help="Stop when all are done.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    fresh: Annotated[bool, typer.Option(help="Empty the demo's data folder first.")] = False,
    own_database: Annotated[
        bool,
        typer.Option(
            "--own-database",
            help="In the PostgreSQL of ENHANCER_DATABASE_URL, which must serve nobody else; not emptied.",
        ),
    ] = False,
    llm_base_url: Annotated[str | None, typer.Option(help="Any OpenAI-compatible server.")] = None,
    llm_model: Annotated[str | None, typer.Option(help="The model's name there.")] = None,
    llm_api_key_env: Annotated[
        str | None, typer.Option(help="Name of the environment variable that holds its key.")
    ] = None,
) -> None:
    """Enhance sample tickets with the real system and a simulated ServiceDesk Plus.

    With OPENROUTER_API_KEY set, or --llm-base-url, an LLM writes; else sections are written without AI.
    """
    from enhancer_dagster.cli.demo_view import DemoView
    from enhancer_dagster.runtime.demo import DemoOptions, demo_settings, running_demo

    stop = stop_on_signals()
    with clear_errors():
        options = DemoOptions(
            tickets=tickets,
            tickets_file=tickets_file,
            fresh=fresh,
            own_database=own_database,
            llm_base_url=llm_base_url,
            llm_model=llm_model,
            llm_api_key_env=llm_api_key_env,
        )
        settings = demo_settings(load_settings(), options, dict(os.environ))
        view = DemoView(quiet=json)
        with running_demo(settings, options, view.say) as running:
            report = running.enhance_all(view.progress, stop)
            if json:
                print_json(report.as_json())
            else:
                view.show(report, running.ui_url)
            if exit_when_done or stop.is_set():
                raise typer.Exit(0 if report.completed == report.tickets else 1)
            while not stop.wait(REVIVE_SECONDS):
                running.supervisor.revive()


def stop_on_signals() -> threading.Event:
    """An event that SIGINT and SIGTERM set, so that everything is stopped in order."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
