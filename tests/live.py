"""The whole system for tests: real PostgreSQL, bridge, daemon and webserver, and a simulated service desk."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
from pydantic import HttpUrl, SecretStr

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.secrets import Cipher, generate_webhook_secret
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.adapters.webhook_sender import WebhookSender
from enhancer_dagster.database import Database
from enhancer_dagster.domain.destinations import LOOPBACK
from enhancer_dagster.domain.ports import JobRow
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.installation import ready_installation
from enhancer_dagster.runtime.system import running_system, ui_url
from enhancer_dagster.settings import Settings
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.factories import make_tenant
from tests.llm_server import LlmServer, llm_server

WAIT_SECONDS = 120.0
KNOWN_SECONDS = 10.0
"""The bridge is notified of a new tenant, and reads it a moment later."""


def eventually(condition: Callable[[], Any], what: str, seconds: float = WAIT_SECONDS) -> Any:
    """The first true value of `condition`.

    Raises:
        AssertionError: It stayed false for `seconds`.
    """
    give_up_at = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < give_up_at, f"{what}: not within {seconds:g} s"
        time.sleep(0.1)
    return value


@dataclass
class LiveSystem:
    """A system that is up, and what a test needs to use and watch it."""

    settings: Settings
    tenants: TenantStore
    history: PostgresHistory
    desk: RunningSimulator
    llm: LlmServer

    def add_tenant(self, desk: RunningSimulator | None = None, **fields: Any) -> Tenant:
        """A tenant of its own for a test, on the shared service desk or on `desk`."""
        tenant = make_tenant(f"t{uuid4().hex[:12]}", webhook_secrets=(generate_webhook_secret(),), **fields)
        connection = tenant.service_desk.model_copy(
            update={"base_url": HttpUrl((desk or self.desk).url), "api_key": SecretStr("simulator")}
        )
        tenant = tenant.model_copy(update={"service_desk": connection})
        self.tenants.add(tenant, "test")
        return tenant

    def new_ticket(self, subject: str, description: str = "") -> str:
        """A ticket that was just opened; its id."""
        return self.desk.simulator.add_ticket(
            subject=subject, description=description, priority="Medium", group="Network", announce=False
        ).ticket_id

    def description(self, ticket_id: str) -> str:
        """What stands on the ticket now."""
        return self.desk.simulator.desk.ticket(ticket_id).description

    def send(self, tenant: Tenant, ticket_id: str, **fields: Any) -> httpx.Response:
        """Send a webhook about a ticket; again, while the bridge does not know the tenant yet."""
        sender = WebhookSender(self.settings.webhook_base, tenant.tenant_id, tenant.webhook_secrets[0])
        payload = {"ticket_id": ticket_id, "description": "", "priority": "Medium"}
        payload |= {"created_at": "2026-11-02T15:30:45Z"} | fields

        def known() -> httpx.Response | None:
            answer = sender.send(payload)
            return None if answer.status_code == httpx.codes.UNAUTHORIZED else answer

        try:
            return eventually(known, "the bridge knows the tenant", KNOWN_SECONDS)
        finally:
            sender.close()

    def row(self, correlation_id: str, *statuses: str) -> dict[str, Any]:
        """The history row of a correlation id, once its status is one of `statuses`."""

        def found() -> dict[str, Any] | None:
            for row in self.history.rows(limit=10_000):
                if str(row["correlation_id"]) == correlation_id and row["status"] in statuses:
                    return row
            return None

        return eventually(found, f"history says {' or '.join(statuses)} of {correlation_id}")

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """What the Dagster UI's API answers."""
        answer = httpx.post(
            f"{ui_url(self.settings)}/graphql", json={"query": query, "variables": variables}, timeout=60
        )
        body = answer.raise_for_status().json()
        assert "errors" not in body, body["errors"]
        return body["data"]

    def launch(self, job: str, **tags: str) -> str:
        """Launch a run of a job as the UI's launchpad does; the run's id."""
        selector = {
            "repositoryLocationName": "enhancer", "repositoryName": "__repository__", "pipelineName": job,
        }  # fmt: skip
        metadata = {"tags": [{"key": key, "value": value} for key, value in tags.items()]}
        data = self.graphql(
            """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
                 __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
            params={"selector": selector, "runConfigData": {}, "executionMetadata": metadata},
        )
        assert data["launchRun"]["__typename"] == "LaunchRunSuccess", data
        return data["launchRun"]["run"]["runId"]

    def re_execute(self, run_id: str, strategy: str = "FROM_FAILURE") -> str:
        """Run again as the UI does it, from failure or ALL_STEPS, once it has ended; the new run's id."""
        self.finished_run(run_id)  # history says failed a moment before, and Dagster refuses until then
        data = self.graphql(
            """mutation($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
                 __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }""",
            params={"parentRunId": run_id, "strategy": strategy},
        )
        assert data["launchRunReexecution"]["__typename"] == "LaunchRunSuccess", data
        return data["launchRunReexecution"]["run"]["runId"]

    def job(self, correlation_id: str) -> JobRow:
        """A job as the queue has it now."""
        assert self.settings.claim_token is not None
        bridge = BridgeClient(self.settings.claim_api, self.settings.claim_token)
        (job,) = bridge.jobs(correlation_ids=[UUID(correlation_id)])
        return job

    def finished_attempt(self, correlation_id: str, attempt: int) -> JobRow:
        """A job, once this attempt of it is completed."""

        def completed() -> JobRow | None:
            job = self.job(correlation_id)
            return job if (job.state, job.attempt) == ("completed", attempt) else None

        return eventually(completed, f"attempt {attempt} of {correlation_id} is completed")

    def finished_run(self, run_id: str) -> dict[str, Any]:
        """A run as the UI shows it, once it has ended."""
        query = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
            status tags { key value } stepStats { stepKey status } } } }"""

        def ended() -> dict[str, Any] | None:
            run = self.graphql(query, id=run_id)["runOrError"]
            return run if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} else None

        return eventually(ended, f"run {run_id} ends")


@contextmanager
def live_system(folder: Path, **settings: Any) -> Iterator[LiveSystem]:
    """A system in `folder`, for the length of a `with` block.

    Args:
        folder: Empty, and open to other users where root runs the test.
        settings: In place of the defaults.
    """
    ports = {name: free_port() for name in ("webhook_port", "claim_port", "dagster_port")}
    with llm_server() as llm, running_simulator(Simulator()) as desk:
        gateway = {"llm_base_url": llm.url, "llm_api_key": "test-llm-key", "llm_model": "test-model"}
        # Tenants of many tests share one service desk: polling would give each the others' tickets.
        quiet = {"missed_ticket_poll_seconds": 86_400}
        chosen = (
            {"data_dir": folder, "allow_http": True, "private_networks": LOOPBACK}
            | ports
            | gateway
            | quiet
            | settings
        )
        with ready_installation(Settings.model_validate(chosen)) as ready:
            yield from _served(ready, desk, llm, folder)


def _served(ready: Settings, desk: RunningSimulator, llm: LlmServer, folder: Path) -> Iterator[LiveSystem]:
    assert ready.database_url is not None
    assert ready.secret_key is not None
    database = Database(ready.database_url)
    tenants = TenantStore(database, Cipher(ready.secret_key))
    with running_system(ready, folder / "logs"):
        yield LiveSystem(ready, tenants, PostgresHistory(database), desk, llm)
