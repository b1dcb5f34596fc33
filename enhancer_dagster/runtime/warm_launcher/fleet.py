"""All templates and workers: which there are, which are idle, when they are made and replaced."""

from collections.abc import Callable
from dataclasses import dataclass

from dagster._core.instance import InstanceRef
from loguru import logger

from enhancer_dagster.runtime.warm_launcher.background import Background
from enhancer_dagster.runtime.warm_launcher.children import Children
from enhancer_dagster.runtime.warm_launcher.options import LauncherOptions
from enhancer_dagster.runtime.warm_launcher.orders import Code, Done
from enhancer_dagster.runtime.warm_launcher.templates import Template
from enhancer_dagster.runtime.warm_launcher.workers import PlainWorker, WarmWorker, Worker

SPARE_WORKERS = 1
"""Idle workers kept ready beyond what is asked for, as far as there are slots."""

MAX_FAILED_FORKS = 3
"""Workers of a template that may end in a row before they are ready."""


@dataclass(frozen=True)
class FleetEvents:
    """Whom the fleet tells what.

    Attributes:
        changed: A worker, a slot or a template may be had now.
        done: A worker's run is over.
        ended: A worker's process is over, and how.
    """

    changed: Callable[[], None]
    done: Callable[[Worker, Done], None]
    ended: Callable[[Worker, str], None]


class Fleet:
    """Workers for every code location, never more than `options.workers` at once."""

    def __init__(
        self, options: LauncherOptions, instance_ref: InstanceRef, children: Children, events: FleetEvents
    ) -> None:
        self._options = options
        self._instance_ref = instance_ref
        self._children = children
        self._events = events
        self._background = Background()
        self._templates: dict[str, Template] = {}
        self._workers: set[Worker] = set()
        self._idle: list[WarmWorker] = []
        self._failed_forks = 0
        self._closed = False

    def refresh(self, code: Code) -> None:
        """Make sure that there is a template of the code as it is now, or on its way."""
        current = self._templates.get(code.key)
        if current is not None and not current.is_outdated(code):
            return
        if current is not None:
            logger.info("run launcher: {} has changed, it is loaded again", code.location)
            self._retire_template(current)
        template = self._templates[code.key] = Template(code, current)
        self._background.run(self._tend_template(template))

    def problem(self, code: Code) -> str | None:
        """Why there are no warm workers for this code; None if there are, or may be had."""
        template = self._templates.get(code.key)
        return template.error if template and self.has_loaded(code) else "it is still loading"

    def has_loaded(self, code: Code) -> bool:
        """Whether the template of this code is ready, or has failed."""
        template = self._templates.get(code.key)
        return template is not None and (template.ready or template.error is not None)

    def take(self, code: Code) -> Worker | None:
        """A worker for a run of this code; None if one cannot be had now."""
        if self._closed:
            return None
        template = self._templates.get(code.key)
        if template is None:
            self.refresh(code)
            return None
        if template.error is not None:
            return self._plain_worker(code, template.error)
        for worker in reversed(self._idle):
            if worker.key == code.key:
                self._idle.remove(worker)
                return worker
        return None

    def provide(self, code: Code, demand: int) -> None:
        """Fork workers until `demand` runs and a spare can be served, as far as there are slots."""
        template = self._templates.get(code.key)
        if template is None or not template.ready or self._closed:
            return
        own = [w for w in self._workers if isinstance(w, WarmWorker) and w.template is template]
        coming = sum(not worker.ready for worker in own) + sum(
            worker.template is template for worker in self._idle
        )
        for missing in range(demand + SPARE_WORKERS - coming, 0, -1):
            if not self._has_free_slot():
                if missing > SPARE_WORKERS:
                    self._retire_idle_worker_of_others(code.key)
                return
            self._fork(template)

    def start(self, worker: PlainWorker) -> None:
        """Accompany a plain process whose run has begun."""
        self._workers.add(worker)
        self._background.run(self._tend_plain_worker(worker))

    def give_back(self, worker: Worker, memory_mb: float) -> None:
        """Take a worker back after its run: idle for the next, or replaced."""
        if not isinstance(worker, WarmWorker):
            return
        reason = self._reason_to_replace(worker, memory_mb)
        if reason is None:
            self._idle.append(worker)
        else:
            logger.info("run launcher: worker {} is replaced: {}", worker.pid, reason)
            worker.retiring = True
            worker.close()

    def close(self) -> None:
        """End templates and idle workers; workers with a run end after it."""
        self._closed = True
        for template in self._templates.values():
            template.close()
        for worker in self._workers:
            worker.retiring = True
            worker.close()

    def kill(self) -> None:
        """End every worker that is left by force."""
        for worker in self._workers:
            worker.kill()

    @property
    def is_empty(self) -> bool:
        """Whether no worker is left."""
        return not self._workers

    def status(self) -> dict[str, object]:
        """What a person may want to know."""
        return {
            "templates": [template.status() for template in self._templates.values()],
            "workers": [worker.status() for worker in self._workers],
        }

    def _has_free_slot(self) -> bool:
        return len(self._workers) < self._options.workers

    def _plain_worker(self, code: Code, reason: str) -> PlainWorker | None:
        if self._has_free_slot():
            return PlainWorker(code.key, self._instance_ref, reason)
        self._retire_idle_worker_of_others(code.key)
        return None

    def _retire_idle_worker_of_others(self, key: str) -> None:
        for worker in self._idle:
            if worker.key != key:
                self._retire(worker)
                return

    def _reason_to_replace(self, worker: WarmWorker, memory_mb: float) -> str | None:
        if worker.retiring:
            return "its code has changed, or its run was ended by force"
        if worker.left_behind:
            return f"its run left threads running: {', '.join(worker.left_behind)}"
        if worker.runs >= self._options.max_runs_per_worker:
            return f"it has executed {worker.runs} runs"
        if memory_mb > self._options.max_worker_memory_mb:
            return f"it has grown to {memory_mb:.0f} MiB"
        return None

    def _fork(self, template: Template) -> None:
        try:
            worker = WarmWorker(template, template.fork())
        except OSError as error:
            logger.warning("run launcher: a template cannot fork any more: {}", error)
            return
        self._workers.add(worker)
        self._background.run(self._tend_worker(worker))

    async def _tend_template(self, template: Template) -> None:
        await template.load(self._instance_ref, self._options, self._children)
        location = template.code.location
        if template.error is not None:
            logger.warning("run launcher: {} cannot be preloaded: {}", location, template.error)
        else:
            logger.info("run launcher: {} is loaded, in {} s", location, template.load_seconds)
        self._events.changed()
        self.provide(template.code, 0)
        ending = await template.end(self._children)
        if template.error is None and self._templates.get(template.code.key) is template and not self._closed:
            logger.warning("run launcher: the template of {} {}, it is started again", location, ending)
            self._retire_template(template)
            del self._templates[template.code.key]
            self._events.changed()

    async def _tend_worker(self, worker: WarmWorker) -> None:
        how = await worker.live(
            self._children, lambda: self._note_ready(worker), lambda done: self._events.done(worker, done)
        )
        if worker.ready:
            self._failed_forks = 0
        else:
            self._failed_forks += 1
            if self._failed_forks >= MAX_FAILED_FORKS:
                worker.template.fail("its workers end before they are ready")
        self._note_end(worker, how)

    async def _tend_plain_worker(self, worker: PlainWorker) -> None:
        self._note_end(worker, await worker.live(self._children))

    def _note_ready(self, worker: WarmWorker) -> None:
        if worker.retiring:
            worker.close()
        else:
            self._idle.append(worker)
            self._events.changed()

    def _note_end(self, worker: Worker, how: str) -> None:
        self._workers.discard(worker)
        self._idle = [other for other in self._idle if other is not worker]
        self._events.ended(worker, how)

    def _retire_template(self, template: Template) -> None:
        template.close()
        for worker in self._workers:
            if isinstance(worker, WarmWorker) and worker.template is template:
                self._retire(worker)

    def _retire(self, worker: WarmWorker) -> None:
        self._idle = [other for other in self._idle if other is not worker]
        worker.retiring = True
        worker.close()
