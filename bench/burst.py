"""Many tickets at once: how many are enhanced a second, and what one costs.

The time runs from the first webhook that the bridge takes in to the end of the last run. CPU seconds and
memory are those of the product's processes, PostgreSQL included, without the simulated services. Dagster's
default launcher and executor are measured afterwards on the same machine, with the same ops, storage, sensors
and services.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated

import typer

from bench.default_system import DEFAULT_SLOTS, PATIENCE, default_system
from bench.deployment import Deployment, deployment
from bench.past_runs import copy_past_runs
from bench.report import show_json, show_table
from bench.tracking import Outcome
from bench.usage import cpu_seconds, watched_memory

DEFAULT_TICKETS = 40


@dataclass(frozen=True)
class Burst:
    """What a burst took. `default_tickets_per_s` and `ratio` are None where they were not asked for."""

    tickets: int
    completed: int
    tickets_per_s: float
    cpu_s_per_ticket: float
    peak_memory_mb: float
    default_tickets_per_s: float | None = None
    ratio: float | None = None


def main(
    tickets: Annotated[int, typer.Option(min=1, help="How many come at once.")] = 200,
    llm_delay: Annotated[float, typer.Option(min=0, help="Seconds that the LLM takes.")] = 0.0,
    desk_delay: Annotated[float, typer.Option(min=0, help="Seconds of each call of the service desk.")] = 0.0,
    default: Annotated[
        bool, typer.Option(help=f"Measure Dagster's defaults too, on {DEFAULT_TICKETS} tickets.")
    ] = True,
    past_runs: Annotated[
        int, typer.Option(min=0, help="Runs that are in the database already, copied from real ones.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Tickets a second, CPU seconds a ticket and peak memory of a burst."""
    with deployment() as live:
        if past_runs:
            copy_past_runs(live.settings, past_runs)
        figures = measure(live, tickets, llm_delay, desk_delay)
    if default:
        figures = with_default(figures, _default_rate(llm_delay, desk_delay))
    if as_json:
        show_json(asdict(figures))
    else:
        rows = [(name, "-" if value is None else value) for name, value in asdict(figures).items()]
        show_table(f"{tickets} tickets at once", ("measure", "value"), rows)


def measure(live: Deployment, tickets: int, llm_delay: float, desk_delay: float) -> Burst:
    """One burst on a live system."""
    live.services.delay(llm=llm_delay, desk=desk_delay)
    waiting = live.prepare(tickets)
    with watched_memory(live.processes) as peak:
        before = cpu_seconds(live.processes())
        live.announce(waiting)
        outcomes = live.finish(waiting)
        used = cpu_seconds(live.processes()) - before
    return Burst(
        tickets=tickets,
        completed=sum(outcome.completed for outcome in outcomes),
        tickets_per_s=round(rate(outcomes), 3),
        cpu_s_per_ticket=round(used / tickets, 3),
        peak_memory_mb=round(peak.memory_mb),
    )


def rate(outcomes: Sequence[Outcome]) -> float:
    """Completed tickets a second, from the first webhook to the end of the last run; 0 where none is."""
    ends = [one.finished_at for one in outcomes if one.completed and one.finished_at is not None]
    if not ends:
        return 0.0
    return len(ends) / (max(ends) - min(outcome.received_at for outcome in outcomes))


def with_default(figures: Burst, default_rate: float) -> Burst:
    """`figures`, and how they compare with Dagster's defaults."""
    ratio = round(figures.tickets_per_s / default_rate, 1) if default_rate else None
    return Burst(**asdict(figures) | {"default_tickets_per_s": round(default_rate, 3), "ratio": ratio})


def _default_rate(llm_delay: float, desk_delay: float) -> float:
    with deployment(default_system, max_concurrent_tickets=DEFAULT_SLOTS, **PATIENCE) as live:
        return measure(live, DEFAULT_TICKETS, llm_delay, desk_delay).tickets_per_s
