"""The whole system on one machine: which processes there are, and when each can be used."""

import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import yaml
from loguru import logger

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.installation import environment_of
from enhancer_dagster.runtime.supervisor import Program, Supervisor
from enhancer_dagster.runtime.warm_launcher.client import is_served
from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.settings import Settings, base_url

REPOSITORY = Path(__file__).parents[2]
LOOPBACK = {"127.0.0.1", "::1", "localhost"}
CODE_SERVER_THREADS = 16
"""More than there are sensors that wait: each holds a thread for the length of its long poll."""

LIBRARY_ENVIRONMENT = {
    # One thread for each native pool: runs are many and side by side.
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # onnxruntime would upload usage data, whichever process imports it.
    "ORT_DISABLE_TELEMETRY": "1",
}


@contextmanager
def running_system(settings: Settings, log_folder: Path | None) -> Iterator[Supervisor]:
    """Bridge, code server, webserver and daemon, all ready; stopped at the end.

    Args:
        settings: Complete, as `installation.ready_installation` gives them.
        log_folder: Where the processes' logs go; None leaves them on stderr.

    Raises:
        ConfigurationError: One of them did not come up.
    """
    home = _dagster_home(settings)
    supervisor = Supervisor(_environment(settings, home), log_folder)
    bridge, run_workers, code_server, webserver, daemon = _programs(settings, home)
    try:
        supervisor.start(bridge, run_workers, code_server)
        _load_code_into_workers(home, supervisor)
        supervisor.start(webserver, daemon)
        yield supervisor
    finally:
        supervisor.stop()


def require_private_ui(settings: Settings, *, allowed: bool) -> None:
    """The Dagster webserver has no login, so it stays on the loopback address unless a proxy guards it.

    Raises:
        ConfigurationError: It would be public, and nobody said that there is a proxy.
    """
    if not allowed and settings.dagster_host not in LOOPBACK:
        raise ConfigurationError(
            f"the Dagster UI has no login and would listen on {settings.dagster_host}: put a proxy with a "
            "login in front of it and say --i-have-a-proxy, or leave ENHANCER_DAGSTER_HOST at 127.0.0.1"
        )


def ui_url(settings: Settings) -> str:
    """Where the Dagster UI is."""
    return base_url(settings.dagster_host, settings.dagster_port)


def _load_code_into_workers(home: Path, supervisor: Supervisor) -> None:
    """Have the run workers' code loaded before the first ticket; runs too tell of a problem with it."""
    command = ["-m", "enhancer_dagster.runtime.warm_launcher", "warm", "-w", str(home / "workspace.yaml")]
    done = supervisor.run_once([sys.executable, *command])
    if done.returncode:
        logger.warning("the code is not loaded into the run workers: {}", done.stderr.strip()[-500:])


def _environment(settings: Settings, home: Path) -> dict[str, str]:
    return environment_of(settings) | {
        "DAGSTER_HOME": str(home),
        "ENHANCER_RUN_LOGS": str(settings.run_logs),
        **LIBRARY_ENVIRONMENT,
    }


def _dagster_home(settings: Settings) -> Path:
    home = settings.data_dir / "dagster"
    home.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copyfile(REPOSITORY / "dagster.yaml", home / "dagster.yaml")
    module = yaml.safe_load((REPOSITORY / "workspace.yaml").read_text())["load_from"][0]["python_module"]
    shared = {"grpc_server": {"socket": str(_code_socket(home)), "location_name": module["location_name"]}}
    (home / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [shared]}))
    return home


def _code_socket(home: Path) -> Path:
    return home / "code.sock"


def _programs(settings: Settings, home: Path) -> tuple[Program, ...]:
    installed = Path(sys.executable).parent
    socket = _code_socket(home)
    socket.unlink(missing_ok=True)
    ui = ui_url(settings)
    workspace = ("--workspace", str(home / "workspace.yaml"))
    bridge = Program(
        "bridge",
        (sys.executable, "-m", "enhancer_dagster.bridge"),
        answers(f"{settings.webhook_base}/readyz"),
    )
    run_workers = Program(
        "run-workers",
        (sys.executable, "-m", "enhancer_dagster.runtime.warm_launcher", "serve"),
        lambda: is_served(LauncherFolder(home)),
    )
    code_server = Program(
        "code-server",
        (
            str(installed / "dagster"), "code-server", "start",
            "--module-name", "enhancer_dagster.definitions", "--location-name", "enhancer",
            "--socket", str(socket), "--max-workers", str(CODE_SERVER_THREADS),
            "--log-level", "warning", "--log-format", "json",
        ),
        socket.exists,
    )  # fmt: skip
    webserver = Program(
        "webserver",
        (
            str(installed / "dagster-webserver"), *workspace, "--host", settings.dagster_host,
            "--port", str(settings.dagster_port), "--log-format", "json",
        ),
        answers(f"{ui}/server_info"),
    )  # fmt: skip
    daemon = Program(
        "daemon",
        (str(installed / "dagster-daemon"), "run", *workspace, "--log-format", "json"),
        daemon_is_healthy(ui),
        stop_signal=signal.SIGINT,
    )
    return bridge, run_workers, code_server, webserver, daemon


def answers(url: str) -> Callable[[], bool]:
    """A test whether `url` answers 200."""

    def ready() -> bool:
        try:
            return httpx.get(url, timeout=2).status_code == 200
        except httpx.HTTPError:
            return False

    return ready


def daemon_is_healthy(ui: str) -> Callable[[], bool]:
    """A test whether the daemon of the system whose UI is at `ui` evaluates sensors."""
    query = '{ instance { daemonHealth { sensors: daemonStatus(daemonType: "SENSOR") { healthy } } } }'

    def ready() -> bool:
        try:
            answer = httpx.post(f"{ui}/graphql", json={"query": query}, timeout=5).json()
        except (httpx.HTTPError, ValueError):
            return False
        return bool(answer["data"]["instance"]["daemonHealth"]["sensors"]["healthy"])

    return ready
