"""What runs on a host: the product's parts by the unit files of `deploy/celery`, and what they need."""

import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
from celery import Celery
from redis import Redis, RedisError

from bench.hosts.database import Database
from bench.hosts.network import Host
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.supervisor import Program
from enhancer_dagster.runtime.system import REPOSITORY, answers, daemon_is_healthy

DEPLOYMENT = REPOSITORY / "deploy" / "celery"
CODE_PORT = 4266
"""As in the unit files."""

FILES_PORT = 8090

_NGINX = """
daemon off;
user root;
pid {pid};
events {{}}
http {{
    access_log off;
    server {{
        listen {address};
        root {folder};
        autoindex on;
    }}
}}
"""

_VARIABLE = re.compile(r"\$\{(\w+)\}")


class Programs:
    """The programs of one host.

    Args:
        host: Where they run.
        environment: Of the product's parts.
    """

    def __init__(self, host: Host, environment: Mapping[str, str]) -> None:
        self._host = host
        self._environment = environment

    def bridge(self) -> Program:
        """The bridge."""
        return self._unit("bridge", answers(f"{self._url('WEBHOOK')}/readyz"))

    def code(self) -> Program:
        """The code server."""
        probe = f"import socket; socket.create_connection(('127.0.0.1', {CODE_PORT}), 1)"
        command = self._host.command(sys.executable, "-S", "-c", probe)
        return self._unit(
            "code", lambda: not subprocess.run(command, capture_output=True, check=False).returncode
        )

    def webserver(self) -> Program:
        """The Dagster UI."""
        return self._unit("webserver", answers(f"{self._url('DAGSTER')}/server_info"))

    def daemon(self) -> Program:
        """The Dagster daemon; the webserver must run."""
        return self._unit("daemon", daemon_is_healthy(self._url("DAGSTER")))

    def worker(self) -> Program:
        """The Celery worker of tickets."""
        return self._unit("worker", self._answers_ping(f"tickets@{self._host.name}"))

    def index_worker(self) -> Program:
        """The Celery worker that builds indexes."""
        return self._unit("index-worker", self._answers_ping(f"index@{self._host.name}"))

    def redis(self, url: str, folder: Path) -> Program:
        """Redis at the host's address, with the password in `url`.

        Raises:
            ConfigurationError: It is not installed.
        """
        client = Redis.from_url(url, socket_timeout=1)
        password = str(urlsplit(url).password)
        options = ("--bind", self._host.address, "--requirepass", password, "--appendonly", "yes")
        command = self._host.command(_installed("redis-server"), *options, "--dir", str(folder))
        return Program("redis", command, lambda: _answers_redis(client))

    def postgres(self, database: Database) -> Program:
        """PostgreSQL."""
        url = database.url("enhancer").get_secret_value()
        return Program("postgres", database.command, lambda: _connects(url), stop_signal=signal.SIGINT)

    def files(self, folder: Path) -> Program:
        """`folder` for everybody to read, over HTTP.

        Raises:
            ConfigurationError: nginx is not installed.
        """
        address = f"{self._host.address}:{FILES_PORT}"
        configuration = folder.with_suffix(".conf")
        configuration.write_text(
            _NGINX.format(address=address, folder=folder, pid=folder.with_suffix(".pid"))
        )
        command = self._host.command(_installed("nginx"), "-e", "stderr", "-c", str(configuration))
        return Program("files", command, answers(f"http://{address}/"))

    def _unit(self, name: str, ready: Callable[[], bool]) -> Program:
        """A part of the product, by its unit file."""
        unit = (DEPLOYMENT / "systemd" / f"enhancer-{name}.service").read_text()
        (line,), own = _values(unit, "ExecStart"), _values(unit, "Environment")
        line = _VARIABLE.sub(lambda found: self._environment[found[1]], line)
        line = line.replace("%H", self._host.name)
        line = line.replace("/opt/enhancer/.venv/bin", str(Path(sys.executable).parent))
        line = line.replace("/etc/enhancer/workspace.yaml", str(DEPLOYMENT / "workspace.yaml"))
        command = self._host.command("env", *own, *shlex.split(line))
        return Program(name, command, ready)

    def _url(self, what: str) -> str:
        host, port = (self._environment[f"ENHANCER_{what}_{part}"] for part in ("HOST", "PORT"))
        return f"http://{host}:{port}"

    def _answers_ping(self, worker: str) -> Callable[[], bool]:
        app = Celery(broker=self._environment["ENHANCER_REDIS_URL"])
        return lambda: bool(app.control.ping([worker], timeout=0.5))


def _values(unit: str, name: str) -> list[str]:
    """What a unit file says under `name`, which may stand there several times."""
    return [line.removeprefix(f"{name}=") for line in unit.splitlines() if line.startswith(f"{name}=")]


def _installed(program: str) -> str:
    path = shutil.which(program)
    if path is None:
        raise ConfigurationError(f"{program} is not installed")
    return path


def _answers_redis(client: Redis) -> bool:
    try:
        return bool(client.ping())
    except RedisError:
        return False


def _connects(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True
