"""A live deployment for benchmarks: the product's own processes, and the services outside beside them."""

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import psutil
from loguru import logger
from pydantic import HttpUrl, SecretStr

from bench.services import DESK_KEY, Services, running_services
from bench.tracking import Outcome, Tracker
from enhancer_dagster.adapters.secrets import Cipher, generate_webhook_secret
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.adapters.webhook_sender import WebhookSender
from enhancer_dagster.database import Database
from enhancer_dagster.domain.destinations import LOOPBACK
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.tenants import Edition, ServiceDeskConnection, Tenant
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.installation import ready_installation
from enhancer_dagster.runtime.system import running_system
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.settings import Settings

INDEX_SECONDS = 600.0
STALL_SECONDS = 300.0
"""How long a benchmark waits without any ticket being finished."""

POLL_SECONDS = 0.25
SENDERS = 4
WARM_UP_TICKETS = 6

System = Callable[[Settings, Path], AbstractContextManager[object]]
"""What runs the product, given its settings and a folder for logs."""


class Deployment:
    """A system that is up and has served its first tickets."""

    def __init__(self, settings: Settings, tenant: Tenant, services: Services, outside: set[int]) -> None:
        self.settings = settings
        self.tenant = tenant
        self.services = services
        self.tracker = Tracker(settings)
        self._outside = outside

    def processes(self) -> list[psutil.Process]:
        """The product's processes, PostgreSQL among them, without their descendants."""
        return [child for child in psutil.Process().children() if child.pid not in self._outside]

    def prepare(self, count: int) -> list[dict[str, Any]]:
        """Open tickets at the service desk, of which nobody has told us yet."""
        return self.services.new_tickets(count)

    def announce(self, tickets: Sequence[dict[str, Any]]) -> None:
        """Send the webhooks of `tickets` as fast as they are accepted.

        Raises:
            httpx.HTTPStatusError: One was not accepted.
        """
        share = [list(tickets[number::SENDERS]) for number in range(SENDERS)]
        with ThreadPoolExecutor(SENDERS) as pool:
            list(pool.map(self._send, share))

    def finish(self, tickets: Sequence[dict[str, Any]]) -> list[Outcome]:
        """Wait until nothing more will happen to `tickets`; what became of them, in the order of arrival."""
        ids = [ticket["id"] for ticket in tickets]
        seen, moved_at = -1, time.monotonic()
        while not self.tracker.is_done(ids) and time.monotonic() - moved_at < STALL_SECONDS:
            if (now := self.tracker.completed(ids)) != seen:
                seen, moved_at = now, time.monotonic()
            time.sleep(POLL_SECONDS)
        found = self.tracker.outcomes(ids, self.services.updates())
        return [found[ticket_id] for ticket_id in ids if ticket_id in found]

    def enhance(self, count: int) -> list[Outcome]:
        """All of it for `count` tickets at once."""
        tickets = self.prepare(count)
        self.announce(tickets)
        return self.finish(tickets)

    def enhance_spaced(self, count: int, every: float) -> list[Outcome]:
        """All of it for `count` tickets, one every so many seconds.

        Each is opened right before its webhook: one that is known to the service desk for minutes is found by
        `missed_ticket_sensor`, which is another way with another duration.
        """
        came: list[dict[str, Any]] = []
        started = time.monotonic()
        for number in range(1, count + 1):
            tickets = self.prepare(1)
            self.announce(tickets)
            came += tickets
            time.sleep(max(0.0, started + number * every - time.monotonic()))
        return self.finish(came)

    def _send(self, tickets: Sequence[dict[str, Any]]) -> None:
        tenant = self.tenant
        sender = WebhookSender(self.settings.webhook_base, tenant.tenant_id, tenant.webhook_secrets[0])
        try:
            for ticket in tickets:
                sender.send(webhook_of(ticket)).raise_for_status()
        finally:
            sender.close()


@contextmanager
def deployment(system: System = running_system, **settings: Any) -> Iterator[Deployment]:
    """The product in a folder of its own, its index built and its workers warm; all of it gone at the end.

    The index is built before, so that this is what every start but the very first is.

    Args:
        system: Runs the product.
        **settings: In place of the defaults.
    """
    with bench_folder() as folder, ready_installation(bench_settings(folder, **settings)) as ready:
        logs = folder / "logs"
        before = _children()
        with running_services(logs) as services:
            outside = _children() - before
            ready = ready.model_copy(update={"llm_base_url": services.llm_base_url})
            tenant = add_tenant(ready, services.desk_url)
            with running_system(ready, logs):
                await_index(ready, tenant)
            with system(ready, logs):
                live = Deployment(ready, tenant, services, outside)
                live.enhance(WARM_UP_TICKETS)
                yield live


@contextmanager
def bench_folder() -> Iterator[Path]:
    """An empty folder that other users may pass through, as the embedded PostgreSQL needs under root."""
    folder = Path(tempfile.mkdtemp(prefix="enhancer-bench-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def bench_settings(folder: Path, **settings: Any) -> Settings:
    """The product's settings, on free ports, with a gateway that has no name yet."""
    ports = {name: free_port() for name in ("webhook_port", "claim_port", "dagster_port")}
    gateway = {"llm_api_key": "bench-key", "llm_model": "bench-model"}
    here = {"allow_http": True, "private_networks": LOOPBACK}
    return Settings.model_validate({"data_dir": folder} | ports | gateway | here | settings)


def add_tenant(settings: Settings, desk_url: str, tenant_id: str = "bench") -> Tenant:
    """A tenant on the simulated service desk."""
    if settings.database_url is None or settings.secret_key is None:
        raise ConfigurationError("the installation is not ready: it has no database or no secret key")
    desk = ServiceDeskConnection(
        edition=Edition.ONPREM, base_url=HttpUrl(desk_url), api_key=SecretStr(DESK_KEY)
    )
    tenant = Tenant(tenant_id=tenant_id, service_desk=desk, webhook_secrets=(generate_webhook_secret(),))
    TenantStore(Database(settings.database_url), Cipher(settings.secret_key)).add(tenant, "bench")
    return tenant


def webhook_of(ticket: dict[str, Any]) -> dict[str, Any]:
    """The body of the webhook about a ticket, as the service desk's API shows the ticket."""
    return {
        "ticket_id": ticket["id"],
        "subject": ticket["subject"],
        "description": ticket["description"] or "",
        "priority": (ticket["priority"] or {}).get("name", ""),
        "created_at": "2026-11-02T15:30:45Z",
        "event": "created",
    }


def await_index(settings: Settings, tenant: Tenant) -> None:
    """Wait until the tenant's first index is published and no run is on its way.

    Raises:
        ConfigurationError: It takes too long.
    """
    place, tracker = TenantLocation(settings.index_location, tenant.tenant_id), Tracker(settings)
    give_up_at = time.monotonic() + INDEX_SECONDS
    logger.info("waiting for the first index")
    while place.current() is None or not tracker.is_quiet():
        if time.monotonic() > give_up_at:
            raise ConfigurationError(f"no index after {INDEX_SECONDS:g} s")
        time.sleep(POLL_SECONDS)


def _children() -> set[int]:
    return {child.pid for child in psutil.Process().children()}
