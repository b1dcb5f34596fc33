"""Whether this process lives, and whether it can do its work."""

import time
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse

from enhancer_dagster.bridge.answers import unavailable
from enhancer_dagster.bridge.database import AsyncDatabase
from enhancer_dagster.bridge.directory import TenantDirectory
from enhancer_dagster.domain.deadlines import Clock
from enhancer_dagster.domain.errors import DatabaseUnavailableError

IsReady = Callable[[], Awaitable[bool]]
REMEMBER_SECONDS = 1.0


class Readiness:
    """Asks the database at most once a second, so that strangers cannot use up its connections.

    Args:
        database: Must answer, and know the bridge's tables.
        directory: Must have read the tenants.
        clock: A monotonic clock, seconds.
    """

    def __init__(
        self, database: AsyncDatabase, directory: TenantDirectory, clock: Clock = time.monotonic
    ) -> None:
        self._database = database
        self._directory = directory
        self._clock = clock
        self._asked_at = -REMEMBER_SECONDS
        self._answer = False

    async def __call__(self) -> bool:
        """Whether webhooks can be taken in now."""
        if self._clock() - self._asked_at >= REMEMBER_SECONDS:
            self._asked_at = self._clock()
            self._answer = await self._ask()
        return self._answer

    async def _ask(self) -> bool:
        try:
            self._directory.find("")
            async with self._database.connection() as connection:
                await connection.execute("SELECT FROM bridge.jobs LIMIT 1")
        except DatabaseUnavailableError:
            return False
        return True


def add_health(app: FastAPI, is_ready: IsReady) -> None:
    """Give `app` /healthz and /readyz."""

    @app.get("/healthz")
    async def alive() -> dict[str, str]:
        """The process is alive."""
        return {"status": "alive"}

    @app.get("/readyz", responses={503: {"description": "The database does not answer."}})
    async def ready() -> Any:
        """The database answers."""
        return JSONResponse({"status": "ready"}) if await is_ready() else unavailable()
