"""The demo: the real system, a simulated service desk beside it, and tickets whose way is watched."""

import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
from pydantic import HttpUrl, SecretStr

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.secrets import Cipher, generate_webhook_secret
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.adapters.webhook_sender import WebhookSender
from enhancer_dagster.database import Database
from enhancer_dagster.domain.destinations import LOOPBACK
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.tenants import Edition, ServiceDeskConnection, Tenant
from enhancer_dagster.runtime.demo_report import DemoReport, DemoTicket
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.installation import environment_of, ready_installation
from enhancer_dagster.runtime.supervisor import Program, Supervisor
from enhancer_dagster.runtime.system import answers, require_private_ui, running_system, ui_url
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.settings import Settings, default_data_dir

SIMULATOR_KEY = "demo-technician-key"
TENANT_PREFIX = "demo-"
POLL_SECONDS = 0.25
INDEX_SECONDS = 300.0
GIVE_UP_SECONDS = 300.0
"""How long the demo waits without any ticket being finished."""

Say = Callable[[str], None]
Progress = Callable[[Sequence[DemoTicket]], None]


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """What the demo was asked for."""

    tickets: int
    tickets_file: Path | None = None
    fresh: bool = False
    own_database: bool = False
    llm_base_url: str | None = None
    llm_model: str | None = None
    llm_api_key_env: str | None = None


def demo_settings(settings: Settings, options: DemoOptions, environment: dict[str, str]) -> Settings:
    """`settings` with a data folder of the demo's own, ports that are free, and the LLM that was asked for.

    Raises:
        ConfigurationError: The variable that should hold the LLM's key, or the database, is empty.
    """
    own = settings.data_dir == default_data_dir()
    changes: dict[str, Any] = {
        "data_dir": settings.data_dir.with_name("enhancer-demo") if own else settings.data_dir / "demo",
        "allow_http": True,
        "private_networks": (*settings.private_networks, *LOOPBACK),
    }
    if not options.own_database:
        changes |= {"database_url": None, "history_database_url": None}
    elif settings.database_url is None:
        raise ConfigurationError("--own-database needs ENHANCER_DATABASE_URL")
    for name in ("dagster_port", "webhook_port", "claim_port"):
        changes[name] = free_port(getattr(settings, name))
    if options.llm_base_url:
        changes |= {"llm_base_url": options.llm_base_url, "llm_provider": "custom"}
        changes["llm_api_key"] = settings.llm_api_key or SecretStr("none")
    if options.llm_model:
        changes["llm_model"] = options.llm_model
    if options.llm_api_key_env:
        key = environment.get(options.llm_api_key_env)
        if not key:
            raise ConfigurationError(f"the environment variable {options.llm_api_key_env} is empty")
        changes["llm_api_key"] = SecretStr(key)
    return settings.model_copy(update=changes)


@contextmanager
def running_demo(settings: Settings, options: DemoOptions, say: Say) -> Iterator["RunningDemo"]:
    """The demo's system, ready to take tickets; stopped at the end.

    Args:
        settings: As `demo_settings` gives them.
        options: What was asked for.
        say: Is told what is going on.

    Raises:
        ConfigurationError: The UI, which has no login, would be public, or a part did not come up.
    """
    require_private_ui(settings, allowed=False)
    if options.fresh:
        shutil.rmtree(settings.data_dir, ignore_errors=True)
    say(_who_writes(settings))
    say("starting PostgreSQL")
    with ready_installation(settings) as ready:
        log_folder = ready.data_dir / "logs"
        beside = Supervisor(environment_of(ready), log_folder)
        try:
            say("starting the simulated service desk")
            simulator = _start_simulator(beside, options)
            tenant = _demo_tenant(ready, simulator)
            say(f"starting bridge, Dagster daemon and UI (logs in {log_folder})")
            with running_system(ready, log_folder) as supervisor:
                say("building the similar-ticket index of the sample service desk")
                _await_index(ready, tenant, supervisor)
                yield RunningDemo(ready, tenant, simulator, supervisor, options)
        finally:
            beside.stop()


class RunningDemo:
    """A system that is up, and a service desk that holds new tickets back."""

    def __init__(
        self, settings: Settings, tenant: Tenant, simulator: str, supervisor: Supervisor, options: DemoOptions
    ) -> None:
        self.settings = settings
        self.supervisor = supervisor
        self.ui_url = ui_url(settings)
        self._options = options
        self._tenant_id = tenant.tenant_id
        self._admin = httpx.Client(base_url=f"{simulator}/_admin", timeout=30)
        webhooks = settings.webhook_base
        self._sender = WebhookSender(webhooks, tenant.tenant_id, tenant.webhook_secrets[0])
        if settings.database_url is None:
            raise ConfigurationError("the installation has no database")
        self._history = PostgresHistory(Database(settings.database_url))

    def enhance_all(self, progress: Progress, stop: threading.Event) -> DemoReport:
        """Create the tickets, send their webhooks and watch until all are done or nothing moves any more.

        Args:
            progress: Is shown the tickets again and again.
            stop: Ends the watching early.
        """
        tickets = [self._announce(arrival) for arrival in self._arrivals()]
        moved_at, done = time.monotonic(), 0
        while not stop.is_set():
            self._look(tickets)
            progress(tickets)
            now_done = sum(ticket.done for ticket in tickets)
            if now_done == len(tickets):
                break
            if now_done > done:
                moved_at, done = time.monotonic(), now_done
            if time.monotonic() - moved_at > GIVE_UP_SECONDS:
                break
            self.supervisor.revive()
            stop.wait(POLL_SECONDS)
        return DemoReport(tickets, _versions())

    def _arrivals(self) -> list[dict[str, Any]]:
        asked = {"count": self._options.tickets, "announce": False}
        arrivals = self._admin.post("/new_tickets", json=asked).raise_for_status().json()["tickets"]
        if len(arrivals) < self._options.tickets:
            raise ConfigurationError(
                f"there are only {len(arrivals)} new tickets: ask for fewer, or give more with --tickets-file"
            )
        return arrivals

    def _announce(self, arrival: dict[str, Any]) -> DemoTicket:
        names = ("ticket_id", "subject", "description", "priority")
        payload = {name: arrival[name] for name in names} | {
            "created_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(arrival["created_ms"] / 1000)),
            "event": "created",
        }
        answer = self._sender.send(payload)
        accepted_at = time.time()
        answer.raise_for_status()
        return DemoTicket(
            ticket_id=arrival["ticket_id"],
            subject=arrival["subject"],
            before=arrival["description"],
            accepted_at=accepted_at,
            correlation_id=answer.json()["correlation_id"],
        )

    def _look(self, tickets: Sequence[DemoTicket]) -> None:
        rows = {
            str(row["correlation_id"]): row
            for row in self._history.rows(tenant_id=self._tenant_id, limit=len(tickets) + 1)
        }
        writes = {
            call["ticket_id"]: call
            for call in self._admin.get("/log", params={"changed": "true"}).raise_for_status().json()["calls"]
        }
        for ticket in tickets:
            ticket.see(rows.get(ticket.correlation_id), writes.get(ticket.ticket_id))


def _who_writes(settings: Settings) -> str:
    if settings.llm_api_key is None:
        return (
            "no LLM: neither OPENROUTER_API_KEY is set nor --llm-base-url given, so the sections are written "
            "without AI, as they are whenever an LLM is down"
        )
    return f"{settings.llm_model} at {settings.llm_base_url} writes the recommendations"


def _await_index(settings: Settings, tenant: Tenant, supervisor: Supervisor) -> None:
    place = TenantLocation(settings.index_location, tenant.tenant_id)
    give_up_at = time.monotonic() + INDEX_SECONDS
    while place.current() is None:
        if time.monotonic() > give_up_at:
            raise ConfigurationError(
                f"no index after {INDEX_SECONDS:g} s: see the runs of rebuild_index_job at {ui_url(settings)}"
            )
        supervisor.revive()
        time.sleep(POLL_SECONDS)


def _start_simulator(supervisor: Supervisor, options: DemoOptions) -> str:
    port = free_port(8090)
    command = [
        str(Path(sys.executable).parent / "enhancer"), "simulate-servicedesk", "--port", str(port),
        "--edition", "onprem", "--api-key", SIMULATOR_KEY,
    ]  # fmt: skip
    if options.tickets_file:
        command += ["--tickets-file", str(options.tickets_file)]
    origin = f"http://127.0.0.1:{port}"
    supervisor.start(Program("simulator", command, answers(f"{origin}/_admin/new_tickets")))
    return origin


def _demo_tenant(settings: Settings, simulator: str) -> Tenant:
    """A tenant of this demo alone: the simulator forgets its tickets, history does not."""
    if settings.database_url is None or settings.secret_key is None:
        raise ConfigurationError("the installation has no database or no secret key")
    store = TenantStore(Database(settings.database_url), Cipher(settings.secret_key))
    earlier_ones = store.list_all()
    for earlier in earlier_ones:
        if not earlier.tenant_id.startswith(TENANT_PREFIX):
            raise ConfigurationError(
                f"the database has the tenant {earlier.tenant_id}, which is none of a demo's: give the demo "
                "a database of its own"
            )
    for earlier in earlier_ones:
        store.update(earlier.model_copy(update={"active": False}), changed_by="demo", action="disable")
    desk = ServiceDeskConnection(
        edition=Edition.ONPREM, base_url=HttpUrl(simulator), api_key=SecretStr(SIMULATOR_KEY)
    )
    tenant = Tenant(
        tenant_id=time.strftime(f"{TENANT_PREFIX}%Y%m%d-%H%M%S"),
        name="Demo service desk",
        service_desk=desk,
        webhook_secrets=(generate_webhook_secret(),),
    )
    store.add(tenant, changed_by="demo")
    return tenant


def _versions() -> dict[str, str]:
    names = ("enhancer-dagster", "dagster", "dagster-postgres", "openai", "duckdb", "sentence-transformers")
    return {name: version(name) for name in names} | {"python": sys.version.split()[0]}
