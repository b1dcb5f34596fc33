"""`python -m bench chaos`: the real system under load, killed again and again, and every ticket checked.

The system runs as `enhancer up` runs it: a supervisor starts again what has died. Only leases and limits are
shorter than by default, so that what a kill leaves is taken up again within the minutes that this takes.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from loguru import logger

from bench.chaos import stalled
from bench.chaos.boundaries import Boundary
from bench.chaos.killer import Killer
from bench.chaos.proxy import Observer
from bench.chaos.system import WatchedSystem, url_of, watched_system
from bench.chaos.targets import Targets
from bench.chaos.verdict import ENDED, Verdict
from bench.report import show_json, show_table
from enhancer_dagster.settings import Settings

TICKETS_PER_MINUTE = 60
MOST_TIMES_LONGER = 3
"""How much longer than asked for the kills go on until each boundary was struck often enough."""

LIMITS = {"lease_seconds": 45, "run_soft_limit_seconds": 25, "run_hard_limit_seconds": 30}


@dataclass(frozen=True)
class Plan:
    """What is asked for.

    Attributes:
        seconds: How long it is killed at least.
        tickets: How many are sent in that time; at this rate they come as long as it is killed.
        kills: How many there are to be at each boundary.
        seed: Of the kills.
    """

    seconds: float
    tickets: int
    kills: int
    seed: int

    def is_done(self, seconds: float, least_kills: int) -> bool:
        """Whether that was enough, or as much as there will be."""
        enough = seconds >= self.seconds and least_kills >= self.kills
        return enough or seconds >= self.seconds * MOST_TIMES_LONGER


@dataclass(frozen=True)
class Chaos:
    """A run of it: what was killed how often, and the verdict."""

    seed: int
    seconds: float
    sent: int
    verdict: Verdict
    kills: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints. `tickets` are those that were promised, by 202 or as a known delivery."""
        states = {state: self.verdict.states[state] for state in ENDED}
        return {
            "tickets": self.verdict.states.total(),
            **states,
            "lost": self.verdict.lost,
            "doubled": self.verdict.doubled,
            "kills": self.kills,
            "sent": self.sent,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "problems": list(self.verdict.problems),
        }


def main(
    minutes: Annotated[
        float, typer.Option(min=0.5, help="How long it is killed at least, without the drain.")
    ] = 3.0,
    tickets: Annotated[
        int | None,
        typer.Option(min=1, help=f"How many are sent meanwhile; by default {TICKETS_PER_MINUTE} a minute."),
    ] = None,
    kills: Annotated[
        int, typer.Option(min=0, help="Go on until each boundary was struck so often, up to 3 times as long.")
    ] = 1,
    seed: Annotated[int, typer.Option(help="Makes the order of the kills repeatable.")] = 1,
    without_fence: Annotated[
        bool,
        typer.Option(help="Kill nothing: hold up one run past its lease in a system whose fence is open."),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Kill the system at every boundary and check every ticket; exit code 1 where one is lost or doubled."""
    plan = Plan(minutes * 60, tickets or round(minutes * TICKETS_PER_MINUTE), kills, seed)
    result = hold_up(without_fence=True) if without_fence else run(plan)
    if as_json:
        show_json(result.as_json())
    else:
        _show(result)
    if result.verdict.problems:
        raise typer.Exit(1)


def run(plan: Plan) -> Chaos:
    """Start the system, let it be killed, wait until all is at rest, and judge."""
    began, rng = time.monotonic(), random.Random(plan.seed)
    killers: list[Killer] = []

    def observer(settings: Settings) -> Observer:
        killers.append(Killer(Targets(settings, rng), url_of(settings, "dagster_database_url"), rng))
        return killers[0].observe

    with watched_system(observer, **LIMITS) as system:
        (killer,) = killers
        with _in_background(killer.run):
            _let_loose(system, killer, plan)
        system.drain()
        verdict, sent = system.verdict(), len(system.senders.deliveries)
    kills = {str(boundary): killer.kills[boundary] for boundary in Boundary}
    return Chaos(plan.seed, time.monotonic() - began, sent, verdict, kills)


def hold_up(*, without_fence: bool) -> Chaos:
    """Hold up one run past its lease, with the fence or without it; nothing is killed."""
    began = time.monotonic()
    verdict = stalled.run(without_fence=without_fence)
    return Chaos(0, time.monotonic() - began, verdict.states.total(), verdict, {})


def _let_loose(system: WatchedSystem, killer: Killer, plan: Plan) -> None:
    """Kill and send, and start again what died: from this thread, with which the processes would end."""
    over = threading.Event()
    sending = threading.Thread(target=system.senders.run, args=(plan.seconds / plan.tickets, over))
    sending.start()
    began = time.monotonic()
    killer.on = True
    try:
        system.keep_up(lambda: plan.is_done(time.monotonic() - began, killer.least))
    finally:
        killer.on = False
        over.set()
    logger.info("chaos: no more kills, {} so far", killer.kills.total())
    system.keep_up(lambda: not sending.is_alive())


@contextmanager
def _in_background(work: Any) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name="killer")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _show(result: Chaos) -> None:
    shown = result.as_json()
    kills, problems = shown.pop("kills"), shown.pop("problems")
    show_table("Killed", ("boundary", "times"), list(kills.items()))
    show_table("Tickets", ("measure", "value"), list(shown.items()))
    for problem in problems:
        print(problem)
