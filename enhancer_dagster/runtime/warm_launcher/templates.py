"""Templates as the dispatcher sees them: processes that loaded the code and fork workers from themselves."""

import asyncio
import os
import socket
import subprocess
import time
from pathlib import Path

from dagster._core.instance import InstanceRef
from dagster._core.origin import RepositoryPythonOrigin
from dagster._serdes import deserialize_value, serialize_value

from enhancer_dagster.runtime.warm_launcher.children import Children
from enhancer_dagster.runtime.warm_launcher.linux import describe_exit, memory_mb
from enhancer_dagster.runtime.warm_launcher.options import LauncherOptions
from enhancer_dagster.runtime.warm_launcher.orders import Code, Load, Loaded

PROGRAM = "enhancer_dagster.runtime.warm_launcher.template_process"

WITHOUT_THREADS = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ORT_DISABLE_TELEMETRY": "1",
}
"""A template must have no threads when it forks, and these libraries start some when they are imported: a
pool in the math libraries, the uploader of usage data in onnxruntime. The environment may say otherwise."""

RETRY_FAILED_SECONDS = 60.0
"""A template that could not load is tried again after so long, or as soon as a file changes."""

MAX_MESSAGE_BYTES = 16 * 2**20


class Template:
    """One version of a code location, loaded.

    Args:
        code: What it loads.
        predecessor: The template whose place it takes.

    Attributes:
        servers: The ids of the code server so far. Daemon and webserver learn of a reload at different times:
            an id that was known before is not a reload.
        error: Why no worker can be forked from it; None as long as it loads, and when it is ready.
        ready: Whether workers can be forked.
    """

    def __init__(self, code: Code, predecessor: "Template | None" = None) -> None:
        self.code = code
        self.servers = (predecessor.servers if predecessor else set()) | {code.server_id} - {None}
        self.error: str | None = None
        self.ready = False
        self.load_seconds: float | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._files: dict[str, int] = {}
        self._channel, self._theirs = socket.socketpair()
        self._started = self._failed_at = time.monotonic()

    async def load(self, instance_ref: InstanceRef, options: LauncherOptions, children: Children) -> None:
        """Start the process and wait until it is `ready`, or there is an `error`."""
        origin = deserialize_value(self.code.origin, RepositoryPythonOrigin)
        try:
            self.process = _spawn(origin.executable_path, self._theirs)
        except OSError as error:
            self.fail(f"{origin.executable_path} could not be started: {error}")
            return
        finally:
            self._theirs.close()
        request = Load(
            origin=self.code.origin, instance=serialize_value(instance_ref), preload=options.preload
        )
        try:
            async with asyncio.timeout(options.preload_timeout_seconds):
                loaded = await self._exchange(request)
        except TimeoutError:
            self.process.kill()
            self.fail(f"loading took longer than {options.preload_timeout_seconds} s")
            return
        self.load_seconds = round(time.monotonic() - self._started, 2)
        if loaded is None:
            self.fail(f"the process that loaded it {await self.end(children)}")
            return
        self._files = loaded.files
        if loaded.error is not None:
            self.fail(loaded.error)
        self.ready = loaded.error is None

    def fail(self, reason: str) -> None:
        """Note that no workers can be forked from it, for now."""
        self.error = reason
        self.ready = False
        self._failed_at = time.monotonic()

    async def end(self, children: Children) -> str:
        """Wait for the end of the process, and say how it ended."""
        if self.process is None:
            return "never started"
        if self.process.returncode is None:
            self.process.returncode = await children.end_of(self.process.pid)
        self.ready = False
        self.close()
        return describe_exit(self.process.returncode)

    def fork(self) -> socket.socket:
        """Have it fork a worker; the worker's channel.

        Raises:
            OSError: It has just ended.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            socket.send_fds(self._channel, [b"f"], [theirs.fileno()])
        return ours

    def is_outdated(self, code: Code) -> bool:
        """Whether files that it loaded have changed, or the code server was reloaded since."""
        if code.server_id and code.server_id not in self.servers:
            self.servers.add(code.server_id)
            if len(self.servers) > 1:
                return True
        if self.error and time.monotonic() - self._failed_at > RETRY_FAILED_SECONDS:
            return True
        return any(modification_time(path) != known for path, known in self._files.items())

    def close(self) -> None:
        """Have the process end; its workers go on."""
        self._channel.close()

    def status(self) -> dict[str, object]:
        """What a person may want to know."""
        return {
            "location": self.code.location,
            "pid": self.process.pid if self.process else None,
            "ready": self.ready,
            "error": self.error,
            "load_seconds": self.load_seconds,
            "watched_files": len(self._files),
            "memory_mb": memory_mb(self.process.pid) if self.process else None,
        }

    async def _exchange(self, request: Load) -> Loaded | None:
        reader, writer = await asyncio.open_unix_connection(sock=self._channel.dup(), limit=MAX_MESSAGE_BYTES)
        try:
            writer.write(request.model_dump_json().encode() + b"\n")
            line = await reader.readline()
        finally:
            writer.close()
        return Loaded.model_validate_json(line) if line.endswith(b"\n") else None


def modification_time(path: str) -> int:
    """In nanoseconds; 0 if there is no such file."""
    try:
        return Path(path).stat().st_mtime_ns
    except OSError:
        return 0


def _spawn(executable: str, channel: socket.socket) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [executable, "-m", PROGRAM, str(channel.fileno()), str(os.getpid())],
        stdin=subprocess.DEVNULL,
        pass_fds=[channel.fileno()],
        start_new_session=True,
        env=WITHOUT_THREADS | os.environ,
    )
