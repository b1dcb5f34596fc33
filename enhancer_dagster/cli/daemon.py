"""`enhancer daemon`: Dagster's daemon on one of several hosts, active or waiting."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from enhancer_dagster.cli.common import clear_errors
from enhancer_dagster.cli.system import stop_on_signals
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.logs import configure_logging
from enhancer_dagster.settings import load_settings


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(daemon)


def daemon(
    workspace: Annotated[
        Path, typer.Option("--workspace", "-w", exists=True, help="Dagster's workspace.yaml.")
    ] = Path("workspace.yaml"),
) -> None:
    """Run the Dagster daemon of DAGSTER_HOME, on as many hosts as you like: one works, the others wait.

    Which one, a lock in the database of ENHANCER_DAGSTER_DATABASE_URL decides.
    """
    from enhancer_dagster.runtime.one_daemon import run_while_active

    stop = stop_on_signals()
    with clear_errors():
        settings = load_settings()
        configure_logging(settings.log_level)
        if settings.dagster_database_url is None:
            raise ConfigurationError("set ENHANCER_DAGSTER_DATABASE_URL")
        program = str(Path(sys.executable).parent / "dagster-daemon")
        command = [program, "run", "--workspace", str(workspace), "--log-format", "json"]
        raise typer.Exit(run_while_active(settings.dagster_database_url, command, stop))
