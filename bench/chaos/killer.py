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
SYSTEM_PAUSE = (1.5, 4.0)
POSTGRES_PAUSE = (5.0, 40.0)
"""Seconds between two kills of a track, from and to."""

REST_SECONDS = 40.0
"""After a round of the system's parts: time to come back, and for runs to be killed one by one."""

PATIENCE_SECONDS = 20.0
"""How long a track waits for the boundary that is next, before it takes another."""

KILLED_AT = {Boundary.COMMITTED: Boundary.BRIDGE, Boundary.CLAIMED: Boundary.CODE_SERVER}
_NEWEST_RUN = "SELECT coalesce(max(id), 0) FROM runs WHERE pipeline_name = 'enhance_ticket_job'"


class Track:
    """Boundaries that are struck in rounds, each once in a round.

    Args:
        decks: The boundaries; in a round those of the first deck come first, in any order.
        pause: Seconds between two kills, from and to.
        rng: Shuffles, and chooses the pauses.
        rest: Seconds between two rounds.
    """

    def __init__(
        self,
        decks: Sequence[Sequence[Boundary]],
        pause: tuple[float, float],
        rng: random.Random,
        rest: float = 0.0,
    ) -> None:
        self._decks, self._pause, self._rng, self._rest = decks, pause, rng, rest
        self._coming = self._shuffled()
        self._next_at = 0.0
        self.next = self._coming.pop()

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
        self._next_at = time.monotonic() + self._rng.uniform(*self._pause)
        if not self._coming:
            self._coming = self._shuffled()
            self._next_at += self._rest
        self.next = self._coming.pop()

    def postpone(self) -> None:
        """Keep the one that did not come by for later, and take another."""
        self._coming.insert(0, self.next)
        self.next = self._coming.pop()
        self._next_at = time.monotonic()

    def _shuffled(self) -> list[Boundary]:
        return [one for deck in reversed(self._decks) for one in self._rng.sample(deck, len(deck))]


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
        self._in_a_run = Track([IN_A_RUN], RUN_PAUSE, rng)
        # What is seen in a system that works comes before what needs but a process.
        self._system = Track([AT_THE_DOOR, PROCESSES], SYSTEM_PAUSE, rng, REST_SECONDS)
        self._postgres = Track([[Boundary.POSTGRES]], POSTGRES_PAUSE, rng)

    @property
    def least(self) -> int:
        """How often the boundary was struck that was struck least."""
        return min(self.kills[boundary] for boundary in Boundary)

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
