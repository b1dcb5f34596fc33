"""The simulator as a process of its own."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

PROGRAM = """
import sys
from pathlib import Path
from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.server import run
run("127.0.0.1", int(sys.argv[1]), Edition.CLOUD, "key", sample=False, tickets_file=Path(sys.argv[2]))
"""


@pytest.fixture
def process(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    tickets = tmp_path / "own.jsonl"
    tickets.write_text(json.dumps({"id": "1", "text": "My own ticket"}))
    arguments = [sys.executable, "-c", PROGRAM, str(port), str(tickets)]
    process = subprocess.Popen(arguments, stderr=subprocess.PIPE)
    yield process
    process.kill()
    process.communicate()


def answer_of(url: str, process: subprocess.Popen[bytes]) -> httpx.Response:
    deadline = time.monotonic() + 60
    while True:
        try:
            return httpx.post(url, json={"count": 1})
        except httpx.ConnectError:
            assert process.poll() is None, process.stderr
            assert time.monotonic() < deadline
            time.sleep(0.05)


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_it_is_told_to_stop(
    process: subprocess.Popen[bytes], port: int, stop: signal.Signals
) -> None:
    released = answer_of(f"http://127.0.0.1:{port}/_admin/new_tickets", process)
    assert [ticket["subject"] for ticket in released.json()["tickets"]] == ["My own ticket"]
    form = {"grant_type": "refresh_token", "refresh_token": "key", "client_id": "c", "client_secret": "s"}
    token = httpx.post(f"http://127.0.0.1:{port}/oauth/v2/token", data=form).json()["access_token"]
    listed = httpx.get(
        f"http://127.0.0.1:{port}/app/itdesk/api/v3/requests",
        headers={"Authorization": f"Bearer {token}"},
    )
    assert [row["subject"] for row in listed.json()["requests"]] == ["My own ticket"]
    process.send_signal(stop)
    _, said = process.communicate(timeout=30)
    assert b"Traceback" not in said
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/")
