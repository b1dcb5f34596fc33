"""The Celery run launcher under a real daemon, webserver, code server, PostgreSQL and Redis."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psutil
import pytest
from celery import Celery
from dagster import DagsterRunStatus
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import pack_value
from redis import Redis, RedisError

from enhancer_dagster.runtime.celery_launcher.claims import NOTICED_SECONDS, RunClaims
from enhancer_dagster.runtime.celery_launcher.launcher import RedisCeleryRunLauncher
from enhancer_dagster.runtime.celery_launcher.options import REDELIVERY_SECONDS
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.conftest import require
from tests.launcher_project.deployment import Deployment, eventually, running

pytestmark = pytest.mark.xdist_group("celery_launcher")

SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
STARTED, STARTING = DagsterRunStatus.STARTED, DagsterRunStatus.STARTING
OTHER_QUEUE = "other"


class CeleryDeployment(Deployment):
    """A deployment whose workers the tests start and kill."""

    launcher_class = RedisCeleryRunLauncher

    @contextmanager
    def worker(self, name: str, *, processes: int = 1, queue: str = "dagster") -> Iterator[psutil.Process]:
        """A worker that answers; killed at the end with its processes, if it is not gone by then."""
        arguments = ("--hostname", name, "--concurrency", str(processes), "--queues", queue)
        with (self.home / f"{name}.log").open("ab") as log:
            process = psutil.Popen(
                [sys.executable, "-m", "enhancer_dagster.runtime.celery_launcher", *arguments],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip
        app = Celery(broker=self.redis_url)
        try:
            eventually(lambda: app.control.ping([name], timeout=0.5), f"worker {name} answers")
            yield process
        finally:
            kill_whole(process)

    @property
    def redis_url(self) -> str:
        """The broker."""
        launcher = self.instance.run_launcher
        assert isinstance(launcher, RedisCeleryRunLauncher)
        return launcher.options.redis_url

    def worker_of(self, run_id: str) -> int:
        """The process that executes a run."""
        (told,) = (
            line for line in self.messages(run_id).splitlines() if "Executing in Celery worker" in line
        )
        return int(told.partition("(pid: ")[2].partition(")")[0])


def kill_whole(process: psutil.Popen) -> None:
    """End a worker and its processes by SIGKILL."""
    with suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            one.kill()
    process.wait()


class RedisServer:
    """A Redis that keeps what it is told, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self.url = f"redis://127.0.0.1:{self._port}/0"
        self.start()

    def start(self) -> None:
        """Start it, and wait until it answers."""
        options = ("--port", str(self._port), "--bind", "127.0.0.1", "--appendonly", "yes")
        self._process = subprocess.Popen(
            ["redis-server", *options, "--dir", str(self._folder)], stdout=subprocess.DEVNULL
        )
        client = Redis(port=self._port)

        def answers() -> bool:
            try:
                return bool(client.ping())
            except RedisError:
                return False

        eventually(answers, "Redis answers")

    def kill(self) -> None:
        """End it by SIGKILL."""
        self._process.kill()
        self._process.wait()


@pytest.fixture(scope="module")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    require(shutil.which("redis-server") is not None, "redis-server is not installed")
    server = RedisServer(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="module")
def redis_url(redis_server: RedisServer) -> str:
    return redis_server.url


@pytest.fixture(scope="module")
def dagster(
    redis_url: str, postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CeleryDeployment]:
    database = postgres.create_database(f"celery_{uuid4().hex}").get_secret_value()
    home = tmp_path_factory.mktemp("celery")
    with running(
        home, database, CeleryDeployment, redis_url=redis_url, queues={"print_lines_job": OTHER_QUEUE}
    ) as deployment:
        yield deployment


@pytest.fixture
def claims(redis_url: str) -> RunClaims:
    return RunClaims(redis_url)


def test_a_run_is_executed_in_the_queue_of_its_job_and_its_output_is_shown(dagster: CeleryDeployment) -> None:
    with dagster.worker("first@here"), dagster.worker("second@here", queue=OTHER_QUEUE):
        run_id = dagster.launch("print_lines_job")
        assert dagster.wait(run_id).status == SUCCESS
    assert "Executing in Celery worker second@here" in dagster.messages(run_id)
    output = dagster.output(run_id)
    assert "on stdout" in output["stdout"]
    assert "on stderr" in output["stderr"]


def test_terminate_interrupts_the_op_and_spares_the_process(dagster: CeleryDeployment) -> None:
    with dagster.worker("first@here"):
        run_id = dagster.launch("sleep_job", {"seconds": 600})
        process = dagster.wait_for_step(run_id)
        dagster.terminate(run_id)
        assert dagster.wait(run_id, patience=10).status == CANCELED
        next_run = dagster.launch("sleep_job", {"seconds": 0})
        assert dagster.wait(next_run).status == SUCCESS
        assert dagster.worker_of(next_run) == process


def test_a_run_canceled_while_no_worker_has_it_never_starts(dagster: CeleryDeployment) -> None:
    canceled = dagster.launch("sleep_job", {"seconds": 0})
    dagster.wait(canceled, STARTING)
    eventually(lambda: "forwarded to the broker" in dagster.messages(canceled), "its task is sent")
    dagster.terminate(canceled, force=True)  # the UI offers nothing else before a run has started
    assert dagster.wait(canceled, patience=10).status == CANCELED
    with dagster.worker("first@here"):
        assert dagster.wait(dagster.launch("sleep_job", {"seconds": 0})).status == SUCCESS
    assert "Executing" not in dagster.messages(canceled)


def test_a_run_whose_process_is_killed_fails_and_the_worker_goes_on(
    dagster: CeleryDeployment,
) -> None:
    with dagster.worker("first@here"):
        run_id = dagster.launch("sleep_job", {"seconds": 600})
        os.kill(dagster.wait_for_step(run_id), signal.SIGKILL)
        assert dagster.wait(run_id, patience=10).status == FAILURE
        assert "its process is gone" in dagster.messages(run_id)
        assert dagster.wait(dagster.launch("sleep_job", {"seconds": 0})).status == SUCCESS


def test_a_process_that_hangs_is_killed_at_the_limit_of_its_run(dagster: CeleryDeployment) -> None:
    with dagster.worker("first@here"):
        run_id = dagster.launch("lock_up_job", tags={"dagster/max_runtime": "4"})
        process = dagster.wait_for_step(run_id)
        assert dagster.wait(run_id, patience=20).status in {FAILURE, CANCELED}
        eventually(lambda: not psutil.pid_exists(process), "its process is gone", patience=20)


def test_runs_of_a_lost_worker_fail_in_time(dagster: CeleryDeployment) -> None:
    with dagster.worker("lost@here") as worker:
        run_id = dagster.launch("sleep_job", {"seconds": 600})
        dagster.wait_for_step(run_id)
        kill_whole(worker)
        assert dagster.wait(run_id, patience=NOTICED_SECONDS).status == FAILURE
    assert "lost@here, gives no sign of life" in dagster.messages(run_id)


def test_a_task_that_a_lost_worker_had_not_begun_goes_to_another(dagster: CeleryDeployment) -> None:
    with dagster.worker("lost@here") as worker:
        for process in worker.children():
            process.suspend()
        run_id = dagster.launch("sleep_job", {"seconds": 0})
        taken = Redis.from_url(dagster.redis_url).hvals
        eventually(lambda: any(run_id.encode() in task for task in taken("unacked")), "the worker has it")
        kill_whole(worker)
    assert dagster.run(run_id).status == STARTING
    with dagster.worker("other@here"):
        assert dagster.wait(run_id, patience=REDELIVERY_SECONDS + 20).status == SUCCESS
    assert "Executing in Celery worker other@here" in dagster.messages(run_id)


def test_a_run_that_was_claimed_and_not_begun_fails_when_its_task_comes_again(
    dagster: CeleryDeployment, claims: RunClaims
) -> None:
    run_id = dagster.launch("sleep_job", {"seconds": 0})
    dagster.wait(run_id, STARTING)
    assert claims.claim(run_id, "lost@here")
    with dagster.worker("other@here"):
        assert dagster.wait(run_id, patience=30).status == FAILURE
    assert "lost@here, gives no sign of life" in dagster.messages(run_id)


def test_of_two_deliveries_one_is_executed(dagster: CeleryDeployment) -> None:
    with dagster.worker("first@here", processes=2):
        run_id = dagster.launch("sleep_job", {"seconds": 4})
        dagster.wait(run_id, STARTED)
        deliver_again(dagster, run_id)
        assert dagster.wait(run_id).status == SUCCESS
        deliver_again(dagster, run_id)
        assert dagster.wait(dagster.launch("sleep_job", {"seconds": 0})).status == SUCCESS
    assert dagster.messages(run_id).count("Executing in Celery worker") == 1


def test_runs_outlive_a_redis_that_is_killed_and_comes_back(
    dagster: CeleryDeployment, redis_server: RedisServer
) -> None:
    with dagster.worker("first@here"):
        under_way = dagster.launch("sleep_job", {"seconds": 25})
        dagster.wait_for_step(under_way)
        redis_server.kill()
        coming_back = threading.Timer(6, redis_server.start)
        coming_back.start()
        launched_meanwhile = dagster.launch("sleep_job", {"seconds": 0})
        coming_back.join()
        for run_id in (under_way, launched_meanwhile):
            assert dagster.wait(run_id).status == SUCCESS, dagster.messages(run_id)
    assert dagster.messages(under_way).count("Executing in Celery worker") == 1


def deliver_again(dagster: CeleryDeployment, run_id: str) -> None:
    """Send the task of a run once more, and wait until a worker has taken it."""
    origin = dagster.run(run_id).job_code_origin
    assert origin is not None
    arguments = ExecuteRunArgs(origin, run_id, dagster.instance.get_ref(), True)
    launcher, redis = dagster.instance.run_launcher, Redis.from_url(dagster.redis_url)
    assert isinstance(launcher, RedisCeleryRunLauncher)
    launcher.celery.send_task("execute_job", kwargs={"execute_job_args_packed": pack_value(arguments)})
    eventually(lambda: not redis.llen("dagster"), "the task is taken")
    time.sleep(1)


def test_a_worker_of_another_launchers_instance_says_so(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    done = subprocess.run(
        [sys.executable, "-m", "enhancer_dagster.runtime.celery_launcher"],
        env=os.environ | {"DAGSTER_HOME": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert done.stderr == "dagster.yaml has the run launcher DefaultRunLauncher\n"
