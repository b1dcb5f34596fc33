"""A process of a Celery worker: executes one run at a time, many over its life."""

import os
import signal
import time

from dagster import DagsterInstance
from dagster import _check as check
from dagster._core.instance import InstanceRef
from loguru import logger

from enhancer_dagster.runtime.celery_launcher.claims import SILENCE_SECONDS, RunClaims
from enhancer_dagster.runtime.run_execution import (
    end_run,
    execute_run,
    forget_random_state,
    threads_left_behind,
)
from enhancer_dagster.runtime.warm_launcher.linux import die_with_parent

NO_RUN = "00000000-0000-0000-0000-000000000000"
LOOK_AGAIN_SECONDS = 1.0


class RunProcess:
    """What a worker's process keeps from one run to the next.

    Args:
        instance_ref: The instance that the runs are in.
        redis_url: Where runs are claimed.
    """

    def __init__(self, instance_ref: InstanceRef, redis_url: str) -> None:
        self._instance_ref = instance_ref
        self._redis_url = redis_url
        self._instance: DagsterInstance | None = None
        self._claims: RunClaims | None = None
        self._runs = 0

    def begin(self, **_: object) -> None:
        """Connect, after the fork; a receiver of Celery's signal `worker_process_init`."""
        die_with_parent(os.getppid())
        # Who is told to end while it executes no run has nothing to end.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        forget_random_state()
        self._claims = RunClaims(self._redis_url)
        self._instance = DagsterInstance.from_ref(self._instance_ref)
        self._instance.get_run_by_id(NO_RUN)  # the first run shall not pay for connecting

    def end(self, **_: object) -> None:
        """Disconnect; a receiver of `worker_process_shutdown`."""
        if self._instance is not None:
            self._instance.dispose()

    def execute(self, run_id: str, worker: str) -> None:
        """Execute a run, unless it is another one's affair.

        Args:
            run_id: The run.
            worker: This worker's name.

        Raises:
            redis.RedisError: The run cannot be claimed; its task is delivered again.
        """
        instance, claims = check.not_none(self._instance), check.not_none(self._claims)
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return
        if not claims.claim(run_id, worker):
            _look_after(instance, claims, run_id)
            return
        self._runs += 1
        with claims.alive(run_id):
            where = f"Celery worker {worker} (pid: {os.getpid()}), its process's run number {self._runs}"
            error = execute_run(instance, run_id, where)
            if error is not None:
                _end(instance, run_id, f"The run ended in its worker: {error}")
        if left := threads_left_behind():
            logger.warning(
                "run {} left threads behind ({}): its process is replaced", run_id, ", ".join(left)
            )
            os.kill(os.getpid(), signal.SIGKILL)


def _look_after(instance: DagsterInstance, claims: RunClaims, run_id: str) -> None:
    """End a run whose task came a second time because the worker that claimed it is lost."""
    give_up_at = time.monotonic() + SILENCE_SECONDS
    while not claims.is_alive(run_id):
        if time.monotonic() > give_up_at:
            reason = f"Its worker, {claims.claimant(run_id)}, gives no sign of life."
            _end(instance, run_id, reason)
            return
        time.sleep(LOOK_AGAIN_SECONDS)


def _end(instance: DagsterInstance, run_id: str, reason: str) -> None:
    run = instance.get_run_by_id(run_id)
    if run is not None:
        end_run(instance, run, reason)
