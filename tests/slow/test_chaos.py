"""Kills on the real system: nothing is lost or done twice, and a system without its fence is found out."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.chaos.command import hold_up
from enhancer_dagster.runtime.system import REPOSITORY

pytestmark = [pytest.mark.slow, pytest.mark.timeout(2400)]


def chaos(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    """How `python -m bench chaos` ends and what it prints, with all of its files in `folder`."""
    log = folder / "chaos.log"
    with log.open("wb") as stderr:
        done = subprocess.run(
            [sys.executable, "-m", "bench", "chaos", "--json", *options],
            cwd=REPOSITORY, env=os.environ | {"TMPDIR": str(folder)}, stdout=subprocess.PIPE,
            stderr=stderr, timeout=2000, check=False,
        )  # fmt: skip
    assert done.stdout, log.read_text()[-5000:]
    return done.returncode, json.loads(done.stdout)


def processes_of(folder: Path) -> Iterator[str]:
    """The command lines of those that were started in `folder`, or for it."""
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            words = [*process.cmdline(), *process.environ().values()]
            if any(str(folder) in word for word in words):
                yield " ".join(process.cmdline())


@pytest.fixture
def folder(open_folder: Path) -> Path:
    """A folder for one test that PostgreSQL's user may pass through, its name short enough for sockets."""
    own = Path(tempfile.mkdtemp(prefix="", dir=open_folder))
    own.chmod(0o711)
    return own


def test_three_minutes_of_chaos_lose_nothing_and_double_nothing(folder: Path) -> None:
    status, report = chaos(folder, "--minutes", "3", "--tickets", "120", "--kills", "1")
    assert report["problems"] == []
    assert (report["lost"], report["doubled"], status) == (0, 0, 0)
    assert report["completed"] > report["tickets"] / 2
    assert [boundary for boundary, kills in report["kills"].items() if not kills] == []
    assert list(processes_of(folder)) == []


def test_a_run_that_outlives_its_lease_stops_at_the_fence() -> None:
    result = hold_up(without_fence=False)
    assert result.verdict.problems == ()
    assert result.verdict.states == {"completed": 1}


def test_a_system_without_its_fence_is_found_out(folder: Path) -> None:
    status, report = chaos(folder, "--without-fence")
    assert (report["doubled"], report["tickets"], status) == (1, 1, 1)
    assert "written 2 times" in report["problems"][0]
    assert list(processes_of(folder)) == []
