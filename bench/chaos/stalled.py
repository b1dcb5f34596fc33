"""A run that is held up past its lease, so that another one takes its ticket over, and that then goes on.

With the fence it stops there. Without, it writes to the ticket a second time, which the verdict must notice.
"""

import os
import random
import signal
import threading
import time
from collections.abc import Callable

import psycopg
from loguru import logger

from bench.chaos.boundaries import Boundary
from bench.chaos.open_fence import OpenFence
from bench.chaos.proxy import Call, Moment, Observer
from bench.chaos.system import WatchedSystem, url_of, watched_system
from bench.chaos.targets import Targets
from bench.chaos.verdict import Verdict
from bench.chaos.watch import Watch
from bench.tracking import Tracker
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.settings import Settings

WAIT_SECONDS = 120.0

SAME_SECTION_SECONDS = 1.0
"""A section says to the second when it was generated. Two runs that write theirs in the same second write the
same, and the second one finds that nothing is left to be written."""

_END_LEASE = """
    UPDATE bridge.jobs SET lease_expires_at = now() WHERE state = 'running' AND run_id = %s
"""
_COMPLETED = "SELECT 1 FROM bridge.jobs WHERE state = 'completed' AND run_id <> %s"


class Holder:
    """Stops the worker of the first run that asks the LLM, as a machine does that hangs.

    Args:
        targets: Where the worker is found.
    """

    def __init__(self, targets: Targets) -> None:
        self.run_id: str | None = None
        self.held = threading.Event()
        self._targets = targets
        self._watch = Watch()
        self._worker: int | None = None

    def observe(self, call: Call, moment: Moment) -> bool:
        """As an `Observer`."""
        sighting = self._watch.see(call, moment)
        if sighting and sighting.boundary is Boundary.SYNTHESIZE and self.run_id is None and sighting.run_id:
            self.run_id = sighting.run_id
            self._worker = self._targets.worker_of(sighting.run_id)
            if self._worker is not None:
                os.kill(self._worker, signal.SIGSTOP)
            self.held.set()
        return True

    def let_go(self) -> None:
        """Have it go on."""
        if self._worker is not None:
            os.kill(self._worker, signal.SIGCONT)


def run(*, without_fence: bool) -> Verdict:
    """Hold up a run, let another take over, let the first go on, and judge.

    Raises:
        ConfigurationError: It did not come to that in time.
    """
    holders: list[Holder] = []

    def observer(settings: Settings) -> Observer:
        holders.append(Holder(Targets(settings, random.Random())))
        return OpenFence(holders[0].observe).observe if without_fence else holders[0].observe

    with watched_system(observer) as system:
        (holder,) = holders
        system.senders.send_one()
        _await(holder.held.is_set, "a run asks the LLM")
        logger.info("chaos: run {} is held up, and its lease ends", holder.run_id)
        time.sleep(SAME_SECTION_SECONDS)
        try:
            _take_over(system, str(holder.run_id))
        finally:
            holder.let_go()
        _await(Tracker(system.settings).is_quiet, "both runs end")
        system.drain()
        return system.verdict()


def _take_over(system: WatchedSystem, run_id: str) -> None:
    url = url_of(system.settings, "database_url")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(_END_LEASE, [run_id])
        _await(lambda: connection.execute(_COMPLETED, [run_id]).fetchone(), "another run completes the job")


def _await(condition: Callable[[], object], what: str) -> None:
    give_up_at = time.monotonic() + WAIT_SECONDS
    while not condition():
        if time.monotonic() > give_up_at:
            raise ConfigurationError(f"not within {WAIT_SECONDS:g} s: {what}")
        time.sleep(0.1)
