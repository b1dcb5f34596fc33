"""What the whole system costs while nothing happens."""

import time
from typing import Annotated

import typer

from bench.deployment import deployment
from bench.report import show_json, show_table
from bench.usage import cpu_seconds

SETTLE_SECONDS = 15.0
"""After the warm-up: what follows from it, such as the prune of old ticks, is not idleness."""


def main(
    seconds: Annotated[float, typer.Option(min=1, help="How long to look.")] = 120.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """CPU of all processes with no tickets, in percent of one core."""
    with deployment() as live:
        time.sleep(SETTLE_SECONDS)
        shares = {}
        started = time.monotonic()
        before = {process: cpu_seconds([process]) for process in live.processes()}
        time.sleep(seconds)
        elapsed = time.monotonic() - started
        for process, used in before.items():
            name = " ".join(process.cmdline()[1:4])
            shares[f"{process.pid} {name}"] = 100 * (cpu_seconds([process]) - used) / elapsed
    if as_json:
        show_json({"cpu_percent": round(sum(shares.values()), 2)})
    else:
        rows = [*shares.items(), ("all together", sum(shares.values()))]
        show_table("CPU in percent of one core, no tickets", ("process", "%"), rows)
