"""PostgreSQL goes away, comes back, fills up: nothing is half-written, and nobody has to be restarted."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import httpx
import psutil
import psycopg
import pytest
from loguru import logger
from pydantic import SecretStr

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.database import Database, migrate
from enhancer_dagster.domain.errors import BridgeUnavailableError, DatabaseUnavailableError
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.bridge_server import TOKEN, RunningBridge, eventually, running_bridge
from tests.factories import make_tenant


@pytest.fixture(scope="module")
def own_postgres(open_folder: Path) -> Iterator[EmbeddedPostgres]:
    """A server that a test may stop: nobody starts it again."""
    server = EmbeddedPostgres(open_folder / "outage")
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def own_database(own_postgres: EmbeddedPostgres) -> SecretStr:
    url = own_postgres.create_database(f"outage_{uuid4().hex}")
    migrate(url)
    return url


def impatient(bridge: RunningBridge) -> BridgeClient:
    return BridgeClient(f"http://127.0.0.1:{bridge.claim_port}", TOKEN, sleep=lambda _: None)


def test_webhooks_get_503_while_postgresql_is_down_and_go_on_after(
    own_postgres: EmbeddedPostgres, own_database: SecretStr
) -> None:
    with running_bridge(own_database) as bridge:
        before = bridge.send(ticket_id="before").json()["job_id"]
        own_postgres.stop()
        answers = [bridge.send(ticket_id=f"down-{number}") for number in range(3)]
        assert {answer.status_code for answer in answers} == {503}
        assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers)
        assert bridge.send(secret="wrong").status_code == 401
        eventually(lambda: bridge.http.get("/readyz").status_code == 503)
        assert bridge.http.get("/healthz").status_code == 200
        with pytest.raises(BridgeUnavailableError):
            impatient(bridge).claim(1, 0)
        own_postgres.start()
        after = eventually(
            lambda: answer if (answer := bridge.send(ticket_id="after")).status_code == 202 else None
        )
        claims = eventually(lambda: impatient(bridge).claim(10, 0))
        assert [str(claim.job.job_id) for claim in claims] == [before, after.json()["job_id"]]
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(bridge.queue.claim, 1, 30)
            eventually(lambda: bridge.send(ticket_id="woken").status_code == 202)
            assert [claim.job.ticket_id for claim in waiting.result(40)] == ["woken"]


def test_deliveries_that_arrive_while_postgresql_dies_are_answered_truly(
    own_postgres: EmbeddedPostgres, own_database: SecretStr
) -> None:
    with running_bridge(own_database) as bridge, ThreadPoolExecutor(16) as threads:
        sending = [threads.submit(bridge.send, ticket_id=str(number)) for number in range(400)]
        eventually(lambda: sum(one.done() for one in sending) > 50)
        own_postgres.stop()
        answers = [one.result(60) for one in sending]
        own_postgres.start()
        assert {answer.status_code for answer in answers} <= {202, 503}
        accepted = {answer.json()["job_id"] for answer in answers if answer.status_code == 202}
        jobs = eventually(lambda: bridge.sql("SELECT job_id::text FROM bridge.jobs"))
    assert accepted <= {job["job_id"] for job in jobs}
    assert len(accepted) >= 50


def test_a_full_disk_stores_nothing_of_a_delivery(database_url: SecretStr) -> None:
    with running_bridge(database_url) as bridge:
        bridge.sql(
            "CREATE FUNCTION no_space() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN RAISE EXCEPTION 'No space left on device' USING ERRCODE = '53100'; END $$"
        )
        bridge.sql("CREATE TRIGGER full_disk BEFORE INSERT ON bridge.deliveries EXECUTE FUNCTION no_space()")
        answer = bridge.send()
        assert (answer.status_code, "Retry-After" in answer.headers) == (503, True)
        assert bridge.count("jobs") == bridge.count("deliveries") == 0
        bridge.sql("DROP TRIGGER full_disk ON bridge.deliveries")
        assert bridge.send().json()["status"] == "queued"


def test_a_database_that_does_not_answer_in_time_gives_503(database_url: SecretStr) -> None:
    with running_bridge(database_url) as bridge:
        with _locked(bridge):
            answers = [bridge.send(ticket_id=str(number)) for number in range(2)]
            assert {answer.status_code for answer in answers} == {503}
            assert bridge.http.get("/healthz").status_code == 200
        assert bridge.send(ticket_id="later").status_code == 202


@contextmanager
def _locked(bridge: RunningBridge) -> Iterator[None]:
    with psycopg.connect(bridge.database_url.get_secret_value()) as connection:
        connection.execute("LOCK TABLE bridge.jobs IN ACCESS EXCLUSIVE MODE")
        yield
        connection.rollback()


def running_job(bridge: RunningBridge) -> UUID:
    bridge.send()
    claim = bridge.claim_one()
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    return claim.job.job_id


def fault(bridge: RunningBridge, job_id: UUID) -> tuple[int, int]:
    """How often this job's leases ran out, by fault of its ticket and without, after one more time."""
    bridge.end_leases()
    eventually(lambda: bridge.job(job_id)["state"] == "queued")
    job = bridge.job(job_id)
    return job["expiries"], job["excused"]


def test_a_run_that_vanishes_with_postgresql_is_not_held_against_its_ticket(
    own_postgres: EmbeddedPostgres, own_database: SecretStr
) -> None:
    with running_bridge(own_database) as bridge:
        job_id = running_job(bridge)
        own_postgres.stop()
        own_postgres.start()
        bridge.connection = None
        eventually(lambda: bridge.http.get("/readyz").status_code == 200)
        assert fault(bridge, job_id) == (0, 1)


def test_a_run_that_vanishes_while_postgresql_does_not_answer_is_not_held_against_its_ticket(
    database_url: SecretStr,
) -> None:
    said: list[str] = []
    sink = logger.add(said.append, format="{message}")
    try:
        with running_bridge(database_url) as bridge:
            job_id = running_job(bridge)
            with _locked(bridge):
                eventually(lambda: any("leases cannot be checked" in line for line in said))
            assert fault(bridge, job_id) == (0, 1)
    finally:
        logger.remove(sink)


def test_before_the_tenants_were_read_nobody_is_called_unknown(database_url: SecretStr) -> None:
    class Away:
        def get(self, tenant_id: str) -> None:
            raise AssertionError

        def list_all(self) -> None:
            raise DatabaseUnavailableError("away")

    with running_bridge(database_url, Away(), ready=False) as bridge:  # type: ignore[arg-type]
        assert bridge.send().status_code == 503
        assert bridge.http.get("/readyz").status_code == 503


def test_the_process_starts_before_postgresql_and_stops_when_told(
    own_postgres: EmbeddedPostgres, port: int
) -> None:
    claim_port = free_port()
    url = own_postgres.create_database("process")
    migrate(url)
    key = generate_key()
    TenantStore(Database(url), Cipher(key)).add(make_tenant(), "test")
    own_postgres.stop()
    environment = os.environ | {
        "ENHANCER_DATABASE_URL": url.get_secret_value(),
        "ENHANCER_SECRET_KEY": key.get_secret_value(),
        "ENHANCER_CLAIM_TOKEN": TOKEN.get_secret_value(),
        "ENHANCER_WEBHOOK_PORT": str(port),
        "ENHANCER_CLAIM_PORT": str(claim_port),
    }
    command = [sys.executable, "-m", "enhancer_dagster.bridge"]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    try:
        base = f"http://127.0.0.1:{port}"
        eventually(lambda: httpx.get(f"{base}/healthz").status_code == 200)
        assert httpx.get(f"{base}/readyz").status_code == 503
        own_postgres.start()
        eventually(lambda: httpx.get(f"{base}/readyz").status_code == 200)
        queue = BridgeClient(f"http://127.0.0.1:{claim_port}", TOKEN)
        with ThreadPoolExecutor(2) as threads:
            waiting = [threads.submit(queue.claim, 1, 100) for _ in range(2)]
            eventually(lambda: _callers(process.pid, claim_port) == 2)
            time.sleep(0.5)
            process.send_signal(signal.SIGTERM)
            assert [list(one.result(60)) for one in waiting] == [[], []]
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        own_postgres.start()
    log = process.stderr.read() if process.stderr else ""
    assert "the bridge has stopped" in log
    password = urlsplit(url.get_secret_value()).password or "?"
    for secret in (TOKEN.get_secret_value(), key.get_secret_value(), "hook-secret", "sdp-key", password):
        assert secret not in log


def _callers(pid: int, port: int) -> int:
    found = psutil.Process(pid).net_connections("tcp")
    return sum(one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED for one in found)


def test_a_port_that_is_taken_is_said_in_words(port: int) -> None:
    with socket.create_server(("127.0.0.1", port)):
        environment = os.environ | {
            "ENHANCER_DATABASE_URL": "postgresql://nowhere/x",
            "ENHANCER_SECRET_KEY": generate_key().get_secret_value(),
            "ENHANCER_CLAIM_TOKEN": "t",
            "ENHANCER_WEBHOOK_PORT": str(port),
        }
        command = [sys.executable, "-m", "enhancer_dagster.bridge"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "set ENHANCER_WEBHOOK_PORT" in done.stderr
