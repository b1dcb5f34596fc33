"""Decides when which boundary is struck: three tracks side by side, each with a deck of its own."""

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

import psycopg
from loguru import logger

from bench.chaos.boundaries import AT_THE_DOOR, IN_A_RUN, PROCESSES, Boundary
from bench.chaos.proxy import Call, Moment
from bench.chaos.targets import Targets
from bench.chaos.watch import Sighting, Watch

RUN_PAUSE = (0.2, 1.2)
SYSTEM_PAUSE = (3.0, 7.0)
POSTGRES_PAUSE = (5.0, 40.0)
"""Seconds between two kills of a track, from and to."""

PATIENCE_SECONDS = 20.0
"""How long a track waits for the boundary that is next, before it takes another."""

KILLED_AT = {Boundary.COMMITTED: Boundary.BRIDGE, Boundary.CLAIMED: Boundary.CODE_SERVER}
_NEWEST_RUN = "SELECT coalesce(max(id), 0) FROM runs WHERE pipeline_name = 'enhance_ticket_job'"


class Track:
    """Boundaries that are struck one after another, each as often as the others.

    Args:
        deck: The boundaries.
        pause: Seconds between two kills, from and to.
        rng: Shuffles, and chooses the pauses.
    """

    def __init__(self, deck: Sequence[Boundary], pause: tuple[float, float], rng: random.Random) -> None:
        self._deck, self._pause, self._rng = deck, pause, rng
        self._coming: list[Boundary] = []
        self._next_at = 0.0
        self.next = self._draw()

    @property
    def is_due(self) -> bool:
        """Whether the boundary that is next may be struck."""
        return time.monotonic() >= self._next_at

    @property
    def is_overdue(self) -> bool:
        """Whether it has not come by for long."""
        return time.monotonic() >= self._next_at + PATIENCE_SECONDS

    def turn(self) -> None:
        """Go on to the next one."""
        self.next = self._draw()

    def postpone(self) -> None:
        """Keep the one that did not come by for later, and take another."""
        self._coming.insert(0, self.next)
        self.next = self._coming.pop()
        self._next_at = time.monotonic()

    def _draw(self) -> Boundary:
        if not self._coming:
            self._coming = self._rng.sample(self._deck, len(self._deck))
        self._next_at = time.monotonic() + self._rng.uniform(*self._pause)
        return self._coming.pop()


class Killer:
    """Kills while it is `on`.

    Args:
        targets: Whom.
        dagster_url: Dagster's database, where new runs are seen.
        rng: Makes the order of boundaries and the pauses repeatable.
    """

    def __init__(self, targets: Targets, dagster_url: str, rng: random.Random) -> None:
        self.kills: Counter[Boundary] = Counter()
        self.on = False
        self._targets = targets
        self._dagster_url = dagster_url
        self._watch = Watch()
        self._lock = threading.Lock()
        self._in_a_run = Track(IN_A_RUN, RUN_PAUSE, rng)
        self._system = Track((*AT_THE_DOOR, *PROCESSES), SYSTEM_PAUSE, rng)
        self._postgres = Track((Boundary.POSTGRES,), POSTGRES_PAUSE, rng)

    def observe(self, call: Call, moment: Moment) -> bool:
        """Strike if this is the boundary that is next; whether the call may go on."""
        with self._lock:
            sighting = self._watch.see(call, moment)
            return sighting is None or not self._struck(sighting)

    def run(self, over: threading.Event) -> None:
        """Kill what is killed at random moments, until `over`."""
        while not over.wait(0.05):
            if not self.on:
                continue
            self._strike_at_random()
            with self._lock:
                for track in (self._in_a_run, self._system):
                    if track.is_overdue:
                        logger.info("chaos: nobody came to '{}'", track.next)
                        track.postpone()

    def _struck(self, sighting: Sighting) -> bool:
        track = self._system if sighting.run_id is None else self._in_a_run
        if not self.on or sighting.boundary is not track.next or not track.is_due:
            return False
        if sighting.run_id is None:
            return self._strike(track, lambda: self._targets.kill(KILLED_AT[sighting.boundary]))
        return self._strike(track, lambda: self._targets.kill_worker_of(str(sighting.run_id)))

    def _strike_at_random(self) -> None:
        if self._postgres.is_due:
            self._strike(self._postgres, lambda: self._targets.kill(Boundary.POSTGRES))
        track = self._system
        if track.is_due and track.next in PROCESSES:
            self._strike(track, lambda: self._targets.kill(track.next))
        elif track.is_due and track.next is Boundary.RUN_CREATED and self._sees_new_run():
            self._strike(track, lambda: self._targets.kill(Boundary.DAEMON))

    def _strike(self, track: Track, kill: Callable[[], bool]) -> bool:
        if not kill():
            return False
        logger.info("chaos: killed at '{}'", track.next)
        self.kills[track.next] += 1
        track.turn()
        return True

    def _sees_new_run(self) -> bool:
        """Whether a run is created within a second from now."""
        give_up_at = time.monotonic() + 1
        with suppress(psycopg.Error), psycopg.connect(self._dagster_url, autocommit=True) as connection:
            before = connection.execute(_NEWEST_RUN).fetchone()
            while time.monotonic() < give_up_at:
                if connection.execute(_NEWEST_RUN).fetchone() != before:
                    return True
                time.sleep(0.01)
        return False
