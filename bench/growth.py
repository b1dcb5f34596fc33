"""How the cost of a ticket grows: with the number that comes at once, and with the runs of the past.

One system throughout, so that what is left of one burst is there in the next. The past is made of SQL copies
of its own runs, see `bench.past_runs`.
"""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import typer

from bench.burst import measure
from bench.deployment import Deployment, deployment
from bench.past_runs import copy_past_runs
from bench.report import show_json, show_table

TICKETS = (10, 50, 200, 1_000, 2_000)
PAST_RUNS = (10_000, 100_000)
TICKETS_AFTER_PAST = 200


@dataclass(frozen=True)
class Step:
    """A burst. `past_runs` are the copies that were in the database when it began."""

    past_runs: int
    tickets: int
    completed: int
    tickets_per_s: float
    cpu_s_per_ticket: float
    peak_memory_mb: float


def main(
    tickets: Annotated[
        list[int] | None, typer.Option(help=f"Sizes of bursts; {', '.join(map(str, TICKETS))}.")
    ] = None,
    past_runs: Annotated[
        list[int] | None, typer.Option(help=f"Runs in the past; {', '.join(map(str, PAST_RUNS))}.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Bursts of growing size, and one after each growth of the past."""
    with deployment() as live:
        steps = list(_steps(live, sorted(tickets or TICKETS), sorted(past_runs or PAST_RUNS)))
    if as_json:
        show_json({"steps": [asdict(step) for step in steps]})
    else:
        columns = tuple(name.replace("_", " ") for name in asdict(steps[0]))
        show_table("growth", columns, [tuple(asdict(step).values()) for step in steps])


def _steps(live: Deployment, tickets: list[int], past_runs: list[int]) -> Iterator[Step]:
    for count in tickets:
        yield _step(live, 0, count)
    copied = 0
    for past in past_runs:
        copy_past_runs(live.settings, past - copied)
        copied = past
        yield _step(live, past, TICKETS_AFTER_PAST)


def _step(live: Deployment, past: int, count: int) -> Step:
    figures: dict[str, Any] = asdict(measure(live, count, 0.0, 0.0))
    wanted = ("tickets", "completed", "tickets_per_s", "cpu_s_per_ticket", "peak_memory_mb")
    return Step(past_runs=past, **{name: figures[name] for name in wanted})
