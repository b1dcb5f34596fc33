"""How long it takes from what makes an attempt fail to the moment at which history says so.

The system runs as `enhancer up` runs it, one ticket at a time. A job whose run died is not ended: its lease
runs out, it is tried again, and the third time it is given up. So each attempt that was struck counts, with
the time to the next one or to the job's end; leases and limits shorter than by default shorten these alone.
"""

import os
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Annotated

import typer
from loguru import logger

from bench.attempts import Attempts
from bench.chaos.boundaries import Boundary
from bench.chaos.proxy import Call, Moment, Observer
from bench.chaos.system import WatchedSystem, watched_system
from bench.chaos.targets import Targets
from bench.chaos.watch import Watch
from bench.report import show_json, show_table
from enhancer_dagster.settings import Settings

PROMISED_SECONDS = 60.0
STALL_SECONDS = 400.0
HARD_LIMIT_SECONDS = 20
LIMITS = {"lease_seconds": 60, "run_soft_limit_seconds": 10, "run_hard_limit_seconds": HARD_LIMIT_SECONDS}


@dataclass(frozen=True)
class Way:
    """A way to fail; where nothing is killed and nothing hangs, the service desk refuses the write.

    Attributes:
        boundary: Where the ticket is then.
        killed: Who is killed; the worker is the run's.
        hangs: Whether the run's worker is stopped, as by an op that does not return.
        times: How many attempts of a ticket are struck.
    """

    name: str
    boundary: Boundary = Boundary.SYNTHESIZE
    killed: tuple[Boundary, ...] = ()
    hangs: bool = False
    times: int = 1


POISON = Way("worker killed, each attempt", killed=(Boundary.WORKER,), times=3)
OTHERS = (
    Way("service desk refuses the write", Boundary.UPDATE),
    Way("op does not return, hard limit", hangs=True),
    Way("worker and daemon killed", killed=(Boundary.WORKER, Boundary.DAEMON)),
    Way("dispatcher killed", killed=(Boundary.DISPATCHER,)),
    Way("template killed", killed=(Boundary.TEMPLATE,)),
    Way("code server killed after the claim", Boundary.CLAIMED, (Boundary.CODE_SERVER,)),
    Way("everything killed at once", killed=(Boundary.ALL,)),
)


@dataclass(frozen=True)
class Struck:
    """An attempt that was struck; seconds from its failure, None for what did not happen.

    Attributes:
        recorded: To history's `failed`.
        run_failed: To the end of the run in the UI.
        next_started: To the start of the next attempt.
        job_ended: To the end of the job, if this was its last attempt.
        state: What became of the job.
    """

    way: str
    recorded: float | None
    run_failed: float | None
    next_started: float | None
    job_ended: float | None
    state: str

    @property
    def is_late(self) -> bool:
        """Whether it is not recorded in time. An attempt that completed the job has not failed."""
        if self.next_started is None and self.state == "completed":
            return False
        return self.recorded is None or self.recorded > PROMISED_SECONDS


class Striker:
    """Strikes where a ticket comes to the boundary of the way that is aimed at.

    Args:
        settings: Of the system.
    """

    def __init__(self, settings: Settings) -> None:
        self.struck_at: list[float] = []
        self._targets = Targets(settings, random.Random())
        self._watch = Watch()
        self._way: Way | None = None

    def aim(self, way: Way) -> None:
        """Strike in this way from now on."""
        self._way, self.struck_at = way, []

    def observe(self, call: Call, moment: Moment) -> bool:
        """As an `Observer`."""
        sighting, way = self._watch.see(call, moment), self._way
        if sighting and way and sighting.boundary is way.boundary and len(self.struck_at) < way.times:
            logger.info("failures: {}", way.name)
            self.struck_at.append(time.time())
            self._strike(way, str(sighting.run_id))
        return True

    def _strike(self, way: Way, run_id: str) -> None:
        if way.hangs and (worker := self._targets.worker_of(run_id)):
            os.kill(worker, signal.SIGSTOP)
        for target in way.killed:
            if target is Boundary.WORKER:
                self._targets.kill_worker_of(run_id)
            else:
                self._targets.kill(target)


def main(
    tries: Annotated[int, typer.Option(min=1, help="Of each way; attempts that are killed are three.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Seconds until a failure is recorded; exit code 1 where they are more than 60."""
    struck = measure(tries)
    if as_json:
        show_json({"limits": LIMITS, "attempts": [asdict(one) for one in struck]})
    else:
        columns = ("slowest", "attempts", "recorded", "run failed", "next attempt", "job ended", "job")
        rows = [_row(name, list(group)) for name, group in groupby(struck, lambda one: one.way)]
        show_table("seconds from the failure of an attempt", columns, rows)
    if any(one.is_late for one in struck):
        raise typer.Exit(1)


def measure(tries: int) -> list[Struck]:
    """Each way so many times, one ticket after the other on one system."""
    strikers: list[Striker] = []

    def observer(settings: Settings) -> Observer:
        strikers.append(Striker(settings))
        return strikers[0].observe

    with watched_system(observer, **LIMITS) as system:
        ways = [POISON, *(way for way in OTHERS for _ in range(tries))]
        return [one for way in ways for one in _fail(system, strikers[0], way)]


def _fail(system: WatchedSystem, striker: Striker, way: Way) -> list[Struck]:
    """Send a ticket, have it fail, and wait until its job has ended."""
    striker.aim(way)
    if not way.killed and not way.hangs:
        system.services.refuse_a_write()
    system.senders.send_one()
    attempts = Attempts(system.settings, str(system.senders.deliveries[-1].job_id))
    give_up_at = time.monotonic() + STALL_SECONDS
    system.keep_up(lambda: attempts.look() or time.monotonic() > give_up_at)
    system.drain()
    delay = HARD_LIMIT_SECONDS if way.hangs else 0
    return [
        _struck(way, attempts, number, at + delay) for number, at in enumerate(striker.struck_at, start=1)
    ]


def _struck(way: Way, attempts: Attempts, number: int, failed_at: float) -> Struck:
    def seconds_to(moment: float | None) -> float | None:
        return None if moment is None else round(moment - failed_at, 2)

    is_last = number + 1 not in attempts.started
    return Struck(
        way=way.name,
        recorded=seconds_to(attempts.recorded.get(number)),
        run_failed=seconds_to(attempts.run_failed.get(number)),
        next_started=seconds_to(attempts.started.get(number + 1)),
        job_ended=seconds_to(attempts.ended_at) if is_last else None,
        state=attempts.state,
    )


def _row(name: str, struck: Sequence[Struck]) -> tuple[object, ...]:
    columns = [(one.recorded, one.run_failed, one.next_started, one.job_ended) for one in struck]
    slowest = [
        max((value for value in column if value is not None), default="-")
        for column in zip(*columns, strict=True)
    ]
    return (name, len(struck), *slowest, ", ".join(sorted({one.state for one in struck})))
