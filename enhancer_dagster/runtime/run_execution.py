"""Runs in a process that serves many: executed one after the other, and ended where they cannot be."""

import os
import sys
import threading

from dagster import DagsterInstance, DagsterRun
from dagster import _check as check
from dagster._core.events import EngineEventData, JobFailureData, RunFailureReason
from dagster._core.storage.dagster_run import DagsterRunStatus
from dagster._grpc.impl import core_execute_run
from dagster._utils.hosted_user_process import recon_job_from_origin
from dagster._utils.interrupts import capture_interrupts


def execute_run(instance: DagsterInstance, run_id: str, where: str) -> str | None:
    """Execute a run as `dagster api execute_run` does.

    Args:
        instance: Where the run is.
        run_id: The run.
        where: For the run's events: what executes it.

    Returns:
        None if Dagster recorded how the run ended, else what went wrong.
    """
    directory = os.getcwd()  # noqa: PTH109
    try:
        with capture_interrupts():
            run = check.not_none(instance.get_run_by_id(run_id), f"run {run_id} was deleted")
            job = recon_job_from_origin(check.not_none(run.job_code_origin))
            event = EngineEventData.in_process(os.getpid())
            instance.report_engine_event(f"Executing in {where}.", run, event)
            for _ in core_execute_run(job, run, instance, inject_env_vars=True):
                pass
    except BaseException as error:
        # The boundary between user code and worker: the caller looks whether the run's end is recorded.
        return f"{type(error).__name__}: {error}"
    finally:
        os.chdir(directory)
    return None


def end_run(instance: DagsterInstance, run: DagsterRun, reason: str, *, canceled: bool = False) -> None:
    """Make an unfinished run CANCELED if somebody asked for its end, else FAILURE; give the reason.

    Args:
        instance: Where the run is.
        run: As it is now.
        reason: For the run's events.
        canceled: Whether somebody asked, where the run's status does not say so.
    """
    if run.is_finished:
        return
    if canceled or run.status == DagsterRunStatus.CANCELING:
        instance.report_run_canceled(run, reason)
        return
    failure = JobFailureData(error=None, failure_reason=RunFailureReason.UNEXPECTED_TERMINATION)
    instance.report_run_failed(run, reason, failure)


def threads_left_behind() -> tuple[str, ...]:
    """Threads with a true attribute `ends_with_run` that have not ended: nobody can stop them but an exit."""
    return tuple(one.name for one in threading.enumerate() if getattr(one, "ends_with_run", False))


def forget_random_state() -> None:
    """Let a forked process draw other numbers than its parent and its siblings."""
    numpy = sys.modules.get("numpy.random")
    if numpy is not None:  # the standard library's generator looks after itself
        numpy.seed()
