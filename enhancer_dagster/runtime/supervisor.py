"""Starts the processes of a system, starts again what died, and stops all of them."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from loguru import logger

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.processes import end_with_parent

OWNER_ONLY = 0o077
"""The umask of all programs: indexes and logs hold what is in tickets."""
STOP_SECONDS = 15.0
LONGEST_PAUSE = 30.0
STEADY_SECONDS = 60.0
"""Who ran for so long is started again at once after dying."""


@dataclass(frozen=True)
class Program:
    """One process of the system.

    Attributes:
        name: For messages and the log file.
        command: Program and arguments.
        ready: Whether it can be used now.
        ready_seconds: How long that may take.
        stop_signal: What it takes as "end in good order".
    """

    name: str
    command: Sequence[str]
    ready: Callable[[], bool]
    ready_seconds: float = 120.0
    stop_signal: signal.Signals = signal.SIGTERM


@dataclass
class _Child:
    program: Program
    process: subprocess.Popen[bytes]
    started_at: float = field(default_factory=time.monotonic)
    pause: float = 0.0


class Supervisor:
    """Runs programs side by side, each in a session of its own, all ending with this process.

    Args:
        environment: What they get as theirs.
        log_folder: Where each one's stderr and stdout go, as NAME.log; None leaves them to this process's.
        stop_seconds: How long programs may take to end in good order.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        log_folder: Path | None = None,
        *,
        stop_seconds: float = STOP_SECONDS,
    ) -> None:
        self._environment = dict(environment)
        self._log_folder = log_folder
        self._stop_seconds = stop_seconds
        self._children: dict[str, _Child] = {}

    def start(self, *programs: Program) -> None:
        """Start `programs` together and wait until all can be used.

        Raises:
            ConfigurationError: One ended or was not ready in time; the message ends with its log.
        """
        for program in programs:
            self._children[program.name] = _Child(program, self._spawn(program))
        for program in programs:
            self._wait_until_ready(program)

    def run_once(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end in the programs' environment."""
        return subprocess.run(command, env=self._environment, capture_output=True, text=True, check=False)

    def revive(self) -> None:
        """Start again whatever has ended, after a pause that grows while it keeps ending."""
        for child in self._children.values():
            if child.process.poll() is None:
                continue
            lived = time.monotonic() - child.started_at
            if lived < child.pause:
                continue
            child.pause = 0.0 if lived > STEADY_SECONDS else min(LONGEST_PAUSE, max(1.0, child.pause * 2))
            logger.warning(
                "{} ended with {}, it is started again", child.program.name, child.process.returncode
            )
            _kill_group(child.process)
            child.process, child.started_at = self._spawn(child.program), time.monotonic()

    def stop(self) -> None:
        """Ask all to end, then end by force who does not, descendants included.

        They are asked together: a sensor that waits at the bridge is let go by the bridge's own end.
        """
        families = {name: _descendants(child.process.pid) for name, child in self._children.items()}
        for child in self._children.values():
            if child.process.poll() is None:
                child.process.send_signal(child.program.stop_signal)
        give_up_at = time.monotonic() + self._stop_seconds
        for name, child in self._children.items():
            _end(child, families[name], give_up_at)
        self._children.clear()

    def _spawn(self, program: Program) -> subprocess.Popen[bytes]:
        log = self._open_log(program)
        # How PostgreSQL's views and its log call the connections of this program.
        environment = self._environment | {"PGAPPNAME": f"enhancer-{program.name}"}
        try:
            return subprocess.Popen(
                list(program.command), env=environment, stdin=subprocess.DEVNULL, stdout=log,
                stderr=log, start_new_session=True, preexec_fn=end_with_parent(program.stop_signal),
                umask=OWNER_ONLY,
            )  # fmt: skip
        finally:
            if log is not None:
                os.close(log)

    def _open_log(self, program: Program) -> int | None:
        if self._log_folder is None:
            return None
        self._log_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return os.open(
            self._log_folder / f"{program.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )

    def _wait_until_ready(self, program: Program) -> None:
        child = self._children[program.name]
        give_up_at = time.monotonic() + program.ready_seconds
        while not program.ready():
            if child.process.poll() is not None:
                raise ConfigurationError(f"{program.name} ended at once{self._log_end(program)}")
            if time.monotonic() > give_up_at:
                raise ConfigurationError(
                    f"{program.name} was not ready after {program.ready_seconds:g} s{self._log_end(program)}"
                )
            time.sleep(0.05)

    def _log_end(self, program: Program) -> str:
        if self._log_folder is None:
            return ""
        path = self._log_folder / f"{program.name}.log"
        return f"; {path} ends with:\n{path.read_text(errors='replace')[-2000:]}"


def _end(child: _Child, descendants: Sequence[psutil.Process], give_up_at: float) -> None:
    try:
        child.process.wait(max(0.1, give_up_at - time.monotonic()))
    except subprocess.TimeoutExpired:
        logger.warning("{} does not end, it is killed", child.program.name)
    _kill_group(child.process)
    child.process.wait()
    for process in descendants:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(descendants, timeout=5)


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _kill_group(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
