"""Workers as the dispatcher sees them."""

import asyncio
import os
import signal
import socket
import subprocess
from collections.abc import Callable
from contextlib import suppress

from dagster import _check as check
from dagster._core.instance import InstanceRef
from dagster._core.origin import RepositoryPythonOrigin
from dagster._grpc.types import ExecuteRunArgs
from dagster._serdes import deserialize_value, serialize_value

from enhancer_dagster.runtime.processes import end_with_parent
from enhancer_dagster.runtime.warm_launcher.children import Children
from enhancer_dagster.runtime.warm_launcher.linux import describe_exit, identity, kill_group, memory_mb
from enhancer_dagster.runtime.warm_launcher.orders import Done, Hello, RunOrder
from enhancer_dagster.runtime.warm_launcher.templates import Template


class Worker:
    """A process that executes runs for a code location.

    Attributes:
        order: The run that it executes; None while it is idle.
        retiring: Whether it gets no further run.
        verdict: Why its present run was killed, where that is known before the process ends.
        left_behind: Threads of its last run that still go on.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        self.pid = 0
        self.identity: str | None = None
        self.order: RunOrder | None = None
        self.retiring = False
        self.verdict: str | None = None
        self.left_behind: tuple[str, ...] = ()
        self.runs = 0
        self.timers: list[asyncio.TimerHandle] = []

    def begin(self, order: RunOrder) -> None:
        """Have it execute a run."""
        self.order = order
        self.runs += 1

    def finish(self) -> RunOrder | None:
        """Note that its run is over, and return that run."""
        order, self.order, self.verdict = self.order, None, None
        for timer in self.timers:
            timer.cancel()
        self.timers.clear()
        return order

    def later(self, seconds: float, action: Callable[[], None]) -> None:
        """Call `action` after `seconds`, unless the present run is over by then."""
        self.timers.append(asyncio.get_running_loop().call_later(seconds, action))

    def interrupt(self) -> None:
        """Ask its run to end; it is not used again, for the signal may come after the run."""
        self.retiring = True
        self._send(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything that its run has started."""
        self.retiring = True
        if self.identity is not None:
            kill_group(self.identity)
        self._send(signal.SIGKILL)

    def close(self) -> None:
        """Have it end if it is idle."""

    def status(self) -> dict[str, object]:
        """What a person may want to know."""
        run_id = self.order.run_id if self.order else None
        return {"pid": self.pid, "run_id": run_id, "runs": self.runs, "memory_mb": memory_mb(self.pid)}

    def _send(self, signal_number: signal.Signals) -> None:
        # Until the dispatcher reaps it, the number cannot belong to another process.
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal_number)

    def _note_end(self, code: int) -> str:
        pid, self.pid = self.pid, 0
        if self.identity is not None:
            kill_group(self.identity)
        return self.verdict or f"The run's worker (process {pid}) {describe_exit(code)}."


class WarmWorker(Worker):
    """A worker forked from a template.

    Args:
        template: Its template.
        channel: Its channel, as `Template.fork` returned it.
    """

    def __init__(self, template: Template, channel: socket.socket) -> None:
        super().__init__(template.code.key)
        self.template = template
        self._socket = channel
        self._writer: asyncio.StreamWriter | None = None

    @property
    def ready(self) -> bool:
        """Whether it can be given runs."""
        return self._writer is not None

    async def live(
        self, children: Children, on_ready: Callable[[], None], on_done: Callable[[Done], None]
    ) -> str:
        """Accompany the process from its first message to its end; how it ended."""
        reader, writer = await asyncio.open_unix_connection(sock=self._socket)
        try:
            first = await reader.readline()
            if not first:
                return "It ended before it was ready."
            self.pid = Hello.model_validate_json(first).pid
            self.identity = identity(self.pid)
            self._writer = writer
            on_ready()
            listening = asyncio.ensure_future(self._listen(reader, on_done))
            code = await children.end_of(self.pid)
            listening.cancel()
            return self._note_end(code)
        finally:
            writer.close()

    def begin(self, order: RunOrder) -> None:
        """Have it execute a run."""
        super().begin(order)
        check.not_none(self._writer).write(f"{order.run_id}\n".encode())

    def close(self) -> None:
        """Have it end if it is idle."""
        if self._writer is not None and self.order is None:
            self._writer.close()

    async def _listen(self, reader: asyncio.StreamReader, on_done: Callable[[Done], None]) -> None:
        async for line in reader:
            on_done(Done.model_validate_json(line))


class PlainWorker(Worker):
    """A fresh interpreter for one run, as Dagster's own launchers start it.

    Args:
        key: Of the code.
        instance_ref: The instance that the run is in.
        reason: Why the run gets no warm worker.
    """

    def __init__(self, key: str, instance_ref: InstanceRef, reason: str) -> None:
        super().__init__(key)
        self.reason = reason
        self._instance_ref = instance_ref
        self._process: subprocess.Popen[bytes] | None = None
        self.retiring = True

    def begin(self, order: RunOrder) -> None:
        """Start the process.

        Raises:
            OSError: The location's interpreter cannot be started.
        """
        super().begin(order)
        origin = deserialize_value(order.code.origin, RepositoryPythonOrigin)
        arguments = ExecuteRunArgs(origin.get_job_origin(""), order.run_id, self._instance_ref)
        self._process = subprocess.Popen(
            [origin.executable_path, "-m", "dagster", "api", "execute_run"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=end_with_parent(signal.SIGKILL),
            env={**os.environ, "DAGSTER_EXECUTE_RUN_ARGS": serialize_value(arguments)},
        )
        self.pid = self._process.pid
        self.identity = identity(self.pid)

    async def live(self, children: Children) -> str:
        """Wait for the end of the process; how it ended."""
        process = check.not_none(self._process)
        process.returncode = await children.end_of(process.pid)
        return self._note_end(process.returncode)
