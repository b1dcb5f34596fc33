"""Three minutes of kills on the real system: nothing is lost, and nothing is done twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def test_three_minutes_of_chaos_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    log = tmp_path / "chaos.log"
    with log.open("wb") as stderr:
        done = subprocess.run(
            [sys.executable, "-m", "bench", "chaos", "--minutes", "3", "--tickets", "120", "--json"],
            cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=stderr, timeout=1500, check=False,
        )  # fmt: skip
    assert done.stdout, log.read_text()[-5000:]
    report = json.loads(done.stdout)
    assert report["problems"] == []
    assert (report["lost"], report["doubled"]) == (0, 0)
    assert sum(report["kills"].values()) >= 20, "it was killed in earnest"
    assert report["completed"] > 0
