"""One connection that LISTENs for the whole process, and how it wakes whoever waits."""

import asyncio
from collections.abc import Callable, Mapping

import psycopg
from loguru import logger
from psycopg import sql

from enhancer_dagster.bridge.database import AsyncDatabase, Connection
from enhancer_dagster.domain.errors import DatabaseUnavailableError

RECONNECT_SECONDS = 1.0
STILL_THERE_SECONDS = 30.0


class Wakeups:
    """Wakes every waiting poller at once. A wake-up between two waits is not lost."""

    def __init__(self) -> None:
        self._next: asyncio.Event = asyncio.Event()
        self.closed = False

    def mark(self) -> asyncio.Event:
        """What the next wake-up will set: take it before looking for work, then wait on it."""
        return self._next

    def wake(self) -> None:
        """Wake all who wait."""
        self._next.set()
        if not self.closed:
            self._next = asyncio.Event()

    def close(self) -> None:
        """Wake all, and let nobody wait again."""
        self.closed = True
        self.wake()


class Listener:
    """Calls `on[channel](payload)` for every notification.

    After each connect, the first included, every callback is called with "", since whatever was sent before
    is lost.
    """

    def __init__(self, database: AsyncDatabase, on: Mapping[str, Callable[[str], None]]) -> None:
        self._database = database
        self._on = on

    async def run(self) -> None:
        """Listen, and connect again whenever the connection is lost, until cancelled."""
        while True:
            try:
                connection = await self._database.listen()
            except DatabaseUnavailableError as error:
                logger.warning("cannot listen for new jobs: {}", error)
            else:
                try:
                    await self._follow(connection)
                except psycopg.Error as error:
                    logger.warning("the connection for notifications broke: {}", type(error).__name__)
                finally:
                    await connection.close()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self, connection: Connection) -> None:
        for channel in self._on:
            await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
        for callback in self._on.values():
            callback("")
        while True:
            async for notice in connection.notifies(timeout=STILL_THERE_SECONDS):
                self._on[notice.channel](notice.payload)
            await connection.execute("SELECT 1")
