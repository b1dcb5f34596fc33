"""The product on three hosts, ready for tickets: one with the parts that are there once, two with workers."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from redis import Redis

from bench.deployment import add_tenant, await_index, bench_folder, bench_settings
from bench.hosts.database import Database, stored_on
from bench.hosts.network import Host, Network, network
from bench.hosts.programs import DEPLOYMENT, FILES_PORT, Programs
from bench.services import Services, running_services
from enhancer_dagster.adapters.secrets import generate_key
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.runtime.installation import environment_of, ready_installation
from enhancer_dagster.runtime.supervisor import Supervisor
from enhancer_dagster.runtime.system import LIBRARY_ENVIRONMENT
from enhancer_dagster.settings import Settings

CENTRAL, WORKERS = "central", ("one", "two")
PUBLISHED = "published"
"""The folder on the central host that the others read over HTTP."""

PROCESSES = 8
"""Of each host with workers."""

BUSY_RUNS = 2


@dataclass(frozen=True)
class Hosts:
    """A system that is up.

    Attributes:
        settings: Of the central host.
        folder: Each host's data are in a folder of its name here.
        redis: The broker.
    """

    settings: Settings
    tenant: Tenant
    services: Services
    network: Network
    folder: Path
    redis: Redis

    @property
    def ui(self) -> str:
        """Where the Dagster UI is."""
        return f"http://{self.settings.dagster_host}:{self.settings.dagster_port}"

    def claimants(self) -> dict[str, str]:
        """By run, the worker that claimed it."""
        keys = list(self.redis.scan_iter("dagster-run:*:claimed", count=1000))
        workers = cast("list[str | None]", self.redis.mget(keys) if keys else [])
        return {key.split(":")[1]: worker for key, worker in zip(keys, workers, strict=True) if worker}

    def is_busy(self, host: str) -> bool:
        """Whether a host's worker executes several runs."""
        alive = {key.split(":")[1] for key in self.redis.scan_iter("dagster-run:*:alive", count=1000)}
        claimed = (run_id for run_id, worker in self.claimants().items() if worker == f"tickets@{host}")
        return len(alive.intersection(claimed)) >= BUSY_RUNS

    def fetched_snapshots(self, host: str) -> set[str]:
        """The snapshots of the index in a host's cache."""
        return {path.parent.name for path in (self.folder / host / "index-cache").rglob("manifest.json")}


@contextmanager
def running_hosts(**settings: Any) -> Iterator[Hosts]:
    """Three hosts and the services outside, the first index published; all of it gone at the end.

    Args:
        **settings: In place of the defaults.
    """
    with (
        bench_folder() as folder,
        network([CENTRAL, *WORKERS]) as net,
        running_services(folder / "logs", net.address) as services,
        ExitStack() as stack,
    ):
        here = net.hosts[CENTRAL]
        database = stored_on(here, net.subnet, folder / "postgres")
        given = _settings(folder, net, database, llm_base_url=services.llm_base_url, **settings)
        redis_url = f"redis://:{secrets.token_urlsafe(16)}@{here.address}:6379/0"
        supervisors, programs = {}, {}
        for name, host in net.hosts.items():
            environment = _environment(given, folder, host, redis_url)
            supervisors[name] = Supervisor(environment, folder / "logs" / name)
            programs[name] = Programs(host, environment)
            stack.callback(supervisors[name].stop)
            stack.callback(host.kill)
        central, parts = supervisors[CENTRAL], programs[CENTRAL]
        central.start(
            parts.postgres(database),
            parts.redis(redis_url, folder / CENTRAL),
            parts.files(folder / PUBLISHED),
        )
        ready = stack.enter_context(ready_installation(given))
        tenant = add_tenant(ready, services.desk_url)
        central.start(parts.bridge(), parts.code(), parts.webserver(), parts.index_worker())
        for name in WORKERS:
            supervisors[name].start(programs[name].worker())
        central.start(parts.daemon())
        await_index(ready, tenant)
        redis = Redis.from_url(redis_url, decode_responses=True)
        yield Hosts(ready, tenant, services, net, folder, redis)


def _settings(folder: Path, net: Network, database: Database, **more: Any) -> Settings:
    address = net.hosts[CENTRAL].address
    published = folder / PUBLISHED / "index"
    published.mkdir(parents=True)
    return bench_settings(
        folder / CENTRAL,
        database_url=database.url("enhancer"),
        dagster_database_url=database.url("enhancer_dagster"),
        secret_key=generate_key(),
        claim_token=secrets.token_urlsafe(16),
        webhook_host=address,
        claim_host=address,
        dagster_host=address,
        index_url=str(published),
        private_networks=(net.subnet,),
        run_workers=PROCESSES,
        **more,
    )


def _environment(settings: Settings, folder: Path, host: Host, redis_url: str) -> dict[str, str]:
    """What a host's `enhancer.env` says; a host with workers has nothing but its address for the index."""
    data = folder / host.name
    own = settings.model_copy(update={"data_dir": data})
    home = data / "dagster"
    for private in (*own.private_folders, home):
        private.mkdir(parents=True, mode=0o700)
    shutil.copyfile(DEPLOYMENT / "dagster.yaml", home / "dagster.yaml")
    if host.name in WORKERS:
        index = f"http://{settings.claim_host}:{FILES_PORT}/index"
        own = own.model_copy(update={"index_url": index})
    return environment_of(own) | LIBRARY_ENVIRONMENT | {
        "DAGSTER_HOME": str(home),
        "ENHANCER_RUN_LOGS": str(own.run_logs),
        "ENHANCER_REDIS_URL": redis_url,
    }  # fmt: skip
