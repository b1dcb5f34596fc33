"""Marked secrets in settings, tenants, a ticket and error messages: none is where it does not belong.

All rows of both databases are read, all files but the secrets' own and PostgreSQL's, and the UI's API.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql
from pydantic import HttpUrl, SecretStr
from starlette.responses import JSONResponse

from enhancer_dagster.domain.tenants import Edition, ServiceDeskConnection, Tenant
from enhancer_dagster.simulator.faults import Fault, FaultKind
from tests.factories import make_tenant
from tests.live import LiveSystem, live_system
from tests.llm_server import cites, fails

LLM_KEY, CLAIM_TOKEN, TECHNICIAN_KEY = "canary-llm-key", "canary-claim-token", "canary-technician-key"
CLIENT_SECRET, REFRESH_TOKEN = "canary-client-secret", "canary-refresh-token"
HOOK = f"whsec_{b64encode(b'canary-of-a-webhook-secret-1').decode()}"
IN_TICKET, IN_ERROR = "Canary!1n-Ticket", "Canary!1n-Error"
REFUSED = f"the text 'My password is {IN_ERROR}' is not valid"
DESCRIPTION = f"<p>The VPN drops. My password is {IN_TICKET}</p>"

RUNS = """query { runsOrError { ... on Runs { results { runId runConfigYaml tags { key value }
  eventConnection { events { __typename ... on MessageEvent { message }
    ... on ExecutionStepFailureEvent { error { message stack causes { message stack } } }
    ... on ExecutionStepOutputEvent { metadataEntries { label
      ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr } ... on UrlMetadataEntry { url }
      ... on TableMetadataEntry { table { records } } } }
    ... on LogsCapturedEvent { fileKey } } } } } } }"""


@dataclass
class Watched:
    """A system that has worked on tickets, and its secrets."""

    live: LiveSystem
    folder: Path
    secrets: tuple[str, ...]

    def rows(self) -> Iterator[tuple[str, str]]:
        """Every table of every schema of both databases, with its rows as text."""
        for url in (self.live.settings.database_url, self.live.settings.dagster_database_url):
            assert url is not None
            with psycopg.connect(url.get_secret_value().replace("+psycopg2", "")) as connection:
                tables = connection.execute(
                    "SELECT schemaname, tablename FROM pg_tables "
                    "WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
                ).fetchall()
                for schema, table in tables:
                    read = sql.SQL("SELECT t::text FROM {} t").format(sql.Identifier(schema, table))
                    yield f"{schema}.{table}", str(connection.execute(read).fetchall())

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Every file of the installation but what is for secrets, and PostgreSQL's own."""
        for path in self.folder.rglob("*"):
            if path.is_file() and not {"secrets", "postgres"} & set(path.relative_to(self.folder).parts):
                yield str(path.relative_to(self.folder)), path.read_bytes()


@pytest.fixture(scope="module")
def watched(open_folder: Path) -> Iterator[Watched]:
    folder = open_folder / "canaries"
    with live_system(folder, llm_api_key=LLM_KEY, claim_token=CLAIM_TOKEN, log_level="DEBUG") as live:
        settings = live.settings
        assert settings.secret_key is not None
        assert settings.database_url is not None
        assert settings.claim_token is not None
        assert settings.claim_token.get_secret_value() == CLAIM_TOKEN
        password = urlsplit(settings.database_url.get_secret_value()).password
        work(live)
        kept = (settings.secret_key.get_secret_value(), password or "")
        assert all(kept)
        yield Watched(
            live, folder,
            (LLM_KEY, CLAIM_TOKEN, TECHNICIAN_KEY, CLIENT_SECRET, REFRESH_TOKEN, HOOK, IN_ERROR, *kept),
        )  # fmt: skip


def work(live: LiveSystem) -> None:
    """A ticket with AI, others without, some that the service desk refuses, one in an unreachable cloud."""
    good = live.add_tenant()
    live.llm.answer = cites()
    enhance(live, good, "completed")
    live.llm.answer = fails(401)
    enhance(live, good, "completed")
    live.llm.answer = lambda _: JSONResponse({"error": {"message": REFUSED}}, 400)
    row = enhance(live, good, "completed", fault={"method": "GET", "status": 503, "retry_after": 60})
    assert "the text 'My password is [PASSWORD" in row["enhancement"], "the section says what went wrong"
    row = enhance(live, good, "failed", fault={"method": "PUT", "status": 400})
    assert "the text 'My password is [PASSWORD" in row["error_message"]
    url = HttpUrl(live.desk.url)
    refused = ServiceDeskConnection(edition=Edition.ONPREM, base_url=url, api_key=SecretStr(TECHNICIAN_KEY))
    cloud = ServiceDeskConnection(
        edition=Edition.CLOUD, base_url=url, accounts_url=url, client_id="client",
        client_secret=SecretStr(CLIENT_SECRET), refresh_token=SecretStr(REFRESH_TOKEN),
    )  # fmt: skip
    for tenant_id, desk in (("refused", refused), ("cloud", cloud)):
        tenant = make_tenant(tenant_id, service_desk=desk, webhook_secrets=(SecretStr(HOOK),))
        live.tenants.add(tenant, "test")
        enhance(live, tenant, "failed")


def enhance(
    live: LiveSystem, tenant: Tenant, *statuses: str, fault: dict[str, Any] | None = None
) -> dict[str, Any]:
    ticket_id = live.new_ticket("VPN drops", DESCRIPTION)
    if fault:
        what = {"kind": FaultKind.STATUS, "ticket": ticket_id, "times": 1, "message": REFUSED}
        live.desk.simulator.faults.add(Fault.model_validate(what | fault))
    answer = live.send(tenant, ticket_id, description=DESCRIPTION)
    assert answer.status_code == 202, answer.text
    return live.row(answer.json()["correlation_id"], *statuses)


def test_no_row_holds_a_secret(watched: Watched) -> None:
    rows = dict(watched.rows())
    assert {"registry.tenants", "bridge.jobs", "pipeline.op_outputs", "public.event_logs"} <= set(rows)
    held = [(table, secret) for table, text in rows.items() for secret in watched.secrets if secret in text]
    assert held == []


def test_a_credential_of_a_ticket_lies_in_the_queue_alone(watched: Watched) -> None:
    assert [table for table, text in watched.rows() if IN_TICKET in text] == ["bridge.jobs"]
    assert [name for name, content in watched.files() if IN_TICKET.encode() in content] == []


def test_no_file_holds_a_secret(watched: Watched) -> None:
    files = dict(watched.files())
    assert any(name.startswith("logs/") and b"correlation_id" in content for name, content in files.items())
    held = [
        (n, secret)
        for n, content in files.items()
        for secret in watched.secrets
        if secret.encode() in content
    ]
    assert held == []


def test_the_api_of_the_ui_shows_none(watched: Watched) -> None:
    shown = str(watched.live.graphql(RUNS))
    assert "ExecutionStepOutputEvent" in shown
    assert "ExecutionStepFailureEvent" in shown
    assert [secret for secret in (*watched.secrets, IN_TICKET) if secret in shown] == []
