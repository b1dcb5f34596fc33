import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.supervisor import Program, Supervisor

SLEEPER = "import time, pathlib, sys; pathlib.Path(sys.argv[1]).touch(); time.sleep(600)"
UNTIL_INTERRUPTED = """
import pathlib, sys, time
mark = pathlib.Path(sys.argv[1])
mark.touch()
try:
    time.sleep(600)
except KeyboardInterrupt:
    mark.write_text("interrupted")
"""
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEPER
WITH_CHILD = (
    f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {SLEEPER!r}, sys.argv[1]]).wait()"
)


def program(name: str, code: str, mark: Path) -> Program:
    return Program(name, (sys.executable, "-c", code, str(mark)), mark.exists, ready_seconds=30)


def programs(folder: Path) -> list[psutil.Process]:
    """What was started with a mark in `folder`, orphans included; other tests have children too."""
    return [process for process in psutil.process_iter() if _names(process, folder)]


def _names(process: psutil.Process, folder: Path) -> bool:
    try:
        return any(str(folder) in word for word in process.cmdline())
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("code", [SLEEPER, WITH_CHILD], ids=["plain", "with a child of its own"])
def test_nothing_is_left_after_stop(tmp_path: Path, code: str) -> None:
    supervisor = Supervisor(os.environ, tmp_path)
    supervisor.start(program("one", code, tmp_path / "up"))
    assert programs(tmp_path)
    supervisor.stop()
    assert not programs(tmp_path)


def test_who_ignores_the_request_is_killed(tmp_path: Path) -> None:
    supervisor = Supervisor(os.environ, tmp_path, stop_seconds=0.5)
    supervisor.start(program("stubborn", STUBBORN, tmp_path / "up"))
    supervisor.stop()
    assert not programs(tmp_path)


def test_programs_are_interrupted_although_a_script_started_the_supervisor_in_the_background(
    tmp_path: Path,
) -> None:
    mark = tmp_path / "up"
    code = (
        "import os, signal, pathlib, sys\n"
        "from enhancer_dagster.runtime.supervisor import Program, Supervisor\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"  # as a shell does for what it puts in the background
        f"mark = pathlib.Path({str(mark)!r})\n"
        f"command = (sys.executable, '-c', {UNTIL_INTERRUPTED!r}, str(mark))\n"
        "supervisor = Supervisor(os.environ, stop_seconds=20)\n"
        "supervisor.start(Program('one', command, mark.exists, stop_signal=signal.SIGINT))\n"
        "supervisor.stop()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
    assert mark.read_text() == "interrupted"


def test_what_dies_is_started_again(tmp_path: Path) -> None:
    mark = tmp_path / "up"
    supervisor = Supervisor(os.environ, tmp_path)
    supervisor.start(program("one", SLEEPER, mark))
    (first,) = programs(tmp_path)
    mark.unlink()
    first.kill()
    wait_until(lambda: (supervisor.revive(), mark.exists())[1])
    (second,) = programs(tmp_path)
    assert second.pid != first.pid
    supervisor.stop()


def test_a_program_that_ends_at_once_is_an_error_with_its_words(tmp_path: Path) -> None:
    supervisor = Supervisor(os.environ, tmp_path / "logs")
    with pytest.raises(ConfigurationError, match="no such setting"):
        supervisor.start(program("one", "raise SystemExit('no such setting')", tmp_path / "never"))
    supervisor.stop()


def test_programs_end_with_a_supervisor_that_is_killed(tmp_path: Path) -> None:
    mark = tmp_path / "up"
    code = (
        "import os, sys, pathlib, time\n"
        "from enhancer_dagster.runtime.supervisor import Program, Supervisor\n"
        f"mark = pathlib.Path({str(mark)!r})\n"
        f"program = Program('one', (sys.executable, '-c', {SLEEPER!r}, str(mark)), mark.exists)\n"
        "Supervisor(os.environ).start(program)\n"
        "time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code])
    wait_until(mark.exists)
    grandchildren = psutil.Process(parent.pid).children(recursive=True)
    parent.send_signal(signal.SIGKILL)
    parent.wait()
    gone, alive = psutil.wait_procs(grandchildren, timeout=20)
    assert gone
    assert not alive


def wait_until(condition: Callable[[], object]) -> None:
    give_up_at = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.05)
