"""The `RunLauncher` itself: a thin client of the dispatcher, in the daemon and in the webserver."""

import hashlib
from collections.abc import Mapping
from functools import cached_property
from typing import Any, Self

from dagster import DagsterInstance, DagsterRun
from dagster._core.errors import DagsterLaunchFailedError
from dagster._core.instance import InstanceRef
from dagster._core.launcher import CheckRunHealthResult, LaunchRunContext, RunLauncher, WorkerStatus
from dagster._core.remote_origin import GrpcServerCodeLocationOrigin
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.storage.tags import MAX_RUNTIME_SECONDS_TAG, PRIORITY_TAG
from dagster._core.workspace.context import BaseWorkspaceRequestContext
from dagster._serdes import ConfigurableClass, ConfigurableClassData, serialize_value

from enhancer_dagster.runtime.config_schema import config_schema
from enhancer_dagster.runtime.warm_launcher.client import DispatcherClient, DispatcherUnreachableError
from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.runtime.warm_launcher.linux import is_alive
from enhancer_dagster.runtime.warm_launcher.options import LauncherOptions
from enhancer_dagster.runtime.warm_launcher.orders import Code, Request, RunOrder

ANSWER_SECONDS = 10.0
"""If the dispatcher takes longer to say whether it has a run, the kernel is asked about the process."""


class WarmRunLauncher(RunLauncher[DagsterInstance], ConfigurableClass):
    """Hands runs to persistent, preloaded workers; the package's docstring says how to use it.

    Args:
        options: The settings of `dagster.yaml`.
        inst_data: What Dagster needs to build this object again in another process.
    """

    def __init__(self, options: LauncherOptions, inst_data: ConfigurableClassData | None = None) -> None:
        self.options = options
        self._inst_data = inst_data
        super().__init__()

    @property
    def inst_data(self) -> ConfigurableClassData | None:
        """What Dagster needs to build this object again in another process."""
        return self._inst_data

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """The schema of the settings."""
        return config_schema(LauncherOptions)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Build the launcher from its settings."""
        return cls(LauncherOptions.model_validate(config_value), inst_data)

    def launch_run(self, context: LaunchRunContext) -> None:
        """Hand the run to the dispatcher, which is started if need be; returns before the run starts.

        Raises:
            DagsterLaunchFailedError: The dispatcher could not be reached.
        """
        request = Request(ask="launch", order=order_of(context), instance=fingerprint(self._instance_ref))
        try:
            self._dispatcher.ask(request, start=True)
        except DispatcherUnreachableError as error:
            raise DagsterLaunchFailedError(str(error)) from error

    def terminate(self, run_id: str) -> bool:
        """Have the run end: CANCELED within the grace period, by force if need be.

        Returns:
            Whether it will: False if it is finished already, or the dispatcher does not answer.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.status != DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        if self._dispatcher_knows(Request(ask="terminate", run_id=run_id)):
            return True
        record = self._folder.read(run_id)
        if record is not None and record.worker is not None and is_alive(record.worker):
            return False  # there is a dispatcher, but it does not answer in time
        self._report_canceled_if_unfinished(run_id)
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the run is in the dispatcher's care or, if that does not answer, its process alive."""
        if self._dispatcher_knows(Request(ask="knows", run_id=run.run_id)):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        record = self._folder.read(run.run_id)
        if record is None or record.worker is None:
            return CheckRunHealthResult(WorkerStatus.NOT_FOUND, "no worker has this run (any more)")
        if is_alive(record.worker):
            return CheckRunHealthResult(WorkerStatus.RUNNING, run_worker_id=record.worker)
        pid = record.worker.split(":")[1]
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"its worker, process {pid}, has ended, and so has the dispatcher"
        )

    def dispose(self) -> None:
        """Close the connection; the dispatcher and its runs go on."""
        if "_dispatcher" in self.__dict__:
            self._dispatcher.close()

    def _dispatcher_knows(self, request: Request) -> bool:
        try:
            return bool(self._dispatcher.ask(request, timeout=ANSWER_SECONDS)["known"])
        except DispatcherUnreachableError:
            return False

    def _report_canceled_if_unfinished(self, run_id: str) -> None:
        run = self._instance.get_run_by_id(run_id)
        if run is not None and not run.is_finished:
            self._instance.report_run_canceled(run, "No worker had this run any more: marked as canceled.")

    @cached_property
    def _instance_ref(self) -> InstanceRef:
        return self._instance.get_ref()

    @cached_property
    def _folder(self) -> LauncherFolder:
        return LauncherFolder(self._instance.root_directory)

    @cached_property
    def _dispatcher(self) -> DispatcherClient:
        return DispatcherClient(self._folder, self._instance_ref)


def fingerprint(instance_ref: InstanceRef) -> str:
    """Changes with every setting of `dagster.yaml`."""
    return hashlib.sha256(serialize_value(instance_ref).encode()).hexdigest()


def order_of(context: LaunchRunContext) -> RunOrder:
    """What the dispatcher has to know about the run.

    Raises:
        DagsterLaunchFailedError: The run does not say where its code is.
    """
    run = context.dagster_run
    if run.job_code_origin is None:
        raise DagsterLaunchFailedError(f"run {run.run_id} does not say where its code is")
    origin = run.remote_job_origin
    location = origin.repository_origin.code_location_origin.location_name if origin else ""
    return RunOrder(
        run_id=run.run_id,
        code=Code(
            location=location,
            origin=serialize_value(run.job_code_origin.repository_origin),
            server_id=_server_id(context.workspace, location),
        ),
        max_runtime_seconds=_number(run.tags.get(MAX_RUNTIME_SECONDS_TAG)),
        priority=int(_number(run.tags.get(PRIORITY_TAG)) or 0),
    )


def _server_id(workspace: BaseWorkspaceRequestContext | None, location: str) -> str | None:
    # Code servers that Dagster starts by itself are restarted for no reason of the code's: left out.
    entry = workspace.get_location_entry(location) if workspace else None
    if entry is None or entry.code_location is None:
        return None
    is_grpc = isinstance(entry.origin, GrpcServerCodeLocationOrigin)
    return getattr(entry.code_location, "server_id", None) if is_grpc else None


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None
