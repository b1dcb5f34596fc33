"""Two bridge processes behind deploy/nginx/two-bridges.conf: either serves, and one may be lost."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.database import Database
from enhancer_dagster.domain.errors import BridgeUnavailableError
from enhancer_dagster.domain.tickets import Claim
from enhancer_dagster.runtime.free_ports import free_port
from tests.bridge_server import TOKEN, body, eventually, signed
from tests.factories import make_tenant
from tests.nginx import running_nginx

WEBHOOKS = 150
KILL_AFTER = 50


@dataclass
class BridgeHost:
    """A bridge process."""

    process: subprocess.Popen[bytes]
    public_port: int
    claim_port: int

    def is_ready(self) -> bool:
        return httpx.get(f"http://127.0.0.1:{self.public_port}/readyz").status_code == 200


@dataclass
class Pair:
    """Two bridges, and their one address for senders and for the pipeline."""

    hosts: tuple[BridgeHost, BridgeHost]
    http: httpx.Client
    queue: BridgeClient

    def send(self, ticket: str, to: BridgeHost | None = None) -> httpx.Response:
        raw = body(ticket_id=ticket)
        base = f"http://127.0.0.1:{to.public_port}" if to else ""
        headers = {"Host": "enhancer.example.com", **signed(raw, timestamp=str(int(time.time())))}
        return self.http.post(f"{base}/webhook/servicedesk/acme", content=raw, headers=headers)

    def drain(self) -> list[str]:
        """Claim and start all that waits; its tickets in the order of the claims."""
        tickets: list[str] = []
        while claims := self.queue.claim(24, 0):
            for claim in claims:
                self.queue.start(claim.job.job_id, claim.attempt, uuid4().hex, None)
                tickets.append(claim.job.ticket_id)
        return tickets


@contextmanager
def bridge_process(variables: dict[str, str], log: Path) -> Iterator[BridgeHost]:
    ports = {"ENHANCER_WEBHOOK_PORT": free_port(), "ENHANCER_CLAIM_PORT": free_port()}
    environment = variables | {name: str(port) for name, port in ports.items()}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "enhancer_dagster.bridge"], env=environment, stdout=file, stderr=file
        )
    try:
        yield BridgeHost(process, *ports.values())
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def pair(database_url: SecretStr, tmp_path: Path) -> Iterator[Pair]:
    key = generate_key()
    TenantStore(Database(database_url), Cipher(key)).add(make_tenant(), "test")
    variables = {
        **os.environ,
        "ENHANCER_DATABASE_URL": database_url.get_secret_value(),
        "ENHANCER_SECRET_KEY": key.get_secret_value(),
        "ENHANCER_CLAIM_TOKEN": TOKEN.get_secret_value(),
        "ENHANCER_WEBHOOK_TRUSTED_PROXIES": "127.0.0.1",
    }
    claims = free_port()
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(bridge_process(variables, tmp_path / f"{name}.log")) for name in "ab"
        )
        here = {
            "listen 10.0.0.10:8081;": f"listen 127.0.0.1:{claims};",
            "server 10.0.0.11:8080": f"server 127.0.0.1:{one.public_port}",
            "server 10.0.0.12:8080": f"server 127.0.0.1:{other.public_port}",
            "server 10.0.0.11:8081": f"server 127.0.0.1:{one.claim_port}",
            "server 10.0.0.12:8081": f"server 127.0.0.1:{other.claim_port}",
        }
        http = stack.enter_context(running_nginx(tmp_path, "two-bridges.conf", here))
        for host in (one, other):
            eventually(host.is_ready)
        running = Pair((one, other), http, BridgeClient(f"http://127.0.0.1:{claims}", TOKEN))
        eventually(lambda: running.queue.counts() is not None)
        yield running


def test_either_takes_webhooks_and_either_gives_the_jobs_out(pair: Pair) -> None:
    one, other = pair.hosts
    raw = body(ticket_id="1")
    headers = signed(raw, timestamp=str(int(time.time())))
    path = "/webhook/servicedesk/acme"
    first = pair.http.post(f"http://127.0.0.1:{one.public_port}{path}", content=raw, headers=headers)
    again = pair.http.post(f"http://127.0.0.1:{other.public_port}{path}", content=raw, headers=headers)
    assert (first.status_code, again.status_code) == (202, 200), "a delivery is known to both"
    assert again.json()["job_id"] == first.json()["job_id"]
    assert [pair.send(str(number)).status_code for number in range(2, 12)] == [202] * 10
    assert sorted(pair.drain(), key=int) == [str(number) for number in range(1, 12)]


def test_a_claim_that_waits_at_one_is_woken_by_a_webhook_at_the_other(pair: Pair) -> None:
    one, other = pair.hosts
    for waits_at, sent_to in ((one, other), (other, one)):
        queue = BridgeClient(f"http://127.0.0.1:{waits_at.claim_port}", TOKEN)
        with ThreadPoolExecutor(1) as threads:
            waiting = threads.submit(queue.claim, 1, 20)
            time.sleep(0.5)
            assert not waiting.done()
            sent_at = time.monotonic()
            assert pair.send(uuid4().hex, to=sent_to).status_code == 202
            assert len(waiting.result(20)) == 1
            assert time.monotonic() - sent_at < 2, "by itself the poll looks every 5 s"


def test_one_that_is_killed_loses_nothing_and_the_other_goes_on(pair: Pair) -> None:
    one, other = pair.hosts
    tickets = [f"t{number}" for number in range(WEBHOOKS)]
    with ThreadPoolExecutor(6) as threads:
        polls = [threads.submit(pair.queue.claim, 1, 20) for _ in range(2)]
        answers = []
        for number, ticket in enumerate(tickets):
            if number == KILL_AFTER:
                one.process.kill()
            answers.append(threads.submit(pair.send, ticket))
        said = [answer.result(30).status_code for answer in answers]
        claimed = [claim.job.ticket_id for poll in polls for claim in _claims_of(poll)]
    assert set(said) <= {200, 202}, "ServiceDesk Plus does not send again"
    assert other.process.poll() is None
    waiting = pair.drain()
    lost = set(tickets) - set(claimed) - set(waiting)
    assert len(lost) <= len(polls), "at most the answers that the killed bridge was about to give"
    assert len(waiting) == len(set(waiting))
    assert {str(row.ticket_id) for row in pair.queue.jobs()} >= set(tickets), "and these jobs are leased"


def _claims_of(poll: Future[Sequence[Claim]]) -> Sequence[Claim]:
    try:
        return poll.result(30)
    except BridgeUnavailableError:
        return []
