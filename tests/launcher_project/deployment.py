"""Starts a real Dagster deployment on one of the launchers: code server, webserver, daemon."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
from dagster import DagsterEvent, DagsterInstance, DagsterRun, DagsterRunStatus
from dagster._core.launcher import RunLauncher

from enhancer_dagster.runtime.dagster_storage import create_tables, pooled_engine, with_psycopg2
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.warm_launcher import WarmRunLauncher
from enhancer_dagster.runtime.warm_launcher.client import DispatcherClient, stop_dispatcher
from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.runtime.warm_launcher.orders import Request

LOCATION = Path(__file__).parent / "location"
URL_VARIABLE = "LAUNCHER_TEST_DATABASE_URL"
PATIENCE = 120.0

DAGSTER_YAML = """
telemetry: {enabled: false}
storage:
  custom:
    module: enhancer_dagster.runtime.dagster_storage
    class: PooledPostgresStorage
    config: {postgres_url: {env: LAUNCHER_TEST_DATABASE_URL}, should_autocreate_tables: false}
compute_logs:
  module: enhancer_dagster.runtime.compute_logs
  class: RedirectingComputeLogManager
  config: {base_dir: %(home)s/logs}
run_launcher:
  module: %(module)s
  class: %(class)s
  config: %(launcher)s
run_coordinator:
  module: enhancer_dagster.runtime.prompt_coordinator
  class: PromptRunCoordinator
  config: {dequeue_interval_seconds: 1, dequeue_use_threads: true, dequeue_num_workers: 24}
concurrency:
  runs: {max_concurrent_runs: 24, tag_concurrency_limits: [{key: alone, limit: 1}]}
run_monitoring:
  {enabled: true, poll_interval_seconds: 2, start_timeout_seconds: 180, cancel_timeout_seconds: 60,
   max_resume_run_attempts: 0}
"""

T = TypeVar("T")


def eventually(probe: Callable[[], T | None], what: str, patience: float = PATIENCE) -> T:
    """The first answer that is something; fails if there is none for too long."""
    give_up_at = time.monotonic() + patience
    while time.monotonic() < give_up_at:
        answer = probe()
        if answer:
            return answer
        time.sleep(0.05)
    raise AssertionError(f"did not come about: {what}")


class Deployment:
    """One Dagster instance in a folder, and the processes that serve it.

    Args:
        home: DAGSTER_HOME; also holds a copy of the code location.
        database_url: `postgresql://…` of an empty database.
        launcher: The launcher's settings.
    """

    launcher_class: type[RunLauncher[Any]] = WarmRunLauncher

    def __init__(self, home: Path, database_url: str, launcher: Mapping[str, Any]) -> None:
        self.home = home
        home.mkdir(parents=True, exist_ok=True)
        shutil.copytree(LOCATION, home / "location")
        kind = {"module": self.launcher_class.__module__, "class": self.launcher_class.__name__}
        values = {"home": home, "launcher": json.dumps(launcher), **kind}
        (home / "dagster.yaml").write_text(DAGSTER_YAML % values)
        self.database_url = database_url
        create_tables(database_url)
        os.environ[URL_VARIABLE] = database_url  # read by this process's own instance as well
        self.environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(home)}
        self.instance = DagsterInstance.from_config(str(home))
        self.folder = LauncherFolder(home)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.ports = {name: free_port() for name in ("code", "web")}

    def start(self) -> None:
        """Start everything, and wait until runs can be launched."""
        workspace = self.home / "workspace.yaml"
        server = f"{{host: 127.0.0.1, port: {self.ports['code']}, location_name: location}}"
        workspace.write_text(f"load_from: [{{grpc_server: {server}}}]")
        target = ["-m", "location.definitions", "-d", str(self.home)]
        self.spawn("code", "code-server", "start", *target, "-p", str(self.ports["code"]))
        eventually(lambda: _listens(self.ports["code"]), "the code server listens")
        self.start_daemon()
        self.spawn("web", "webserver", "-w", str(workspace), "-p", str(self.ports["web"]))
        eventually(lambda: _listens(self.ports["web"]), "the webserver listens")

    def start_daemon(self) -> None:
        """Start the daemon alone."""
        self.spawn("daemon", "daemon", "run", "-w", str(self.home / "workspace.yaml"))

    def spawn(self, name: str, program: str, *arguments: str) -> None:
        """Start one of Dagster's programs in a process group of its own."""
        modules = {"daemon": "dagster._daemon", "webserver": "dagster_webserver"}
        command = [modules[program]] if program in modules else ["dagster", program]
        with (self.home / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", *command, *arguments],
                env=self.environment, cwd=self.home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """End one of the programs with its whole group."""
        process = self.processes.pop(name)
        os.killpg(process.pid, number)
        process.wait()

    def close_connections(self) -> None:
        """Close this process's own pooled connections."""
        pooled_engine(with_psycopg2(self.database_url), None, os.getpid()).dispose()

    def stop(self) -> None:
        """End everything."""
        for name in list(self.processes):
            self.kill(name)
        stop_dispatcher(self.folder)
        self.close_connections()

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask the webserver as the UI does."""
        answer = httpx.post(
            f"http://127.0.0.1:{self.ports['web']}/graphql",
            json={"query": query, "variables": variables},
            timeout=60,
        )
        answer.raise_for_status()
        content = answer.json()
        assert "errors" not in content, content
        return content["data"]

    def launch(
        self, job: str, config: Mapping[str, Any] | None = None, tags: Mapping[str, str] | None = None
    ) -> str:
        """Launch a run through the UI's API; its id."""
        ops = {"ops": {job.removesuffix("_job"): {"config": config}}} if config else {}
        parameters = {
            "selector": {
                "repositoryLocationName": "location",
                "repositoryName": "__repository__",
                "jobName": job,
            },
            "runConfigData": ops,
            "executionMetadata": {"tags": [{"key": key, "value": tag} for key, tag in (tags or {}).items()]},
        }
        result = self.graphql(LAUNCH, parameters=parameters)["launchRun"]
        assert result["__typename"] == "LaunchRunSuccess", result
        return result["run"]["runId"]

    def terminate(self, run_id: str, *, force: bool = False) -> None:
        """Terminate a run through the UI's API; `force` is its check box, which marks the run at once."""
        policy = "MARK_AS_CANCELED_IMMEDIATELY" if force else "SAFE_TERMINATE"
        result = self.graphql(TERMINATE, run=run_id, policy=policy)["terminateRun"]
        assert result["__typename"] == "TerminateRunSuccess", result

    def reload(self) -> None:
        """Reload the code location as the UI's button does."""
        result = self.graphql(RELOAD)["reloadRepositoryLocation"]
        assert result["__typename"] == "WorkspaceLocationEntry", result

    def run(self, run_id: str) -> DagsterRun:
        """The run as it is now."""
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run

    def wait(self, run_id: str, *statuses: DagsterRunStatus, patience: float = PATIENCE) -> DagsterRun:
        """Wait until the run has one of these statuses; by default, until it is finished."""

        def look() -> DagsterRun | None:
            run = self.run(run_id)
            return run if run.status in statuses or (not statuses and run.is_finished) else None

        return eventually(
            look, f"run {run_id} is {statuses or 'finished'}: {self.messages(run_id)}", patience
        )

    def wait_for_step(self, run_id: str) -> int:
        """Wait until the run's op executes; the worker's process id."""
        eventually(lambda: "STEP_START" in self.event_types(run_id), f"run {run_id} has started its op")
        return self.worker_of(run_id)

    def worker_of(self, run_id: str) -> int:
        """The process that executes a run."""
        record = eventually(lambda: self.folder.read(run_id), "the run has a record")
        assert record.worker is not None
        return int(record.worker.split(":")[1])

    def messages(self, run_id: str) -> str:
        """All messages of the run's events, as a person reads them."""
        return "\n".join(str(entry.user_message or entry.message) for entry in self.instance.all_logs(run_id))

    def event_types(self, run_id: str) -> list[str]:
        """The run's event types, in order."""
        entries = self.instance.all_logs(run_id)
        return [entry.dagster_event.event_type_value for entry in entries if entry.dagster_event]

    def output(self, run_id: str) -> dict[str, str]:
        """What the UI shows of the run's `stdout` and `stderr`."""
        captured = self._event(run_id, "LOGS_CAPTURED").logs_captured_data
        query = "query($key: [String!]!) { capturedLogs(logKey: $key) { stdout stderr } }"
        key = [run_id, "compute_logs", captured.file_key]
        return self.graphql(query, key=key)["capturedLogs"]

    def metadata(self, run_id: str, key: str) -> object:
        """A metadata value of the run's only output."""
        return self._event(run_id, "STEP_OUTPUT").step_output_data.metadata[key].value

    def status(self) -> dict[str, Any]:
        """What the dispatcher says about itself."""
        client = DispatcherClient(self.folder, self.instance.get_ref())
        try:
            return client.ask(Request(ask="status"))
        finally:
            client.close()

    def _event(self, run_id: str, kind: str) -> DagsterEvent:
        for entry in self.instance.all_logs(run_id):
            event = entry.dagster_event
            if event is not None and event.event_type_value == kind:
                return event
        raise AssertionError(f"run {run_id} has no event {kind}: {self.messages(run_id)}")


def processes_of(home: Path) -> list[psutil.Process]:
    """Every process that serves this DAGSTER_HOME, by its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("DAGSTER_HOME") == str(home):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return found


D = TypeVar("D", bound=Deployment)


@contextmanager
def running(home: Path, database_url: str, kind: type[D] = Deployment, **launcher: Any) -> Iterator[D]:
    """A deployment that is stopped at the end."""
    deployment = kind(home, database_url, launcher)
    try:
        deployment.start()
        yield deployment
    finally:
        deployment.stop()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


LAUNCH = """mutation($parameters: ExecutionParams!) {
  launchRun(executionParams: $parameters) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""
TERMINATE = """mutation($run: String!, $policy: TerminateRunPolicy!) {
  terminateRun(runId: $run, terminatePolicy: $policy) { __typename ... on TerminateRunFailure { message } }
}"""
RELOAD = """mutation {
  reloadRepositoryLocation(repositoryLocationName: "location") { __typename }
}"""
