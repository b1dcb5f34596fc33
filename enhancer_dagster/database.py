"""Connections to the product's PostgreSQL, and its migrations.

psycopg's pools are opened on first use and never before a fork: a pool belongs to the process that made it.
"""

import os
import select
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolTimeout
from pydantic import SecretStr

from enhancer_dagster.domain.errors import DatabaseUnavailableError

POOL_WAIT_SECONDS = 5.0
CONNECT_SECONDS = 5

TRUSTED_IDLE_SECONDS = 5.0
"""A connection unused for longer is asked whether it still works before it is handed out."""


class Database:
    """A pool of connections for this process.

    Args:
        url: `postgresql://…`.
        max_size: Most connections at once.
    """

    def __init__(self, url: SecretStr, *, max_size: int = 4) -> None:
        self._url = url
        self._max_size = max_size

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[DictRow]]:
        """A connection in one transaction: committed at the end, rolled back on an error.

        Raises:
            DatabaseUnavailableError: No connection could be had, or it broke.
        """
        pool = _pool(self._url.get_secret_value(), self._max_size, os.getpid())
        try:
            with pool.connection(timeout=POOL_WAIT_SECONDS) as connection:
                yield connection
                note_use(connection)
        except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
            raise DatabaseUnavailableError(f"PostgreSQL: {type(error).__name__}: {error}") from error


@lru_cache(maxsize=8)
def _pool(url: str, max_size: int, process_id: int) -> ConnectionPool[psycopg.Connection[DictRow]]:
    # No prepared statements: of a pooler in between, the next transaction may have another session.
    kwargs: dict[str, Any] = {
        "row_factory": dict_row, "connect_timeout": CONNECT_SECONDS, "prepare_threshold": None,
    }  # fmt: skip
    return ConnectionPool(
        url,
        connection_class=psycopg.Connection[DictRow],
        min_size=0,
        max_size=max_size,
        max_idle=60,
        kwargs=kwargs,
        check=_verify_idle,
        open=True,
        name=f"enhancer-{process_id}",
    )


def note_use(connection: psycopg.BaseConnection[Any]) -> None:
    """Remember when `connection` last worked.

    Not as a pool's `reset`, for which it hands each connection to a thread of its own: 5 % of a run's CPU.
    """
    _used[connection] = time.monotonic()


def seems_alive(connection: psycopg.BaseConnection[Any]) -> bool:
    """Whether `connection` was used a moment ago, and the server has said nothing since.

    A server that closes a connection, or is killed, makes its socket readable. To ask it each time cost as
    much as the shortest of statements, some fifteen times a ticket.
    """
    if time.monotonic() - _used.get(connection, -TRUSTED_IDLE_SECONDS) >= TRUSTED_IDLE_SECONDS:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


_used: WeakKeyDictionary[psycopg.BaseConnection[Any], float] = WeakKeyDictionary()


def _verify_idle(connection: psycopg.Connection[DictRow]) -> None:
    if not seems_alive(connection):
        ConnectionPool[psycopg.Connection[DictRow]].check_connection(connection)


def migrate(url: SecretStr, revision: str = "head") -> None:
    """Bring the schemas `registry`, `bridge` and `pipeline` to `revision`; data is kept.

    Two processes may call it at once: an advisory lock lets them in one after the other.
    """
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["url"] = url.get_secret_value()
    command.upgrade(config, revision)
