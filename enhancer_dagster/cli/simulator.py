"""`enhancer simulate-servicedesk`: a ServiceDesk Plus stand-in for any client of its API."""

from pathlib import Path
from typing import Annotated

import typer

from enhancer_dagster.cli.common import clear_errors
from enhancer_dagster.domain.tenants import Edition


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command()(simulate_servicedesk)


def simulate_servicedesk(
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8090,
    host: Annotated[
        str, typer.Option(help="Keep to the loopback address: the admin API has no key.")
    ] = "127.0.0.1",
    edition: Annotated[Edition, typer.Option(help="Which edition it stands in for.")] = Edition.ONPREM,
    api_key: Annotated[
        str, typer.Option(help="On premises the technician's key; in the cloud the refresh token.")
    ] = "simulator",
    tickets_file: Annotated[
        Path | None, typer.Option(exists=True, dir_okay=False, help="New tickets in place of the sample's.")
    ] = None,
    sample: Annotated[bool, typer.Option(help="Start with the sample service desk.")] = True,
    delay: Annotated[float, typer.Option(min=0, help="Seconds that every call takes at least.")] = 0.0,
) -> None:
    """Serve the v3 API of ServiceDesk Plus from memory, with faults on request under /_admin."""
    from enhancer_dagster.simulator.server import run

    with clear_errors():
        run(
            host, port, edition, api_key, sample=sample, tickets_file=tickets_file, delay_seconds=delay,
        )  # fmt: skip
