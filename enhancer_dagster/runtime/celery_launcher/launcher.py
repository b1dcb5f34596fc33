"""The `RunLauncher`, in the daemon and in the webserver: what `dagster_celery`'s own one leaves open."""

import time
from collections.abc import Mapping
from typing import Any, Self

from celery.canvas import Signature
from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._core.storage.tags import MAX_RUNTIME_SECONDS_TAG
from dagster._serdes import ConfigurableClassData
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_QUEUE_TAG

from enhancer_dagster.runtime.celery_launcher.claims import SILENCE_SECONDS, RunClaims
from enhancer_dagster.runtime.celery_launcher.options import CeleryOptions, celery_settings
from enhancer_dagster.runtime.config_schema import config_schema
from enhancer_dagster.runtime.run_execution import end_run

DEFAULT_QUEUE = "dagster"


class RedisCeleryRunLauncher(CeleryRunLauncher):
    """Hands runs to Celery workers; the package's docstring says how to use it.

    Args:
        options: The settings of `dagster.yaml`.
        inst_data: What Dagster needs to build this object again in another process.
    """

    def __init__(self, options: CeleryOptions, inst_data: ConfigurableClassData | None = None) -> None:
        super().__init__(
            default_queue=DEFAULT_QUEUE,
            broker=options.redis_url,
            backend=options.redis_url,
            config_source=celery_settings(options),
            inst_data=inst_data,
        )
        self.options = options
        self._claims = RunClaims(options.redis_url)
        self._silent_since: dict[str, float] = {}

    @classmethod
    def config_type(cls) -> Mapping[str, Any]:
        """The schema of the settings."""
        return config_schema(CeleryOptions)

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """Build the launcher from its settings."""
        return cls(CeleryOptions.model_validate(config_value), inst_data)

    @property
    def supports_resume_run(self) -> bool:
        """False: a run that lost its worker is over."""
        return False

    def _launch_celery_task_run(self, run: DagsterRun, task_signature: Signature, routing_key: str) -> None:
        """Send a run's task: under the run's id, with its time limit, to the queue of its job."""
        limit = run.tags.get(MAX_RUNTIME_SECONDS_TAG) or self.options.max_runtime_seconds
        task_signature.set(task_id=run.run_id, time_limit=float(limit) or None)
        queue = self.options.queues.get(run.job_name)
        if queue is not None and DAGSTER_CELERY_QUEUE_TAG not in run.tags:
            run = run.with_tags({**run.tags, DAGSTER_CELERY_QUEUE_TAG: queue})
        super()._launch_celery_task_run(run, task_signature, routing_key)

    def terminate(self, run_id: str) -> bool:
        """Have the run end as CANCELED.

        Returns:
            Whether it will: False if it is finished already.

        Raises:
            redis.RedisError: Redis cannot be asked who has the run.
        """
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if run.status != DagsterRunStatus.CANCELING:
            self._instance.report_run_canceling(run)
        if self._claims.claim(run_id, "canceled before a worker took it"):
            self._end(run_id, "No worker had begun this run, and none will.")
        elif self._claims.is_alive(run_id):
            self.celery.control.revoke(run_id, terminate=True)
        else:
            self._end(run_id, f"Its worker, {self._claims.claimant(run_id)}, gives no sign of life.")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """True: run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Whether the process that executes the run is alive.

        Raises:
            redis.RedisError: Redis cannot be asked; that says nothing about the run.
        """
        task = self.celery.AsyncResult(run.run_id)
        if task.state == "FAILURE":
            return CheckRunHealthResult(WorkerStatus.FAILED, f"its process is gone: {task.result}")
        if self._claims.is_alive(run.run_id):
            self._silent_since.pop(run.run_id, None)
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        silence = time.monotonic() - self._silent_since.setdefault(run.run_id, time.monotonic())
        if silence < SILENCE_SECONDS:
            return CheckRunHealthResult(WorkerStatus.RUNNING, "no sign of life at the moment")
        del self._silent_since[run.run_id]
        worker = self._claims.claimant(run.run_id)
        return CheckRunHealthResult(WorkerStatus.NOT_FOUND, f"its worker, {worker}, gives no sign of life")

    def get_run_worker_debug_info(
        self, run: DagsterRun, include_container_logs: bool | None = True
    ) -> str | None:
        """Which worker has the run."""
        worker = self._claims.claimant(run.run_id)
        return f"It was claimed by {worker}." if worker else "No worker has claimed it."

    def _end(self, run_id: str, reason: str) -> None:
        run = self._instance.get_run_by_id(run_id)
        if run is not None:
            end_run(self._instance, run, reason, canceled=True)
