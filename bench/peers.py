"""Bare dispatch beside two peers: four empty steps with two history writes, one after the other.

Celery with Redis is a chain of four tasks on four processes; DBOS with PostgreSQL a workflow of four steps.
The product is its queue, sensor lanes, launcher and outputs around four empty ops. The time runs from the
moment before a ticket is sent to the second history write. A peer that cannot be had is left out, and the
reason is shown.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import psycopg
import typer
from loguru import logger

from bench.default_system import empty_system
from bench.deployment import add_tenant, bench_folder, bench_settings
from bench.empty_steps import CREATE
from bench.latencies import percentile
from bench.report import show_json, show_table
from bench.services import bench_environment
from enhancer_dagster.adapters.webhook_sender import WebhookSender
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.installation import environment_of, ready_installation
from enhancer_dagster.runtime.supervisor import Program, Supervisor
from enhancer_dagster.runtime.system import REPOSITORY
from enhancer_dagster.settings import Settings, load_settings

REQUIREMENTS = ("celery[redis]==5.7.0", "dbos==3.4.0", "psycopg[binary,pool]==3.3.9")
CELERY_PROCESSES = 4
WARM_UP = 8
FINISH_SECONDS = 600.0
EMPTY = {"description": "empty", "priority": "Medium", "created_at": "2026-11-02T15:30:45Z"}

Send = Callable[[int, float], dict[str, float]]
"""Sends so many tickets, so far apart, and says when it sent each."""

_FINISHED = """
    SELECT id, extract(epoch FROM finished_at)::float FROM bench_history
    WHERE id = ANY(%s) AND finished_at IS NOT NULL
"""


class UnavailableError(Exception):
    """A peer cannot be had here; the message says why."""


def main(
    tickets: Annotated[int, typer.Option(min=1, help="In the burst.")] = 200,
    spaced: Annotated[int, typer.Option(min=1, help="One after the other, for the median.")] = 20,
    gap: Annotated[float, typer.Option(min=0, help="Seconds between those.")] = 2.0,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Median seconds of one and steps a second of many, empty: the product, Celery, DBOS."""
    contestants = {"product": _product, "celery": _celery, "dbos": _dbos}
    figures: dict[str, dict[str, float] | None] = {}
    for name, serving in contestants.items():
        try:
            figures[name] = _measure(serving, tickets, spaced, gap)
        except UnavailableError as error:
            logger.warning("{} is left out: {}", name, error)
            figures[name] = None
    if as_json:
        show_json(figures)
        return
    rows = [(name, *(values.values() if values else ("left out", "-"))) for name, values in figures.items()]
    show_table("four empty steps, two history writes", ("", "p50 s", "burst /s"), rows)


def _measure(
    serving: Callable[[Settings, Path], AbstractContextManager[Send]], tickets: int, spaced: int, gap: float
) -> dict[str, float]:
    with bench_folder() as folder, ready_installation(bench_settings(folder)) as settings:
        assert settings.database_url is not None
        url = settings.database_url.get_secret_value()
        with psycopg.connect(url) as connection:
            connection.execute(CREATE)
        with serving(settings, folder) as send:
            _seconds(url, send(WARM_UP, 0.0))
            one_by_one = _seconds(url, send(spaced, gap))
            sent = send(tickets, 0.0)
            together = _seconds(url, sent)
    ends = [sent[ticket_id] + seconds for ticket_id, seconds in together.items()]
    return {
        "p50_s": percentile(list(one_by_one.values()), 50),
        "burst_per_s": round(tickets / (max(ends) - min(sent.values())), 2),
    }


def _seconds(url: str, sent: dict[str, float]) -> dict[str, float]:
    """From sending to the second history write, by id, once all are there.

    Raises:
        SystemExit: One did not come.
    """
    give_up_at = time.monotonic() + FINISH_SECONDS
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            ended = dict(connection.execute(_FINISHED, [list(sent)]).fetchall())
            if len(ended) == len(sent):
                return {ticket_id: ended[ticket_id] - at for ticket_id, at in sent.items()}
            if time.monotonic() > give_up_at:
                raise SystemExit(f"{len(sent) - len(ended)} of {len(sent)} did not end")
            time.sleep(0.1)


@contextmanager
def _product(settings: Settings, folder: Path) -> Iterator[Send]:
    tenant = add_tenant(settings, "http://127.0.0.1:9")
    with empty_system(settings, folder / "logs"):
        base_url = settings.webhook_base
        sender = WebhookSender(base_url, tenant.tenant_id, tenant.webhook_secrets[0])

        def send(count: int, gap: float) -> dict[str, float]:
            sent = {}
            for _ in range(count):
                ticket_id = f"{len(sent)}-{time.time_ns()}"
                sent[ticket_id] = time.time()
                sender.send(EMPTY | {"ticket_id": ticket_id}).raise_for_status()
                time.sleep(gap)
            return sent

        yield send
        sender.close()


@contextmanager
def _celery(settings: Settings, folder: Path) -> Iterator[Send]:
    python, server = _environment_of_peers(), shutil.which("redis-server")
    if server is None:
        raise UnavailableError("redis-server is not installed")
    port = free_port()
    given = _given(settings, BENCH_REDIS_URL=f"redis://127.0.0.1:{port}/0")
    redis = Program(
        "redis",
        (server, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)),
        lambda: _says(python, given, f"import redis; redis.Redis(port={port}).ping()"),
    )
    ready = "import bench.peer_celery as peer, sys; sys.exit(not peer.app.control.ping(timeout=1))"
    worker = Program(
        "celery",
        (
            str(python), "-m", "celery", "--app", "bench.peer_celery", "worker",
            "--concurrency", str(CELERY_PROCESSES), "--loglevel", "warning",
        ),
        lambda: _says(python, given, ready),
    )  # fmt: skip
    supervisor = Supervisor(given, folder / "logs")
    try:
        supervisor.start(redis)
        supervisor.start(worker)
        yield lambda count, gap: _sent_by(python, given, "bench.peer_celery", count, gap)
    finally:
        supervisor.stop()


@contextmanager
def _dbos(settings: Settings, folder: Path) -> Iterator[Send]:
    python = _environment_of_peers()
    ready = folder / "dbos-ready"
    assert settings.database_url is not None
    given = _given(
        settings, BENCH_DBOS_URL=settings.database_url.get_secret_value(), BENCH_DBOS_READY=str(ready)
    )
    worker = Program("dbos", (str(python), "-m", "bench.peer_dbos", "serve"), ready.exists)
    supervisor = Supervisor(given, folder / "logs")
    try:
        supervisor.start(worker)
        yield lambda count, gap: _sent_by(python, given, "bench.peer_dbos", count, gap)
    finally:
        supervisor.stop()


def _environment_of_peers() -> Path:
    """The interpreter of an environment of the peers' own, made on first use.

    Raises:
        UnavailableError: It cannot be made.
    """
    folder = load_settings().data_dir / "bench-peers"
    stamp, pip = folder / ".ready", folder / "bin" / "pip"
    if not stamp.exists() or stamp.read_text().split() != list(REQUIREMENTS):
        logger.info("making an environment for Celery and DBOS in {}", folder)
        for command in (
            [sys.executable, "-m", "venv", "--clear", str(folder)],
            [str(pip), "install", "--quiet", *REQUIREMENTS],
        ):
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                raise UnavailableError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
        stamp.write_text("\n".join(REQUIREMENTS))
    return folder / "bin" / "python"


def _given(settings: Settings, **more: str) -> dict[str, str]:
    return environment_of(settings) | bench_environment() | {
        name: value for name, value in environment_of(settings).items() if name.startswith("ENHANCER_")
    } | more  # fmt: skip


def _says(python: Path, environment: dict[str, str], code: str) -> bool:
    return not subprocess.run(
        [str(python), "-c", code], env=environment, cwd=REPOSITORY, capture_output=True, check=False
    ).returncode


def _sent_by(
    python: Path, environment: dict[str, str], module: str, count: int, gap: float
) -> dict[str, float]:
    done = subprocess.run(
        [str(python), "-m", module, str(count), str(gap)],
        env=environment, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)
