"""Two hosts' Dagster daemons on one database: one works, the other takes over when it is lost."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import psycopg
import pytest
import yaml
from pydantic import SecretStr

from enhancer_dagster.runtime.dagster_storage import create_tables
from enhancer_dagster.runtime.one_daemon import LOCK
from tests.bridge_server import eventually
from tests.conftest import Server
from tests.shell import ENHANCER

TAKEOVER_SECONDS = 30
TICKS = "SELECT count(*) FROM job_ticks WHERE status <> 'STARTED'"
HOLDER = (
    "SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objid = %s::bigint & 4294967295"
)


@pytest.fixture
def url(postgres: Server, tmp_path: Path) -> SecretStr:
    address = postgres.create_database(f"daemons_{os.getpid()}_{tmp_path.name[-12:].lower()}")
    create_tables(address.get_secret_value())
    return address


class Host:
    """One of the hosts: a DAGSTER_HOME of its own, and `enhancer daemon`."""

    def __init__(self, folder: Path, url: SecretStr) -> None:
        folder.mkdir()
        storage = {
            "module": "enhancer_dagster.runtime.dagster_storage",
            "class": "PooledPostgresStorage",
            "config": {"postgres_url": {"env": "ENHANCER_DAGSTER_DATABASE_URL"}},
        }
        launching = {"module": "dagster", "class": "QueuedRunCoordinator"}
        config = {
            "storage": {"custom": storage},
            "run_coordinator": launching,
            "telemetry": {"enabled": False},
        }
        (folder / "dagster.yaml").write_text(yaml.safe_dump(config))
        module = {"module_name": "tests.ticking", "location_name": "ticking"}
        (folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"python_module": module}]}))
        self.log = folder / "log"
        environment = {"DAGSTER_HOME": str(folder), "ENHANCER_DAGSTER_DATABASE_URL": url.get_secret_value()}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [ENHANCER, "daemon", "-w", folder / "workspace.yaml"],
                env={**os.environ, **environment, "PYTHONPATH": str(Path(__file__).parents[2])},
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    @property
    def waits(self) -> bool:
        return "waiting until no other daemon is active" in self.log.read_text()

    @property
    def is_active(self) -> bool:
        return "this daemon is the active one now" in self.log.read_text()

    @property
    def has_daemon(self) -> bool:
        children = psutil.Process(self.process.pid).children()
        return any("dagster-daemon" in " ".join(child.cmdline()) for child in children)


@contextmanager
def hosts(tmp_path: Path, url: SecretStr) -> Iterator[tuple[Host, Host]]:
    """The active one, and the one that waits."""
    with ExitStack() as stack:
        both = []
        for name in ("a", "b"):
            host = Host(tmp_path / name, url)
            stack.callback(_end, host.process)
            both.append(host)
        active = eventually(lambda: next((host for host in both if host.is_active), None))
        standby = next(host for host in both if host is not active)
        eventually(lambda: standby.waits)
        yield active, standby


def _end(process: subprocess.Popen[bytes]) -> None:
    family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
    for one in family:
        one.kill()
    process.kill()
    process.wait()


def ticks(url: SecretStr) -> int:
    with psycopg.connect(url.get_secret_value()) as connection:
        row = connection.execute(TICKS).fetchone()
    return row[0] if row else 0


def ticked_since(url: SecretStr, before: int) -> bool:
    return ticks(url) > before


def test_the_standby_takes_over_from_a_killed_daemon(url: SecretStr, tmp_path: Path) -> None:
    with hosts(tmp_path, url) as (active, standby):
        eventually(lambda: ticked_since(url, 0), TAKEOVER_SECONDS)
        assert not standby.is_active
        assert not standby.has_daemon, "two daemons would evaluate every sensor twice"
        daemon = psutil.Process(active.process.pid).children()
        active.process.send_signal(signal.SIGKILL)
        killed_at = time.monotonic()
        psutil.wait_procs(daemon, timeout=5)
        assert not any(process.is_running() for process in daemon), "it does not outlive its lock"
        before = ticks(url)
        eventually(lambda: ticked_since(url, before), TAKEOVER_SECONDS)
        took = time.monotonic() - killed_at
        assert standby.is_active
        print(f"the standby's first tick came {took:.1f} s after the kill")  # noqa: T201


def test_a_daemon_that_loses_the_lock_ends_at_once_and_waits_again(url: SecretStr, tmp_path: Path) -> None:
    with hosts(tmp_path, url) as (active, standby):
        eventually(lambda: active.has_daemon)
        with psycopg.connect(url.get_secret_value(), autocommit=True) as connection:
            connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({HOLDER}) AS holder", [LOCK])
        eventually(lambda: "not the active one" in active.log.read_text(), 5)
        assert not (active.has_daemon and standby.has_daemon)
        eventually(lambda: active.has_daemon or standby.has_daemon)
        assert not (active.has_daemon and standby.has_daemon)


def test_it_ends_in_good_order(url: SecretStr, tmp_path: Path) -> None:
    with hosts(tmp_path, url) as (active, standby):
        eventually(lambda: active.has_daemon)
        for host in (standby, active):
            host.process.send_signal(signal.SIGTERM)
            assert host.process.wait(20) == 0
