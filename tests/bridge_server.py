"""A real bridge on free ports for tests, its clients, and senders that sign in each of the three forms."""

import asyncio
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, LiteralString
from uuid import UUID, uuid4

import httpx
import psycopg
import uvloop
from psycopg import sql
from psycopg.rows import DictRow, dict_row
from pydantic import SecretStr
from standardwebhooks import Webhook

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.bridge.server import bound, listen
from enhancer_dagster.bridge.service import Bridge
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.outcomes import HistoryStatus, JobOutcome
from enhancer_dagster.domain.ports import Finish
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.domain.tickets import Claim
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from enhancer_dagster.settings import Settings
from tests.factories import make_record, make_tenant

TOKEN = SecretStr("claim-token")
SECRET = "hook-secret"


@dataclass
class KnownTenants:
    """Implements `domain.ports.Tenants` from a list."""

    tenants: list[Tenant] = field(default_factory=lambda: [make_tenant()])

    def get(self, tenant_id: str) -> Tenant:
        for tenant in self.tenants:
            if tenant.tenant_id == tenant_id:
                return tenant
        raise ConfigurationError(f"there is no tenant {tenant_id}")

    def list_all(self) -> Sequence[Tenant]:
        return list(self.tenants)


@dataclass
class RunningBridge:
    """Where a bridge listens, and a look behind its back into its tables."""

    public_port: int
    claim_port: int
    database_url: SecretStr
    http: httpx.Client
    queue: BridgeClient
    connection: psycopg.Connection[DictRow] | None = None

    def send(
        self, tenant: str = "acme", secret: str = SECRET, timestamp: int | None = None, **fields: Any
    ) -> httpx.Response:
        """A webhook about ticket 1 (or `ticket_id`) with a timestamp, signed by HMAC."""
        raw = body(**fields)
        stamp = str(timestamp if timestamp is not None else int(time.time()))
        return self.post(raw, signed(raw, secret, stamp), tenant)

    def post(self, raw: bytes, headers: dict[str, str], tenant: str = "acme") -> httpx.Response:
        return self.http.post(f"/webhook/servicedesk/{tenant}", content=raw, headers=headers)

    def sql(self, statement: Any, *values: Any) -> list[dict[str, Any]]:
        if self.connection is None or self.connection.closed:
            url = self.database_url.get_secret_value()
            self.connection = psycopg.connect(url, autocommit=True, row_factory=dict_row)
        cursor = self.connection.execute(statement, values or None)
        return cursor.fetchall() if cursor.description else []

    def empty(self) -> "RunningBridge":
        """Forget everything, for the next test."""
        self.sql("TRUNCATE bridge.jobs, bridge.runs, bridge.deliveries, bridge.quarantine, bridge.tenants")
        return self

    def count(self, table: str, condition: LiteralString = "true") -> int:
        counting = sql.SQL("SELECT count(*) AS n FROM bridge.{} WHERE " + condition)
        return self.sql(counting.format(sql.Identifier(table)))[0]["n"]

    def job(self, job_id: UUID | str) -> dict[str, Any]:
        return self.sql("SELECT * FROM bridge.jobs WHERE job_id = %s", job_id)[0]

    def end_leases(self) -> None:
        """Let the time pass that the claims and runs were given."""
        self.sql(
            "UPDATE bridge.jobs SET lease_expires_at = now() - interval '1 second' "
            "WHERE lease_expires_at IS NOT NULL"
        )

    def claim_one(self) -> Claim:
        (claim,) = self.queue.claim(1, 0)
        return claim

    def finish(self, claim: Claim, run_id: str, outcome: str = "completed", **more: Any) -> None:
        status = HistoryStatus.COMPLETED if outcome == "completed" else HistoryStatus.FAILED
        record = make_record(job_id=claim.job.job_id, correlation_id=claim.correlation_id, status=status)
        self.queue.finish(
            claim.job.job_id, claim.attempt, run_id, Finish(JobOutcome(outcome), record, **more)
        )


def body(**fields: Any) -> bytes:
    """A webhook's body with what is required filled in."""
    required = {
        "ticket_id": "1",
        "description": "Outlook does not start",
        "priority": "Medium",
        "created_at": datetime(2026, 11, 2, 15, 30, 45, tzinfo=UTC).isoformat(),
    }
    return json.dumps(required | fields).encode()


def signed(raw: bytes, secret: str = SECRET, timestamp: str | None = None) -> dict[str, str]:
    """X-ServiceDesk-Signature, with X-ServiceDesk-Timestamp where one is given."""
    content = raw if timestamp is None else timestamp.encode() + b"." + raw
    digest = hmac.new(secret.encode(), content, hashlib.sha256).hexdigest()
    headers = {"X-ServiceDesk-Signature": f"sha256={digest}"}
    return headers | ({"X-ServiceDesk-Timestamp": timestamp} if timestamp is not None else {})


def standard(raw: bytes, secret: str, message_id: str, at: float | None = None) -> dict[str, str]:
    """The headers of Standard Webhooks, made by the reference library."""
    moment = datetime.fromtimestamp(int(at if at is not None else time.time()), tz=UTC)
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(moment.timestamp())),
        "webhook-signature": Webhook(secret).sign(message_id, moment, raw.decode()),
    }


@contextmanager
def connected(url: SecretStr) -> Iterator[psycopg.Connection[DictRow]]:
    with psycopg.connect(url.get_secret_value(), autocommit=True, row_factory=dict_row) as connection:
        yield connection


@contextmanager
def running_bridge(
    database_url: SecretStr, tenants: KnownTenants | None = None, *, ready: bool = True, **settings: Any
) -> Iterator[RunningBridge]:
    """A bridge on two free ports in a thread with an event loop of its own, until the block ends."""
    known = Settings(**settings)
    bridge = Bridge(known, database_url, TOKEN, tenants or KnownTenants())
    with bound("127.0.0.1", 0, "") as public, bound("127.0.0.1", 0, "") as claims:
        public_port, claim_port = public.getsockname()[1], claims.getsockname()[1]
        stop = asyncio.Event()
        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
        serving = listen(bridge, public, claims, stop, known.webhook_trusted_proxies)
        thread = threading.Thread(target=lambda: runner.run(serving))
        loop = runner.get_loop()
        thread.start()
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{public_port}", timeout=30) as http:
                queue = BridgeClient(f"http://127.0.0.1:{claim_port}", TOKEN)
                if ready:
                    eventually(lambda: http.get("/readyz").status_code == 200)
                running = RunningBridge(public_port, claim_port, database_url, http, queue)
                yield running
                if running.connection is not None:
                    running.connection.close()
        finally:
            loop.call_soon_threadsafe(stop.set)
            thread.join(30)
            runner.close()


@contextmanager
def shared_bridge(
    postgres: EmbeddedPostgres, tenants: KnownTenants, **settings: Any
) -> Iterator[RunningBridge]:
    """One bridge with a database of its own for the tests of a module, which empty it in between."""
    url = postgres.create_database(f"test_{uuid4().hex}", template="template_enhancer")
    with running_bridge(url, tenants, **settings) as running:
        yield running


def eventually(condition: Callable[[], Any], seconds: float = 30) -> Any:
    """The first true answer of `condition`, asked again and again."""
    give_up_at = time.monotonic() + seconds
    while True:
        try:
            answer = condition()
        except (httpx.TransportError, psycopg.OperationalError):
            answer = None
        if answer:
            return answer
        assert time.monotonic() < give_up_at, "it did not happen in time"
        time.sleep(0.02)
