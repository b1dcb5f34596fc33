"""Starts a PostgreSQL again that ended although nobody asked it to."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from loguru import logger
from tenacity import Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential
from tenacity.nap import sleep_using_event

from enhancer_dagster.domain.errors import DatabaseUnavailableError

LOOK_SECONDS = 0.25
LONGEST_PAUSE = 10.0


class Server(Protocol):
    """What is kept running."""

    @property
    def is_running(self) -> bool:
        """Whether it lives."""
        ...

    def start(self) -> None:
        """Make it live; `DatabaseUnavailableError` where that did not work."""
        ...


@contextmanager
def kept_running(server: Server) -> Iterator[None]:
    """Look after `server` for the length of a `with` block, in which nobody else may stop it."""
    over = threading.Event()
    # The kernel ends a child with the thread that started it: this one lives as long as the server may.
    keeper = threading.Thread(target=_keep, args=(server, over), name="postgres-keeper", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        over.set()
        keeper.join()


def _keep(server: Server, over: threading.Event) -> None:
    attempts = Retrying(
        retry=retry_if_exception_type(DatabaseUnavailableError),
        wait=wait_exponential(multiplier=0.5, max=LONGEST_PAUSE),
        stop=stop_when_event_set(over),
        sleep=sleep_using_event(over),
        before_sleep=lambda state: logger.error(
            "PostgreSQL does not start: {}", state.outcome and state.outcome.exception()
        ),
        retry_error_callback=lambda _: None,
    )
    while not over.wait(LOOK_SECONDS):
        if not server.is_running:
            logger.warning("PostgreSQL has ended, it is started again")
            attempts(server.start)
