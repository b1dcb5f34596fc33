"""Which worker has a run, and whether it lives: two keys a run in Redis.

The claim is set once and never changes hands, so that a run is executed at most once whatever is delivered
twice. The sign of life expires unless the process that executes the run sets it again. Redis being away says
nothing about a worker; therefore silence counts only while somebody could have been heard, and for
`SILENCE_SECONDS` at least.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from loguru import logger
from redis import Redis, RedisError

BEAT_SECONDS = 3.0
EXPIRY_SECONDS = 12
SILENCE_SECONDS = 8.0
NOTICED_SECONDS = 30
"""From a worker's end to its notice at most: expiry, silence, and two polls of run monitoring."""

KEPT_SECONDS = 48 * 3600
"""How long a claim is known; far longer than a task is delivered again."""


class RunClaims:
    """The claims of all runs.

    Args:
        redis_url: Where they are.
    """

    def __init__(self, redis_url: str) -> None:
        self._redis = Redis.from_url(
            redis_url,
            socket_timeout=5,
            socket_connect_timeout=5,
            socket_keepalive=True,
            decode_responses=True,
        )

    def claim(self, run_id: str, claimant: str) -> bool:
        """Take a run, for ever; whether nobody had.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        return bool(self._redis.set(_claim(run_id), claimant, nx=True, ex=KEPT_SECONDS))

    def claimant(self, run_id: str) -> str | None:
        """Who took a run.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        found = self._redis.get(_claim(run_id))
        return None if found is None else str(found)

    def is_alive(self, run_id: str) -> bool:
        """Whether the process that executes a run gave a sign of life in the last `EXPIRY_SECONDS`.

        Raises:
            redis.RedisError: Redis cannot be asked.
        """
        return bool(self._redis.exists(_sign(run_id)))

    @contextmanager
    def alive(self, run_id: str) -> Iterator[None]:
        """Give signs of life for the length of a `with` block."""
        over = threading.Event()
        threading.Thread(target=self._beat, args=(run_id, over), name="run-alive", daemon=True).start()
        try:
            yield
        finally:
            over.set()
            with suppress(RedisError):
                self._redis.delete(_sign(run_id))

    def _beat(self, run_id: str, over: threading.Event) -> None:
        while not over.is_set():
            try:
                self._redis.set(_sign(run_id), "1", ex=EXPIRY_SECONDS)
            except RedisError as error:
                logger.warning("run {} cannot show that it is alive: {}", run_id, type(error).__name__)
            over.wait(BEAT_SECONDS)


def _claim(run_id: str) -> str:
    return f"dagster-run:{run_id}:claimed"


def _sign(run_id: str) -> str:
    return f"dagster-run:{run_id}:alive"
