"""A Celery worker that loads code and models, then forks processes that have them loaded."""

import gc
from collections.abc import Sequence
from typing import Any

from celery import Celery, signals
from dagster import DagsterInstance
from dagster._core.instance import InstanceRef
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import unpack_value
from dagster_celery.config import TASK_EXECUTE_JOB_NAME
from loguru import logger

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.celery_launcher.launcher import RedisCeleryRunLauncher
from enhancer_dagster.runtime.celery_launcher.options import CeleryOptions
from enhancer_dagster.runtime.celery_launcher.process import RunProcess
from enhancer_dagster.runtime.preloading import call_targets, load_instance_classes, remaining_threads


def serve(arguments: Sequence[str]) -> None:
    """Be a worker of DAGSTER_HOME's instance until told to end.

    Args:
        arguments: Those of `celery worker`.

    Raises:
        ConfigurationError: The instance has another run launcher.
    """
    with DagsterInstance.get() as instance:
        launcher, reference = instance.run_launcher, instance.get_ref()
    if not isinstance(launcher, RedisCeleryRunLauncher):
        raise ConfigurationError(f"dagster.yaml has the run launcher {type(launcher).__name__}")
    _add_task(launcher.celery, RunProcess(reference, launcher.options.redis_url))
    _load(reference, launcher.options)
    launcher.celery.worker_main(["worker", *arguments])


def _add_task(app: Celery, process: RunProcess) -> None:
    """Have `app` execute runs in `process`: each of its forks connects by itself."""

    @app.task(bind=True, name=TASK_EXECUTE_JOB_NAME)
    def execute_job(task: Any, execute_job_args_packed: Any) -> None:
        run_id = unpack_value(execute_job_args_packed, as_type=ExecuteRunArgs).run_id
        process.execute(run_id, task.request.hostname)

    signals.worker_process_init.connect(process.begin, weak=False)
    signals.worker_process_shutdown.connect(process.end, weak=False)


def _load(reference: InstanceRef, options: CeleryOptions) -> None:
    load_instance_classes(reference)
    call_targets(options.preload)
    if threads := remaining_threads():
        logger.warning("loading the code left threads running, which a fork loses: {}", threads)
    gc.collect()
    gc.freeze()  # keeps the collector from writing to, and so copying, pages shared with the processes
