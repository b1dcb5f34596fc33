"""How the warm launcher's dispatcher comes and goes: real processes and PostgreSQL, no daemon."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
from dagster import DagsterRunStatus

from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from enhancer_dagster.runtime.warm_launcher.client import DispatcherClient, stop_dispatcher
from enhancer_dagster.runtime.warm_launcher.orders import Request
from tests.launcher_project.deployment import Deployment, eventually, processes_of

pytestmark = pytest.mark.xdist_group("warm_launcher")

PROJECT = Path(__file__).parents[2]
Make = Callable[..., Deployment]


@pytest.fixture(scope="module")
def database(postgres: EmbeddedPostgres) -> str:
    return postgres.create_database(f"launcher_{uuid4().hex}").get_secret_value()


@pytest.fixture
def make(database: str, tmp_path: Path) -> Iterator[Make]:
    """Makes a deployment without its programs; its dispatcher is stopped at the end."""
    with ExitStack() as stack:

        def build(home: Path = tmp_path / "home", **launcher: int) -> Deployment:
            deployment = Deployment(home, database, launcher)
            stack.callback(deployment.stop)
            return deployment

        yield build


def begin_launches(deployment: Deployment, processes: int, each: int) -> list[subprocess.Popen[str]]:
    """Start processes that launch `each` runs, and wait until all of them are at it."""
    command = [
        sys.executable,
        "-m",
        "tests.launcher_project.launch_together",
        str(deployment.home),
        str(each),
    ]
    environment = deployment.environment | {"PYTHONPATH": f"{deployment.home}:{PROJECT}"}
    started = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(processes)
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    return started


def expect_success(deployment: Deployment, started: list[subprocess.Popen[str]], count: int) -> None:
    """Wait for the end of all runs that these processes have launched."""
    runs = [run_id for process in started for run_id in process.communicate()[0].split()]
    assert len(runs) == count
    assert {deployment.wait(run_id).status for run_id in runs} == {DagsterRunStatus.SUCCESS}


def launch(deployment: Deployment) -> None:
    expect_success(deployment, begin_launches(deployment, processes=1, each=1), count=1)


def named(deployment: Deployment, name: str) -> list[psutil.Process]:
    return [process for process in processes_of(deployment.home) if process.name() == name]


def sessions(deployment: Deployment) -> list[int]:
    """The database sessions that other processes than this one have."""
    deployment.close_connections()
    query = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    with psycopg.connect(deployment.database_url) as connection:
        return [row[0] for row in connection.execute(query)]


def test_twenty_launches_at_once_start_one_template_and_all_end_with_the_dispatcher(make: Make) -> None:
    deployment = make(workers=3)
    with deployment.folder.lock("start"):  # as if another launcher was just starting one
        started = begin_launches(deployment, processes=4, each=5)
        time.sleep(1)
        assert not deployment.folder.log.exists()
    expect_success(deployment, started, count=20)
    (dispatcher,) = named(deployment, "warm-dispatcher")
    assert len(named(deployment, "warm-template")) == 1
    assert len(named(deployment, "warm-worker")) <= 3
    assert deployment.folder.log.read_text().count('"message": "run launcher:  is loaded') == 1
    os.kill(dispatcher.pid, signal.SIGKILL)
    eventually(lambda: not processes_of(deployment.home), "templates and workers have ended")
    eventually(lambda: not sessions(deployment), "their database sessions are closed")


def test_nobody_else_can_reach_the_socket(make: Make) -> None:
    assert make().folder.path.stat().st_mode & 0o077 == 0


def test_a_self_started_dispatcher_stays_as_long_as_a_launcher_is_connected(make: Make) -> None:
    deployment = make(linger_seconds=1)
    client = DispatcherClient(deployment.folder, deployment.instance.get_ref())
    first = client.ask(Request(ask="status"), start=True)
    launch(deployment)  # takes longer than the second after which it would end
    assert client.ask(Request(ask="status"))["pid"] == first["pid"]
    client.close()
    eventually(lambda: not processes_of(deployment.home), "all processes have ended")


def test_a_changed_dagster_yaml_gets_a_new_dispatcher_also_under_a_long_path(
    make: Make, tmp_path: Path
) -> None:
    deployment = make(tmp_path / ("long" * 30), workers=1)
    launch(deployment)
    (before,) = named(deployment, "warm-dispatcher")
    settings = deployment.home / "dagster.yaml"
    settings.write_text(settings.read_text().replace('"workers": 1', '"workers": 2'))
    launch(deployment)
    eventually(lambda: not before.is_running(), "the dispatcher with the old settings has ended")
    client = DispatcherClient(deployment.folder, deployment.instance.get_ref())
    assert client.ask(Request(ask="status"), start=True)["pid"] != before.pid
    client.close()


def test_a_supervised_dispatcher_takes_over_and_leaves_nothing_behind(make: Make) -> None:
    deployment = make(workers=2)
    launch(deployment)
    (left_over,) = named(deployment, "warm-dispatcher")
    supervised = subprocess.Popen(
        [sys.executable, "-m", "enhancer_dagster.runtime.warm_launcher", "serve"], env=deployment.environment
    )
    eventually(lambda: not left_over.is_running(), "the one that was left over has ended")
    launch(deployment)
    assert [process.pid for process in named(deployment, "warm-dispatcher")] == [supervised.pid]
    supervised.send_signal(signal.SIGTERM)
    assert supervised.wait(30) == 0
    assert processes_of(deployment.home) == []
    assert not stop_dispatcher(deployment.folder)
