"""What only the dispatcher knows about a run, written to the run's events; and what Dagster knows of runs."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.instance import InstanceRef
from loguru import logger
from tenacity import RetryCallState, retry, wait_exponential

from enhancer_dagster.runtime.run_execution import end_run

Answer = TypeVar("Answer")


def _log_failed_attempt(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    logger.warning("run launcher: Dagster's storage does not answer, trying again: {}", error)


class Reports:
    """Writes and reads in a thread of its own, over its own connection, one after the other.

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

    async def starting(self) -> frozenset[str]:
        """The runs of which Dagster says that they are being launched."""

        def read(instance: DagsterInstance) -> frozenset[str]:
            return frozenset(instance.get_run_ids(RunsFilter(statuses=[DagsterRunStatus.STARTING])))

        return await self._in_thread(read)

    async def _write(self, write: Callable[[DagsterInstance, DagsterRun], object], run_id: str) -> None:
        def write_if_known(instance: DagsterInstance) -> None:
            run = instance.get_run_by_id(run_id)
            if run is not None:
                write(instance, run)

        await self._in_thread(write_if_known)

    @retry(wait=wait_exponential(multiplier=0.5, max=30), before_sleep=_log_failed_attempt)
    async def _in_thread(self, use: Callable[[DagsterInstance], Answer]) -> Answer:
        def with_instance() -> Answer:
            if self._instance is None:
                self._instance = DagsterInstance.from_ref(self._instance_ref)
            return use(self._instance)

        return await asyncio.get_running_loop().run_in_executor(self._thread, with_instance)
