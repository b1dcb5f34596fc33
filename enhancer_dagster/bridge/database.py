"""The bridge's connections to PostgreSQL, for asyncio: they outlive its restarts and never wait for long."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import psycopg
from loguru import logger
from psycopg import errors
from psycopg.rows import DictRow, dict_row
from psycopg.types.json import Json
from psycopg_pool import AsyncConnectionPool, PoolTimeout
from pydantic import SecretStr
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random

from enhancer_dagster.database import note_use, seems_alive
from enhancer_dagster.domain.errors import DatabaseUnavailableError

Connection = psycopg.AsyncConnection[DictRow]
Result = TypeVar("Result")
Work = Callable[[Connection], Awaitable[Result]]

POOL_WAIT_SECONDS = 3.0
AWAY_SECONDS = 1.0
RACE_ATTEMPTS = 5
RACES = (
    errors.UniqueViolation,
    errors.NotNullViolation,  # how transitions.ACCEPT reports that it lost a race for a delivery id
    errors.DeadlockDetected,
    errors.SerializationFailure,
)
SETTINGS = {
    "TimeZone": "UTC",
    "statement_timeout": "15s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "30s",
    # A queue fills and empties within minutes: a plan kept from when it was empty reads all of a full one.
    "plan_cache_mode": "force_custom_plan",
    # Before PostgreSQL 18 a plan that must use what `transitions.BEGIN_CLAIM` turns off is priced so high
    # that it is compiled, which takes longer than all else of a claim.
    "jit": "off",
}
CONNECTION_OPTIONS: dict[str, Any] = {
    "application_name": "enhancer-bridge",
    "autocommit": True,
    "row_factory": dict_row,
    "connect_timeout": 5,
    # A connection whose other end is gone is given up after seconds, not after the kernel's two hours.
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}


class AsyncDatabase:
    """A pool of connections on the running event loop.

    Args:
        url: `postgresql://…`.
        max_size: Most connections at once.
    """

    def __init__(self, url: SecretStr, *, max_size: int = 8) -> None:
        self._url = url
        self._max_size = max_size
        self._pool: AsyncConnectionPool[Connection] | None = None
        self._away_until = 0.0

    async def open(self) -> None:
        """Make the pool; PostgreSQL need not be up yet."""
        self._pool = AsyncConnectionPool(
            self._url.get_secret_value(),
            connection_class=psycopg.AsyncConnection[DictRow],
            kwargs=CONNECTION_OPTIONS,
            min_size=0,
            max_size=self._max_size,
            max_idle=120,
            max_waiting=200,
            configure=_configure,
            check=_verify_idle,
            # The pool doubles its pauses between attempts; a new request starts a fresh one instead.
            reconnect_timeout=1,
            open=False,
            name="enhancer-bridge",
        )
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Close every connection."""
        if self._pool is not None:
            await self._pool.close(timeout=2)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """A connection in autocommit mode.

        Raises:
            DatabaseUnavailableError: No connection could be had, or PostgreSQL refused a statement. For a
                second after the former nobody else waits for one.
        """
        clock = asyncio.get_running_loop().time
        if self._pool is None or clock() < self._away_until:
            raise DatabaseUnavailableError("PostgreSQL could not be reached a moment ago")
        try:
            async with self._pool.connection(timeout=POOL_WAIT_SECONDS) as connection:
                yield connection
                note_use(connection)
        except psycopg.Error as error:
            if isinstance(error, PoolTimeout):
                self._away_until = clock() + AWAY_SECONDS
            unavailable = _unavailable(error)
            logger.error("{}", unavailable)
            raise unavailable from error

    async def statement(self, work: Work[Result]) -> Result:
        """Run `work`, one statement that is a transaction by itself, again where it lost a race.

        Raises:
            DatabaseUnavailableError: As `connection`.
        """
        async with self.connection() as connection:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(RACES),
                stop=stop_after_attempt(RACE_ATTEMPTS),
                wait=wait_random(0, 0.02),
                reraise=True,
            ):
                with attempt:
                    return await work(connection)
        raise AssertionError("the attempts end with an answer or an error")

    async def transaction(self, work: Work[Result]) -> Result:
        """Run `work` in one transaction, again from the start where it lost a race.

        Raises:
            DatabaseUnavailableError: As `connection`.
        """

        async def once(connection: Connection) -> Result:
            async with connection.transaction():
                return await work(connection)

        return await self.statement(once)

    async def listen(self) -> Connection:
        """A connection of its own, for LISTEN; the caller closes it.

        Raises:
            DatabaseUnavailableError: PostgreSQL cannot be reached.
        """
        try:
            url = self._url.get_secret_value()
            connection = await psycopg.AsyncConnection[DictRow].connect(url, **CONNECTION_OPTIONS)
            await _configure(connection)
            return connection
        except psycopg.Error as error:
            raise _unavailable(error) from error


def _unavailable(error: psycopg.Error) -> DatabaseUnavailableError:
    # What follows the first line may quote a ticket's text.
    reason = (str(error).splitlines() or [""])[0]
    return DatabaseUnavailableError(f"PostgreSQL: {type(error).__name__}: {reason}")


async def _configure(connection: Connection) -> None:
    # Not as `options` of the connection, which a pooler in between refuses.
    await connection.execute(
        "SELECT set_config(name, value, false) FROM json_each_text(%s) AS setting (name, value)",
        [Json(SETTINGS)],
    )


async def _verify_idle(connection: Connection) -> None:
    if not seems_alive(connection):
        await connection.execute("")
