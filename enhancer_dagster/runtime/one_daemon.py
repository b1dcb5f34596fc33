"""One active Dagster daemon of several: who holds a lock in PostgreSQL runs it, the others wait.

Dagster knows no election. Two at once both evaluate every sensor and both take runs from the queue, and
only warn of each other. So the daemon's process lives no longer than the lock does.
"""

import os
import signal
import subprocess
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import psycopg
from loguru import logger
from pydantic import SecretStr

from enhancer_dagster.database import CONNECT_SECONDS
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.own_database import notifications_arrive
from enhancer_dagster.runtime.processes import end_with_parent

LOCK = 7_461_320_121
LOOK_SECONDS = 1.0
STOP_SECONDS = 15.0

# An active host that is cut off finds out, and ends its daemon, before PostgreSQL gives the lock to another.
CUT_OFF_SECONDS = 5
OURS: dict[str, Any] = {
    "keepalives_idle": 2,
    "keepalives_interval": 1,
    "keepalives_count": 3,
    "tcp_user_timeout": CUT_OFF_SECONDS * 1000,
    "connect_timeout": CONNECT_SECONDS,
}
THEIRS = "SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 2; SET tcp_keepalives_count = 3"


def run_while_active(url: SecretStr, command: Sequence[str], stop: threading.Event) -> int:
    """Wait for the lock, run `command` while it is held, and wait again where it is lost.

    Args:
        url: Dagster's database.
        command: The daemon's program and arguments.
        stop: Ends it in good order.

    Returns:
        The exit status of a command that ended by itself, else 0.

    Raises:
        ConfigurationError: A pooler lies between that would lose the lock.
        DatabaseUnavailableError: PostgreSQL cannot be reached at the start.
    """
    if not notifications_arrive(url):
        raise ConfigurationError(
            "a pooler in transaction mode lies before Dagster's database, and no lock can be held through "
            "it: give the daemon an address past it, or one in session mode"
        )
    while not stop.is_set():
        try:
            with psycopg.connect(url.get_secret_value(), autocommit=True, **OURS) as connection:
                if _becomes_active(connection, stop):
                    return _run(connection, command, stop)
        except psycopg.Error as error:
            logger.warning("this daemon is not the active one (any more): {}", type(error).__name__)
            stop.wait(LOOK_SECONDS)
    return 0


def _becomes_active(connection: psycopg.Connection, stop: threading.Event) -> bool:
    connection.execute(THEIRS)
    logger.info("waiting until no other daemon is active")
    while not stop.is_set():
        row = connection.execute("SELECT pg_try_advisory_lock(%s)", [LOCK]).fetchone()
        if row is not None and row[0]:
            logger.info("this daemon is the active one now")
            return True
        stop.wait(LOOK_SECONDS)
    return False


def _run(connection: psycopg.Connection, command: Sequence[str], stop: threading.Event) -> int:
    process = subprocess.Popen(
        list(command), start_new_session=True, preexec_fn=end_with_parent(signal.SIGKILL)
    )
    try:
        while not stop.wait(LOOK_SECONDS):
            if (status := process.poll()) is not None:
                return status
            connection.execute("SELECT 1")
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_SECONDS)
        return 0
    finally:
        # Without the lock nothing of it may go on, not for as long as an orderly end takes.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
