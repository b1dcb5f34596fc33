"""Tickets in waves for a while: each enhanced once, and nothing in the system that grows with them."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Annotated, Any

import psycopg
import typer

from bench.deployment import Deployment, deployment
from bench.report import show_json, show_table
from bench.usage import family, memory_mb, open_files

REST_SECONDS = 6.0
"""After each wave, longer than connections and workers that are no longer needed are kept waiting for."""

_CONNECTIONS = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"


@dataclass(frozen=True)
class Held:
    """What the product holds at rest after a wave; `tickets` and `completed` count from the first wave on."""

    tickets: int
    completed: int
    processes: int
    memory_mb: float
    open_files: int
    connections: int


def main(
    tickets: Annotated[int, typer.Option(min=1, help="In all.")] = 1_000,
    waves: Annotated[int, typer.Option(min=2, help="How many come one after another.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """What the system holds after each wave of tickets."""
    with deployment() as live:
        held = soak(live, tickets, waves)
    if as_json:
        show_json({"waves": [asdict(one) for one in held], "growth": growth(held)})
    else:
        columns = tuple(name.replace("_", " ") for name in asdict(held[0]))
        show_table("at rest after each wave", columns, [tuple(asdict(one).values()) for one in held])
        show_table("growth from the first to the second half", ("measure", "by"), list(growth(held).items()))


def soak(live: Deployment, tickets: int, waves: int) -> list[Held]:
    """Enhance `tickets` in `waves`; what is held after each."""
    held: list[Held] = []
    sent = completed = 0
    for wave in range(waves):
        size = tickets * (wave + 1) // waves - sent
        completed += sum(outcome.completed for outcome in live.enhance(size))
        sent += size
        time.sleep(REST_SECONDS)
        held.append(_held(live, sent, completed))
    return held


def growth(held: Sequence[Held]) -> dict[str, float]:
    """By how much the mean of the later half of the waves exceeds that of the earlier, as a share of it.

    The first wave is left out: in it workers do for the first time what they keep.
    """
    later = held[1:] or held
    middle = max(1, len(later) // 2)
    names = ("processes", "memory_mb", "open_files", "connections")
    return {name: round(_mean(later[middle:], name) / _mean(later[:middle], name) - 1, 3) for name in names}


def _mean(held: Sequence[Held], name: str) -> float:
    values: list[Any] = [getattr(one, name) for one in held]
    return sum(values) / len(values)


def _held(live: Deployment, sent: int, completed: int) -> Held:
    url = live.settings.database_url
    assert url is not None
    with psycopg.connect(url.get_secret_value()) as connection:
        row = connection.execute(_CONNECTIONS).fetchone()
    processes = family(live.processes())
    return Held(
        tickets=sent,
        completed=completed,
        processes=len(processes),
        memory_mb=round(memory_mb(live.processes())),
        open_files=open_files(processes),
        connections=row[0] if row else 0,
    )
