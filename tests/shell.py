"""The `enhancer` command in a process of its own, on a live system."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from enhancer_dagster.runtime.installation import environment_of
from tests.live import LiveSystem

ENHANCER = Path(sys.executable).parent / "enhancer"


def enhancer(live: LiveSystem, *arguments: str, status: int = 0, **environment: str) -> str:
    """What the command prints, given that it ends with `status`."""
    return _run(live, arguments, status, environment).stdout


def refused(live: LiveSystem, *arguments: str, status: int = 1, **environment: str) -> str:
    """What the command says on stderr when it refuses, in words."""
    said = _run(live, arguments, status, environment).stderr
    assert "Traceback" not in said
    return said


def _run(
    live: LiveSystem, arguments: Sequence[str], status: int, environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [ENHANCER, *arguments],
        env=environment_of(live.settings) | {"COLUMNS": "200"} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done
