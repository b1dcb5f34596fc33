"""The bridge put together: its parts, its two applications and what runs beside them."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from loguru import logger
from pydantic import SecretStr

from enhancer_dagster.bridge import transitions
from enhancer_dagster.bridge.body import BodyReader
from enhancer_dagster.bridge.claim_api import Desk, claim_api
from enhancer_dagster.bridge.database import AsyncDatabase
from enhancer_dagster.bridge.desk_api import enqueue_routes, quarantine_routes
from enhancer_dagster.bridge.directory import TenantDirectory
from enhancer_dagster.bridge.health import Readiness
from enhancer_dagster.bridge.intake import Intake
from enhancer_dagster.bridge.ledger import Ledger
from enhancer_dagster.bridge.limits import RateLimiter
from enhancer_dagster.bridge.notifications import Listener, Wakeups
from enhancer_dagster.bridge.poller import Poller
from enhancer_dagster.bridge.public_api import Door, Limits, public_api
from enhancer_dagster.bridge.quarantine import Quarantine
from enhancer_dagster.bridge.queue import Leases, Queue
from enhancer_dagster.bridge.retention import Ages, prune_regularly
from enhancer_dagster.bridge.verification import Verifier
from enhancer_dagster.domain.errors import DatabaseUnavailableError
from enhancer_dagster.domain.ports import Tenants
from enhancer_dagster.settings import Settings

REGISTRY_CHANNEL = "registry_changed"
SWEEP_SECONDS = 5.0
LEASE_MARGIN_SECONDS = 30.0
"""A running job's lease outlives the run's hard limit by this, the time to notice and to report it."""


class Bridge:
    """One bridge process.

    Args:
        settings: `Settings`.
        database_url: `postgresql://…`.
        claim_token: What the pipeline shows at the claim listener.
        tenants: The registry.
    """

    def __init__(
        self, settings: Settings, database_url: SecretStr, claim_token: SecretStr, tenants: Tenants
    ) -> None:
        self.database = AsyncDatabase(database_url)
        self.wakeups = Wakeups()
        self.directory = TenantDirectory(tenants)
        self.intake = Intake(self.database)
        leases = Leases(settings.lease_seconds, settings.run_hard_limit_seconds + LEASE_MARGIN_SECONDS)
        self.queue = Queue(self.database, leases)
        self._ages = Ages(settings.retention_payload_days, settings.retention_jobs_days)
        quarantine = Quarantine(self.database, self.intake)
        readiness = Readiness(self.database, self.directory)
        self.public_app: FastAPI = public_api(self._door(settings, quarantine), readiness)
        desk = Desk(self.queue, Poller(self.queue, self.wakeups), Ledger(self.database))
        more = (
            enqueue_routes(self.directory, self.intake, self.queue),
            quarantine_routes(quarantine),
        )
        self.claim_app: FastAPI = claim_api(desk, more, readiness, claim_token)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Everything beside the listeners: connections, intake, notifications, sweep, retention.

        Raises:
            ExceptionGroup: One of them failed in a way that nobody foresaw; the process should end.
        """
        await self.database.open()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work) for work in self._background()]
                yield
                for task in tasks:
                    task.cancel()
        finally:
            await self.database.close()

    def _background(self) -> Sequence[Coroutine[Any, Any, None]]:
        callbacks = {
            transitions.CHANNEL: lambda _: self.wakeups.wake(),
            REGISTRY_CHANNEL: lambda _: self.directory.refresh(),
        }
        return (
            self.directory.run(),
            self.intake.run(),
            Listener(self.database, callbacks).run(),
            self._sweep_regularly(),
            prune_regularly(self.database, self._ages),
        )

    async def _sweep_regularly(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_SECONDS)
            try:
                await self.queue.sweep()
            except DatabaseUnavailableError as error:
                logger.warning("leases cannot be checked: {}", error)

    def _door(self, settings: Settings, quarantine: Quarantine) -> Door:
        by_address = RateLimiter(
            settings.webhook_rate_per_address, settings.webhook_burst_per_address, time.monotonic
        )
        by_tenant = RateLimiter(
            settings.webhook_rate_per_tenant, settings.webhook_burst_per_tenant, time.monotonic
        )
        return Door(
            directory=self.directory,
            verifier=Verifier(time.time),
            limits=Limits(by_address, by_tenant),
            bodies=BodyReader(settings.webhook_body_seconds),
            intake=self.intake,
            quarantine=quarantine,
        )
