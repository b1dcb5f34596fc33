"""The system that is put to the test, with an observer wherever it meets the outside."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from loguru import logger

from bench.chaos.proxy import Observer, running_proxy
from bench.chaos.senders import Senders
from bench.chaos.verdict import Evidence, Verdict, is_at_rest, jobs_by_ticket, judge
from bench.deployment import add_tenant, await_index, bench_folder, bench_settings
from bench.services import Services, running_services
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.installation import ready_installation
from enhancer_dagster.runtime.supervisor import Supervisor
from enhancer_dagster.runtime.system import running_system
from enhancer_dagster.settings import Settings

REVIVE_SECONDS = 1.0
"""As in `enhancer up`."""

STALL_SECONDS = 240.0
"""Without any job ending for so long, the drain is given up: leases and back-offs are shorter."""

LLM_SECONDS = 0.3
SETTINGS: dict[str, Any] = {"llm_timeout_seconds": 10, "webhook_rate_per_address": 1000}


@dataclass(frozen=True)
class WatchedSystem:
    """A system that is up, its index built. It ends with the thread that started it."""

    settings: Settings
    services: Services
    senders: Senders
    supervisor: Supervisor

    def keep_up(self, until: Callable[[], bool]) -> None:
        """Start again what has died, until something holds."""
        while not until():
            self.supervisor.revive()
            time.sleep(REVIVE_SECONDS)

    def drain(self) -> None:
        """Wait until every job has ended and history knows it."""
        left, moved_at = -1, time.monotonic()

        def is_over() -> bool:
            nonlocal left, moved_at
            jobs = self._jobs()
            now_left = sum(not is_at_rest([one]) for one in jobs.values())
            if now_left != left:
                left, moved_at = now_left, time.monotonic()
                logger.info("chaos: {} tickets are not at rest", left)
            return not left or time.monotonic() - moved_at > STALL_SECONDS

        self.keep_up(is_over)

    def verdict(self) -> Verdict:
        """Every ticket against the promise, as things stand."""
        evidence = Evidence(jobs=self._jobs(), writes=self.services.writes(), shown=self.services.description)
        return judge(self.senders.deliveries, evidence)

    def _jobs(self) -> dict[str, list[dict[str, Any]]]:
        return jobs_by_ticket(url_of(self.settings, "database_url"))


@contextmanager
def watched_system(observer: Callable[[Settings], Observer], **settings: Any) -> Iterator[WatchedSystem]:
    """A system as `enhancer up` runs it, for the length of a `with` block.

    Args:
        observer: Makes what sees every call between the system's parts, and to the outside.
        **settings: In place of the defaults.
    """
    with (
        bench_folder() as folder,
        ready_installation(bench_settings(folder, **SETTINGS, **settings)) as ready,
        running_services(folder / "logs") as services,
        running_proxy(observer(ready)) as proxy,
    ):
        webhooks = proxy.in_front_of("webhook", ready.webhook_base)
        watched = {
            "claim_url": proxy.in_front_of("claims", ready.claim_api),
            "llm_base_url": proxy.in_front_of("llm", services.llm_base_url),
        }
        ready = ready.model_copy(update=watched)
        tenant = add_tenant(ready, proxy.in_front_of("desk", services.desk_url))
        services.delay(llm=LLM_SECONDS)
        senders = Senders(webhooks, tenant, lambda: services.new_tickets(1)[0])
        with running_system(ready, folder / "logs") as supervisor:
            await_index(ready, tenant)
            services.tell_of_changes(
                f"{webhooks}/webhook/servicedesk/{tenant.tenant_id}", tenant.webhook_secrets[0]
            )
            yield WatchedSystem(ready, services, senders, supervisor)


def url_of(settings: Settings, name: str) -> str:
    """The address of a database of a ready installation.

    Raises:
        ConfigurationError: It is not ready.
    """
    url = getattr(settings, name)
    if url is None:
        raise ConfigurationError(f"the installation is not ready: it has no {name}")
    return url.get_secret_value()
