"""The life of a run between its launch and its end: waiting, executing, ended, reported."""

import asyncio
import time
from collections.abc import Callable

from dagster._core.instance import InstanceRef
from loguru import logger

from enhancer_dagster.runtime.warm_launcher.background import Background
from enhancer_dagster.runtime.warm_launcher.children import Children
from enhancer_dagster.runtime.warm_launcher.fleet import Fleet, FleetEvents
from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.runtime.warm_launcher.linux import kill_group
from enhancer_dagster.runtime.warm_launcher.options import LauncherOptions
from enhancer_dagster.runtime.warm_launcher.orders import Code, Done, Record, RunOrder
from enhancer_dagster.runtime.warm_launcher.reports import Reports
from enhancer_dagster.runtime.warm_launcher.waiting import WaitingRuns
from enhancer_dagster.runtime.warm_launcher.workers import PlainWorker, Worker

REPORT_SECONDS = 10.0
"""How long a stopping dispatcher tries to write what became of its runs; the next one tries again."""

HANDOVER_SECONDS = 10.0
"""A run that is being launched and has not come here for so long is not coming any more."""

NEVER_CAME = "The process that was launching the run ended before it could hand it over to the run launcher."
CANCELED_BEFORE_START = "Canceled while it waited for a worker."
INTERRUPTED_BY_STOP = "The run launcher is being stopped, and the run is interrupted with it."
LOST = "The run launcher's dispatcher ended unexpectedly, and the run's worker (process {}) with it."


class Dispatcher:
    """Gives runs to workers, ends them on request or at their limit, and reports what became of them.

    Everything happens on one event loop; only reports are written in a thread.

    Args:
        on_idle: Called whenever the last run in its care is gone.
    """

    def __init__(
        self,
        options: LauncherOptions,
        folder: LauncherFolder,
        instance_ref: InstanceRef,
        on_idle: Callable[[], None],
    ) -> None:
        self._options = options
        self._folder = folder
        self._on_idle = on_idle
        self._reports = Reports(instance_ref)
        self._background = Background()
        self._waiting = WaitingRuns()
        self._running: dict[str, Worker] = {}
        self._reporting: set[str] = set()
        self._stopping = False
        events = FleetEvents(changed=self._dispatch, done=self._note_done, ended=self._note_end)
        self._fleet = Fleet(options, instance_ref, Children(), events)

    def recover(self) -> None:
        """Care for the runs of a predecessor that ended unexpectedly: those that waited still wait."""
        for record in self._folder.read_all():
            if record.worker is None:
                self._waiting.add(record.order)
            else:
                kill_group(record.worker)
                self._report_end(record.order.run_id, LOST.format(record.worker.split(":")[1]))
        self._dispatch()
        self._background.run(self._end_lost_launches())

    def launch(self, order: RunOrder) -> None:
        """Take a run into care; when this returns it survives the end of this process."""
        if self.knows(order.run_id):
            return
        self._folder.write(Record(order=order))
        self._fleet.refresh(order.code)
        self._waiting.add(order)
        self._dispatch()

    def terminate(self, run_id: str) -> bool:
        """Have a run end as CANCELED; whether it is in this dispatcher's care."""
        order = self._waiting.remove(run_id)
        if order is not None:
            self._report_end(order.run_id, CANCELED_BEFORE_START, canceled=True)
        elif (worker := self._running.get(run_id)) is not None:
            self._interrupt(worker)
        return self.knows(run_id)

    def knows(self, run_id: str) -> bool:
        """Whether the run is in this dispatcher's care: waiting, executing, or being reported."""
        return run_id in self._running or run_id in self._reporting or run_id in self._waiting

    @property
    def is_idle(self) -> bool:
        """Whether no run is in its care."""
        return not (self._running or self._reporting or self._waiting)

    async def warm(self, code: Code) -> str | None:
        """Load a code before its first run; None when workers are to be had, else why not."""
        self._fleet.refresh(code)
        await _wait_until(lambda: self._fleet.has_loaded(code), self._options.preload_timeout_seconds)
        return self._fleet.problem(code)

    def status(self) -> dict[str, object]:
        """What a person may want to know."""
        return {"waiting": len(self._waiting), "running": len(self._running), **self._fleet.status()}

    async def stop(self) -> None:
        """Interrupt the runs, by force after the grace period, and end every worker and template."""
        self._stopping = True
        for run_id, worker in list(self._running.items()):
            self._background.run(self._reports.note(run_id, INTERRUPTED_BY_STOP))
            self._interrupt(worker)
        self._fleet.close()
        if not await _wait_until(lambda: self._fleet.is_empty, self._options.terminate_grace_seconds + 1):
            self._fleet.kill()
            await _wait_until(lambda: self._fleet.is_empty, 1)
        await _wait_until(lambda: not self._reporting, REPORT_SECONDS)

    async def _end_lost_launches(self) -> None:
        """Report runs that nobody hands over: Dagster calls a run STARTING before its launcher has it."""
        awaited: set[str] = set()
        while True:
            await asyncio.sleep(HANDOVER_SECONDS)
            unknown = {run_id for run_id in await self._reports.starting() if not self.knows(run_id)}
            for run_id in unknown & awaited:
                self._report_end(run_id, NEVER_CAME)
            awaited = unknown

    def _dispatch(self) -> None:
        if self._stopping:
            return
        for code in self._waiting.codes():
            while self._waiting.count(code) and (worker := self._fleet.take(code)) is not None:
                self._begin(self._waiting.pop(code), worker)
            self._fleet.provide(code, self._waiting.count(code))

    def _begin(self, order: RunOrder, worker: Worker) -> None:
        if isinstance(worker, PlainWorker):
            message = f"In a fresh process, for the code cannot be preloaded: {worker.reason}"
            self._background.run(self._reports.note(order.run_id, message))
        try:
            worker.begin(order)
        except OSError as error:
            self._report_end(order.run_id, f"The run's process could not be started: {error}")
            return
        self._running[order.run_id] = worker
        self._folder.write(Record(order=order, worker=worker.identity))
        if isinstance(worker, PlainWorker):
            self._fleet.start(worker)
        limit = order.max_runtime_seconds or self._options.max_runtime_seconds
        if limit:
            worker.later(limit, lambda: self._exceed(worker, limit))

    def _interrupt(self, worker: Worker) -> None:
        worker.interrupt()
        # Cancelled with the run's end, and the worker gets no other: it cannot hit the wrong run.
        worker.later(self._options.terminate_grace_seconds, worker.kill)

    def _exceed(self, worker: Worker, limit: float) -> None:
        worker.verdict = (
            f"The run exceeded its maximum runtime of {limit:g} seconds: its worker (process {worker.pid}) "
            "was killed."
        )
        worker.kill()

    def _note_done(self, worker: Worker, done: Done) -> None:
        order = worker.finish()
        if order is None:
            return
        self._running.pop(order.run_id, None)
        worker.retiring = worker.retiring or done.error is not None
        worker.left_behind = done.left_behind
        self._fleet.give_back(worker, done.memory_mb)
        if done.error is None:
            self._forget(order.run_id)
        else:
            self._report_end(order.run_id, f"The run's worker could not go on: {done.error}")
        self._dispatch()

    def _note_end(self, worker: Worker, how: str) -> None:
        order = worker.finish()
        if order is not None:
            self._running.pop(order.run_id, None)
            self._report_end(order.run_id, how)
        self._dispatch()

    def _report_end(self, run_id: str, reason: str, *, canceled: bool = False) -> None:
        self._reporting.add(run_id)
        self._background.run(self._report(run_id, reason, canceled))

    async def _report(self, run_id: str, reason: str, canceled: bool) -> None:
        logger.bind(run_id=run_id).info("run launcher: {}", reason)
        await self._reports.end(run_id, reason, canceled=canceled)
        self._reporting.discard(run_id)
        self._forget(run_id)

    def _forget(self, run_id: str) -> None:
        self._folder.remove(run_id)
        if self.is_idle:
            self._on_idle()


async def _wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while not condition() and time.monotonic() < give_up_at:
        await asyncio.sleep(0.02)
    return condition()
