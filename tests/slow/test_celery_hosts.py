"""Celery workers on hosts that are cut off and killed: nothing is lost or doubled, and every run ends."""

import json
import shutil
import subprocess
import sys
from typing import Any

import pytest

from bench.hosts.network import why_no_network
from bench.hosts.system import WORKERS
from enhancer_dagster.runtime.system import REPOSITORY
from tests.conftest import require

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

TICKETS = 200
LOST_HOST_SECONDS = 45
P95_SECONDS = 1.5


@pytest.fixture(scope="module")
def report() -> dict[str, Any]:
    for program in ("redis-server", "nginx", "setpriv"):
        require(shutil.which(program) is not None, f"{program} is not installed")
    reason = why_no_network()
    require(reason is None, str(reason))
    done = subprocess.run(
        [
            sys.executable, "-m", "bench", "hosts", "--json",
            "--tickets", str(TICKETS), "--spaced", "10", "--burst", "0",
        ],
        cwd=REPOSITORY, capture_output=True, text=True, timeout=800, check=False,
    )  # fmt: skip
    assert done.stdout, done.stderr[-5000:]
    return json.loads(done.stdout)


def test_nothing_is_lost_and_nothing_doubled(report: dict[str, Any]) -> None:
    faults = report["faults"]
    assert faults["problems"] == []
    assert (faults["tickets"], faults["completed"]) == (TICKETS, TICKETS)
    assert faults["runs_executed_twice"] == 0


def test_every_run_has_an_end_and_those_of_the_lost_host_soon(report: dict[str, Any]) -> None:
    faults = report["faults"]
    assert faults["runs_without_end"] == 0
    assert faults["killed_host"]["runs"] > 0
    assert faults["killed_host"]["last_end_s"] <= LOST_HOST_SECONDS


def test_both_hosts_executed_runs_with_the_snapshot_that_they_fetched(report: dict[str, Any]) -> None:
    faults = report["faults"]
    assert all(faults["runs"][f"tickets@{host}"] > TICKETS / 10 for host in WORKERS)
    assert faults["runs"]["index@central"] > 0
    assert faults["snapshots_fetched"] == dict.fromkeys(WORKERS, 1)


def test_runs_that_were_cut_off_come_back(report: dict[str, Any]) -> None:
    cut_off = report["faults"]["cut_off_host"]
    assert cut_off["runs"] > 0
    assert cut_off["succeeded"] > 0


def test_a_ticket_takes_no_longer_than_it_may(report: dict[str, Any]) -> None:
    assert report["latency"]["p95"] <= P95_SECONDS


def test_no_host_is_left_behind(report: dict[str, Any]) -> None:
    namespaces = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=True).stdout
    assert [
        line for line in namespaces.splitlines() if line.startswith(tuple(f"{w}-" for w in WORKERS))
    ] == []
