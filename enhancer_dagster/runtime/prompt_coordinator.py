"""A run coordinator that queues only those runs that have to wait.

Dagster's queue is looked at once a second at best, so every run waits there for half a second on average
and for a whole one at worst, also where nothing else is going on. Here a run that is submitted while nothing
is queued and the limits leave room is launched at once, by whoever submits it; all others go the stock way.
In `dagster.yaml`::

    run_coordinator:
      module: enhancer_dagster.runtime.prompt_coordinator
      class: PromptRunCoordinator
      config:  # that of dagster's QueuedRunCoordinator
        dequeue_interval_seconds: 1

The limits are those of Dagster's queue: `max_concurrent_runs` and `tag_concurrency_limits`. Processes that
submit at the same moment do not see each other's runs, so that a limit may be exceeded by one run for each of
them. Pools are counted by the daemon alone: runs with ops in pools are always queued.
"""

import threading

from dagster import DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.run_coordinator import SubmitRunContext
from dagster._core.run_coordinator.queued_run_coordinator import QueuedRunCoordinator
from dagster._core.storage.dagster_run import ACTIVE_RUN_STATUSES
from dagster._serdes import ConfigurableClassData
from dagster._utils.tags import TagConcurrencyLimitsCounter


class PromptRunCoordinator(QueuedRunCoordinator):
    """`QueuedRunCoordinator` that launches at once what need not wait. Threads may share it."""

    def __init__(self, inst_data: ConfigurableClassData | None = None, **settings: object) -> None:
        super().__init__(inst_data=inst_data, **settings)  # type: ignore[arg-type]
        # Held until the run counts, so that threads do not take the same room.
        self._deciding = threading.Lock()

    def submit_run(self, context: SubmitRunContext) -> DagsterRun:
        """Launch a run, or queue it.

        Raises:
            Exception: Whatever the launcher raises; the run is marked as failed.
        """
        run = context.dagster_run
        with self._deciding:
            if run.status is DagsterRunStatus.NOT_STARTED and self._has_room_for(run):
                return self._instance.launch_run(run.run_id, context.workspace)
        return super().submit_run(context)

    def _has_room_for(self, run: DagsterRun) -> bool:
        limits = self._instance.get_concurrency_config().run_queue_config
        if limits is None or run.run_op_concurrency is not None or self._is_anything_queued():
            return False
        active = self._instance.get_runs(RunsFilter(statuses=ACTIVE_RUN_STATUSES))
        if 0 <= limits.max_concurrent_runs <= len(active):
            return False
        return not TagConcurrencyLimitsCounter(limits.tag_concurrency_limits, active).is_blocked(run)

    def _is_anything_queued(self) -> bool:
        return bool(self._instance.get_run_ids(RunsFilter(statuses=[DagsterRunStatus.QUEUED]), limit=1))
