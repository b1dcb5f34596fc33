"""The tenants in memory, so that a webhook waits for no table and a stranger learns nothing from the time."""

import asyncio
from collections.abc import Mapping

from loguru import logger

from enhancer_dagster.domain.errors import ConfigurationError, DatabaseUnavailableError
from enhancer_dagster.domain.ports import Tenants
from enhancer_dagster.domain.tenants import Tenant

REFRESH_SECONDS = 30.0
RETRY_SECONDS = 1.0


class TenantDirectory:
    """All tenants, read anew when one changes and every 30 s.

    Looking up one at a time would tell tenants from strangers by the time it takes.

    Args:
        tenants: The registry; its calls block and run in a thread.
    """

    def __init__(self, tenants: Tenants) -> None:
        self._tenants = tenants
        self._by_id: Mapping[str, Tenant] | None = None
        self._stale = asyncio.Event()

    def find(self, tenant_id: str) -> Tenant | None:
        """The tenant, None where there is none.

        Raises:
            DatabaseUnavailableError: The registry could not be read since this process started.
        """
        if self._by_id is None:
            raise DatabaseUnavailableError("the tenants have not been read yet")
        return self._by_id.get(tenant_id)

    def refresh(self) -> None:
        """Have the registry read anew soon."""
        self._stale.set()

    async def run(self) -> None:
        """Keep the tenants fresh, until cancelled; what was read stays while the registry is away."""
        while True:
            self._stale.clear()
            patience = REFRESH_SECONDS if await self._read() else RETRY_SECONDS
            try:
                async with asyncio.timeout(patience):
                    await self._stale.wait()
            except TimeoutError:
                continue

    async def _read(self) -> bool:
        try:
            tenants = await asyncio.to_thread(self._tenants.list_all)
        except (ConfigurationError, DatabaseUnavailableError) as error:
            logger.error("the tenants cannot be read: {}", error)
        except ValueError as error:
            # A row that this version does not understand; the error's text may hold its secrets.
            logger.error("the tenants cannot be read: {}", type(error).__name__)
        else:
            self._by_id = {tenant.tenant_id: tenant for tenant in tenants}
            return True
        return False
