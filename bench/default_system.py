"""The product's processes around other definitions, for comparison.

`default_system` is the product on Dagster's default launcher and executor: a run is a spawned interpreter,
each of its ops another one, and ten runs are admitted at once. Runs are not monitored, as by default.
Storage, compute logs, sensors, queue and ops stay the product's. `empty_system` is the product's launcher
around a job of four empty ops.
"""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import yaml

from bench.services import bench_environment
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.installation import environment_of
from enhancer_dagster.runtime.supervisor import Program, Supervisor
from enhancer_dagster.runtime.system import CODE_SERVER_THREADS, REPOSITORY, answers
from enhancer_dagster.settings import Settings

DEFAULT_SLOTS = 10
"""Dagster's `max_concurrent_runs` where an instance does not set it."""

PATIENCE = {"lease_seconds": 3600.0, "run_soft_limit_seconds": 1700.0, "run_hard_limit_seconds": 1800.0}
"""Settings under which no ticket is given up. Ten default runs on two cores take longer than the product's
limits, and what was given up would be done again, which would make Dagster look slower than it is."""

_HEARTBEATS = "SELECT count(*) FROM daemon_heartbeats WHERE daemon_type = 'SENSOR'"


@contextmanager
def default_system(settings: Settings, log_folder: Path) -> Iterator[None]:
    """The product's ops on Dagster's defaults, ready; stopped at the end."""
    home = _home(settings, without=("run_launcher", "concurrency", "run_monitoring"))
    programs = _programs(settings, home, "bench.default_definitions")
    with _supervised(settings, home, log_folder, programs):
        yield


@contextmanager
def empty_system(settings: Settings, log_folder: Path) -> Iterator[None]:
    """Four empty ops on the product's launcher, ready; stopped at the end."""
    home = _home(settings)
    run_workers = Program(
        "run-workers",
        (sys.executable, "-m", "enhancer_dagster.runtime.warm_launcher", "serve"),
        (home / "warm_launcher" / "socket").exists,
    )
    programs = [run_workers, *_programs(settings, home, "bench.empty_definitions")]
    with _supervised(settings, home, log_folder, programs):
        yield


@contextmanager
def _supervised(settings: Settings, home: Path, log_folder: Path, programs: list[Program]) -> Iterator[None]:
    environment = bench_environment() | environment_of(settings)
    environment |= {
        "PYTHONPATH": bench_environment()["PYTHONPATH"],
        "DAGSTER_HOME": str(home),
        "ENHANCER_RUN_LOGS": str(settings.run_logs),
        "OMP_NUM_THREADS": "1",
        "TOKENIZERS_PARALLELISM": "false",
        "ORT_DISABLE_TELEMETRY": "1",
    }
    supervisor = Supervisor(environment, log_folder)
    *first, daemon = programs
    try:
        supervisor.start(*first)
        supervisor.start(daemon)
        yield
    finally:
        supervisor.stop()


def _home(settings: Settings, without: tuple[str, ...] = ()) -> Path:
    home = settings.data_dir / "dagster"
    home.mkdir(exist_ok=True, mode=0o700)
    configuration = yaml.safe_load((REPOSITORY / "dagster.yaml").read_text())
    kept = {name: value for name, value in configuration.items() if name not in without}
    (home / "dagster.yaml").write_text(yaml.safe_dump(kept))
    served = {"grpc_server": {"socket": str(home / "code.sock"), "location_name": "enhancer"}}
    (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [served]}))
    return home


def _programs(settings: Settings, home: Path, definitions: str) -> list[Program]:
    dagster = Path(sys.executable).parent
    socket = home / "code.sock"
    socket.unlink(missing_ok=True)
    bridge = Program(
        "bridge",
        (sys.executable, "-m", "enhancer_dagster.bridge"),
        answers(f"{settings.webhook_base}/readyz"),
    )
    code_server = Program(
        "code-server",
        (
            str(dagster / "dagster"), "code-server", "start", "--module-name", definitions,
            "--location-name", "enhancer", "--socket", str(socket),
            "--max-workers", str(CODE_SERVER_THREADS),
        ),
        socket.exists,
    )  # fmt: skip
    daemon = Program(
        "daemon",
        (str(dagster / "dagster-daemon"), "run", "--workspace", str(home / "workspace.yaml")),
        _daemon_is_alive(settings),
        stop_signal=signal.SIGINT,
    )
    return [bridge, code_server, daemon]


def _daemon_is_alive(settings: Settings) -> Callable[[], bool]:
    if settings.dagster_database_url is None:
        raise ConfigurationError("the installation is not ready: it has no database")
    url = settings.dagster_database_url.get_secret_value()

    def alive() -> bool:
        with psycopg.connect(url) as connection:
            row = connection.execute(_HEARTBEATS).fetchone()
        return bool(row and row[0])

    return alive
