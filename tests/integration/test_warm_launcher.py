"""The warm run launcher under a real daemon, webserver, code server and PostgreSQL."""

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psutil
import psycopg
import pytest
from dagster import DagsterRun, DagsterRunStatus

from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.launcher_project.deployment import Deployment, eventually, running

pytestmark = pytest.mark.xdist_group("warm_launcher")

SUCCESS, FAILURE, CANCELED = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED
GRACE_SECONDS = 2
SLOTS = 3
MAX_RUNS = 3
MAX_MEMORY_MB = 400


@pytest.fixture(scope="module")
def dagster(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    database = postgres.create_database(f"launcher_{uuid4().hex}").get_secret_value()
    with running(
        tmp_path_factory.mktemp("launcher"),
        database,
        workers=SLOTS,
        terminate_grace_seconds=GRACE_SECONDS,
        max_runs_per_worker=MAX_RUNS,
        max_worker_memory_mb=MAX_MEMORY_MB,
    ) as deployment:
        yield deployment


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that accepts and never says anything."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_output_is_readable_in_the_ui(dagster: Deployment) -> None:
    run_id = dagster.launch("print_lines_job")
    assert dagster.wait(run_id).status == SUCCESS
    assert "Executing in warm worker" in dagster.messages(run_id)
    output = dagster.output(run_id)
    assert "on stdout" in output["stdout"]
    assert "from below Python" in output["stdout"]
    assert "on stderr" in output["stderr"]


@pytest.mark.parametrize("job", ["sleep_job", "wait_for_the_network_job"])
def test_terminate_interrupts_the_op(dagster: Deployment, job: str, silent_port: int) -> None:
    run_id = dagster.launch(job, {"port": silent_port} if "network" in job else {"seconds": 600})
    dagster.wait_for_step(run_id)
    dagster.terminate(run_id)
    assert dagster.wait(run_id).status == CANCELED
    assert "SIGKILL" not in dagster.messages(run_id)


def test_terminate_ends_c_code_that_ignores_signals(dagster: Deployment) -> None:
    run_id = dagster.launch("lock_up_job")
    worker = dagster.wait_for_step(run_id)
    dagster.terminate(run_id)
    assert dagster.wait(run_id).status == CANCELED
    assert "killed by SIGKILL" in dagster.messages(run_id)
    assert not psutil.pid_exists(worker)


def test_a_delayed_kill_spares_the_next_run(dagster: Deployment, tmp_path: Path) -> None:
    first = dagster.launch("give_in_slowly_job", {"path": str(tmp_path / "started")})
    dagster.wait_for_step(first)
    dagster.terminate(first)
    dagster.wait(first)
    next_run = dagster.launch("sleep_job", {"seconds": GRACE_SECONDS * 2.0})
    assert dagster.wait(next_run).status == SUCCESS, dagster.messages(next_run)


def test_a_run_canceled_while_it_waits_for_a_slot_never_starts(dagster: Deployment) -> None:
    busy = [dagster.launch("sleep_job", {"seconds": 600}) for _ in range(SLOTS)]
    for run_id in busy:
        dagster.wait_for_step(run_id)
    waiting = dagster.launch("empty_job")
    eventually(lambda: dagster.folder.read(waiting), "the dispatcher has the run")
    dagster.terminate(waiting, force=True)
    for run_id in busy:
        dagster.terminate(run_id)
    assert {dagster.wait(run_id).status for run_id in busy} == {CANCELED}
    eventually(lambda: dagster.folder.read(waiting) is None, "the dispatcher has finished with the run")
    assert dagster.run(waiting).status == CANCELED
    assert "PIPELINE_START" not in dagster.event_types(waiting)


def test_a_run_that_never_came_to_the_launcher_fails_and_one_that_waits_for_a_slot_does_not(
    dagster: Deployment,
) -> None:
    busy = [dagster.launch("sleep_job", {"seconds": 600}) for _ in range(SLOTS)]
    waiting = dagster.launch("empty_job")
    lost = DagsterRun(job_name="empty_job", run_id=str(uuid4()), status=DagsterRunStatus.STARTING)
    dagster.instance.add_run(lost)  # as where the daemon is killed between its two steps
    assert dagster.wait(lost.run_id).status == FAILURE
    assert "before it could hand it over" in dagster.messages(lost.run_id)
    assert dagster.run(waiting).status == DagsterRunStatus.STARTING
    for run_id in busy:
        dagster.terminate(run_id)
    assert dagster.wait(waiting).status == SUCCESS


def test_a_killed_worker_fails_its_run_and_says_how(dagster: Deployment) -> None:
    run_id = dagster.launch("sleep_job", {"seconds": 600})
    os.kill(dagster.wait_for_step(run_id), signal.SIGKILL)
    assert dagster.wait(run_id).status == FAILURE
    assert "killed by SIGKILL (signal 9" in dagster.messages(run_id)
    assert dagster.wait(dagster.launch("empty_job")).status == SUCCESS


def test_what_the_op_started_ends_with_its_worker(dagster: Deployment, tmp_path: Path) -> None:
    note = tmp_path / "pid"
    run_id = dagster.launch("start_process_job", {"path": str(note)})
    worker = dagster.wait_for_step(run_id)
    child = int(eventually(lambda: note.read_text() if note.exists() else None, "the op started a process"))
    os.kill(worker, signal.SIGKILL)
    assert dagster.wait(run_id).status == FAILURE
    eventually(lambda: not _is_running(child), "the op's process has ended")


def test_the_hard_limit_ends_the_run_with_the_reason(dagster: Deployment) -> None:
    run_id = dagster.launch("lock_up_job", tags={"dagster/max_runtime": "1"})
    assert dagster.wait(run_id).status == FAILURE
    assert "exceeded its maximum runtime of 1 seconds: its worker" in dagster.messages(run_id)


def test_workers_serve_many_runs_and_are_replaced(dagster: Deployment) -> None:
    runs = [dagster.launch("tell_version_job") for _ in range(SLOTS * (MAX_RUNS + 1))]
    assert {dagster.wait(run_id).status for run_id in runs} == {SUCCESS}
    served = Counter(dagster.metadata(run_id, "pid") for run_id in runs)
    assert 1 < max(served.values()) <= MAX_RUNS


def test_a_worker_that_has_grown_is_replaced(dagster: Deployment) -> None:
    run_id = dagster.launch("grow_job", {"megabytes": MAX_MEMORY_MB})
    worker = dagster.wait_for_step(run_id)
    assert dagster.wait(run_id).status == SUCCESS
    eventually(lambda: not psutil.pid_exists(worker), "the worker has ended")


def test_a_worker_whose_run_left_a_thread_that_computes_is_replaced(dagster: Deployment) -> None:
    run_id = dagster.launch("leave_a_loop_behind_job")
    assert dagster.wait(run_id).status == SUCCESS
    worker = dagster.metadata(run_id, "pid")
    assert isinstance(worker, int)
    eventually(lambda: not psutil.pid_exists(worker), "the worker has ended")
    assert dagster.wait(dagster.launch("empty_job")).status == SUCCESS


def test_runs_leave_no_descriptors_and_connections(dagster: Deployment) -> None:
    def batch() -> None:
        runs = [dagster.launch("empty_job") for _ in range(SLOTS * 2)]
        assert {dagster.wait(run_id).status for run_id in runs} == {SUCCESS}
        eventually(lambda: dagster.status()["running"] == 0, "all workers are idle")

    batch()
    dispatcher = psutil.Process(dagster.status()["pid"])
    descriptors, sessions = dispatcher.num_fds(), _count_sessions(dagster)
    batch()
    assert len(dagster.status()["workers"]) <= SLOTS
    # At either count a slot may be without worker, or a replaced one not yet gone.
    assert dispatcher.num_fds() <= descriptors + SLOTS
    assert _count_sessions(dagster) <= sessions + SLOTS


def _count_sessions(dagster: Deployment) -> int:
    query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
    with psycopg.connect(dagster.database_url) as connection:
        row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_reloaded_code_is_used_and_old_workers_finish(dagster: Deployment) -> None:
    old = dagster.launch("sleep_job", {"seconds": 6})
    dagster.wait_for_step(old)
    (dagster.home / "location" / "version.py").write_text('VERSION = "second"\n')
    dagster.reload()
    run_id = dagster.launch("tell_version_job")
    assert dagster.wait(run_id).status == SUCCESS
    assert dagster.metadata(run_id, "version") == "second"
    assert dagster.wait(old).status == SUCCESS


def test_runs_launched_while_a_template_is_replaced_use_the_edited_code(dagster: Deployment) -> None:
    dagster.wait(dagster.launch("empty_job"))
    (dagster.home / "location" / "version.py").write_text('VERSION = "third"\n')
    runs = [dagster.launch("tell_version_job") for _ in range(SLOTS * 2)]
    assert {dagster.wait(run_id).status for run_id in runs} == {SUCCESS}
    assert {dagster.metadata(run_id, "version") for run_id in runs} == {"third"}
    assert all("warm worker" in dagster.messages(run_id) for run_id in runs)


def test_an_import_error_fails_the_run_in_words_until_it_is_mended(dagster: Deployment) -> None:
    version = dagster.home / "location" / "version.py"
    intact = version.read_text()
    version.write_text("VERSION = undefined_name\n")
    broken = dagster.launch("tell_version_job")
    assert dagster.wait(broken).status == FAILURE
    assert "the code cannot be preloaded" in dagster.messages(broken)
    assert "undefined_name" in dagster.messages(broken)
    version.write_text(intact)
    mended = dagster.launch("tell_version_job")
    assert dagster.wait(mended).status == SUCCESS
    assert "warm worker" in dagster.messages(mended)


def test_code_that_starts_threads_runs_in_a_plain_process(dagster: Deployment) -> None:
    version = dagster.home / "location" / "version.py"
    intact = version.read_text()
    version.write_text(
        "import threading, time\n"
        "threading.Thread(target=time.sleep, args=(600,), daemon=True, name='ticker').start()\n" + intact
    )
    run_id = dagster.launch("tell_version_job")
    assert dagster.wait(run_id).status == SUCCESS
    assert "left threads running (ticker)" in dagster.messages(run_id)
    version.write_text(intact)


def test_a_killed_template_is_started_again(dagster: Deployment) -> None:
    running_on = dagster.launch("sleep_job", {"seconds": 3})
    dagster.wait_for_step(running_on)
    (template,) = dagster.status()["templates"]
    os.kill(template["pid"], signal.SIGKILL)
    assert dagster.wait(dagster.launch("empty_job")).status == SUCCESS
    assert dagster.wait(running_on).status == SUCCESS
    (after,) = dagster.status()["templates"]
    assert after["ready"]
    assert after["pid"] != template["pid"]


def test_runs_in_flight_outlive_a_killed_daemon(dagster: Deployment) -> None:
    survivor = dagster.launch("sleep_job", {"seconds": 5})
    victim = dagster.launch("sleep_job", {"seconds": 600})
    dagster.wait_for_step(survivor)
    worker = dagster.wait_for_step(victim)
    dagster.kill("daemon")
    os.kill(worker, signal.SIGKILL)
    dagster.start_daemon()
    assert dagster.wait(victim).status == FAILURE
    assert dagster.wait(survivor).status == SUCCESS
    assert dagster.wait(dagster.launch("empty_job")).status == SUCCESS


def test_run_monitoring_finds_runs_whose_dispatcher_was_killed(dagster: Deployment) -> None:
    run_id = dagster.launch("sleep_job", {"seconds": 600})
    worker = dagster.wait_for_step(run_id)
    dagster.kill("daemon")
    os.kill(dagster.status()["pid"], signal.SIGKILL)
    eventually(lambda: not _is_running(worker), "the worker ends with its dispatcher")
    dagster.start_daemon()
    assert dagster.wait(run_id).status == FAILURE
    assert f"process {worker}" in dagster.messages(run_id)


def test_runs_that_waited_start_with_the_next_dispatcher(dagster: Deployment) -> None:
    busy = [dagster.launch("sleep_job", {"seconds": 600}) for _ in range(SLOTS)]
    for run_id in busy:
        dagster.wait_for_step(run_id)
    waiting = dagster.launch("tell_version_job")
    eventually(lambda: dagster.folder.read(waiting), "the dispatcher has the run")
    os.kill(dagster.status()["pid"], signal.SIGKILL)
    time.sleep(0.1)
    assert dagster.wait(dagster.launch("empty_job")).status == SUCCESS
    assert dagster.wait(waiting).status == SUCCESS
    assert {dagster.wait(run_id).status for run_id in busy} == {FAILURE}
