"""What only the dispatcher knows about a run, written to the run's events."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dagster import DagsterInstance, DagsterRun
from dagster._core.instance import InstanceRef
from loguru import logger
from tenacity import RetryCallState, retry, wait_exponential

from enhancer_dagster.runtime.run_execution import end_run


def _log_failed_attempt(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.warning("run launcher: an event could not be written, trying again: {}", error)


class Reports:
    """Writes events in a thread of its own, over its own connection, one after the other.

    A storage that is down is tried again until it is back, whatever it raises: what happened to a run
    must not get lost.
    """

    def __init__(self, instance_ref: InstanceRef) -> None:
        self._instance_ref = instance_ref
        self._instance: DagsterInstance | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="reports")

    async def note(self, run_id: str, message: str) -> None:
        """Add an event that changes nothing."""
        await self._write(lambda instance, run: instance.report_engine_event(message, run), run_id)

    async def end(self, run_id: str, reason: str, *, canceled: bool = False) -> None:
        """Make an unfinished run CANCELED if somebody asked for its end, else FAILURE; give the reason."""

        def write(instance: DagsterInstance, run: DagsterRun) -> object:
            return end_run(instance, run, reason, canceled=canceled)

        await self._write(write, run_id)

    @retry(wait=wait_exponential(multiplier=0.5, max=30), before_sleep=_log_failed_attempt)
    async def _write(self, write: Callable[[DagsterInstance, DagsterRun], object], run_id: str) -> None:
        def in_thread() -> None:
            if self._instance is None:
                self._instance = DagsterInstance.from_ref(self._instance_ref)
            run = self._instance.get_run_by_id(run_id)
            if run is not None:
                write(self._instance, run)

        await asyncio.get_running_loop().run_in_executor(self._thread, in_thread)
