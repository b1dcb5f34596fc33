"""The processes of a system, found from outside, and how they are killed."""

import os
import random
import signal
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from bench.chaos.boundaries import Boundary
from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.settings import Settings

COMMANDS = {
    Boundary.BRIDGE: "enhancer_dagster.bridge",
    Boundary.DAEMON: "dagster-daemon",
    Boundary.CODE_SERVER: "code-server",
    Boundary.WEBSERVER: "dagster-webserver",
}
"""What the command lines of these hold."""

NAMES = {
    Boundary.WORKER: "warm-worker",
    Boundary.TEMPLATE: "warm-template",
    Boundary.DISPATCHER: "warm-dispatcher",
}
"""What these call themselves."""


class Targets:
    """The processes of the system with these settings, whoever started them.

    Args:
        settings: Of the system.
        rng: Chooses where there are several.
    """

    def __init__(self, settings: Settings, rng: random.Random) -> None:
        self._home = str(settings.data_dir / "dagster")
        self._postmaster_file = settings.data_dir / "postgres" / "data" / "postmaster.pid"
        self._rng = rng

    def kill(self, target: Boundary) -> bool:
        """Send SIGKILL; whether there was anybody."""
        if target is Boundary.POSTGRES:
            return _kill(self._postmaster())
        if target is Boundary.ALL:
            everybody = [process.pid for process in self.processes()]
            return _kill([*self._postmaster(), *everybody])
        found = [process.pid for process in self.processes() if _is(process, target)]
        if target is Boundary.WORKER and found:
            found = [self._rng.choice(found)]
        return _kill(found)

    def kill_worker_of(self, run_id: str) -> bool:
        """Kill the worker that has this run now; whether there was one."""
        worker = self.worker_of(run_id)
        return worker is not None and _kill([worker])

    def worker_of(self, run_id: str) -> int | None:
        """The process id of the worker that has this run now."""
        record = LauncherFolder(self._home).read(run_id)
        if record is None or record.worker is None:
            return None
        return int(record.worker.split(":")[1])

    def processes(self) -> Sequence[psutil.Process]:
        """All of them but PostgreSQL's, orphans included."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            return process.environ().get("DAGSTER_HOME") == self._home
        return False

    def _postmaster(self) -> Sequence[int]:
        with suppress(FileNotFoundError, ValueError):
            return [int(Path(self._postmaster_file).read_text().split("\n", 1)[0])]
        return []


def _is(process: psutil.Process, target: Boundary) -> bool:
    with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        if target in NAMES:
            return process.name() == NAMES[target]
        return any(COMMANDS[target] in word for word in process.cmdline())
    return False


def _kill(pids: Iterable[int]) -> bool:
    killed = False
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
            killed = True
    return killed
