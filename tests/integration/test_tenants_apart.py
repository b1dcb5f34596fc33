"""What one tenant reads is its own, whatever is asked: over every read that a ticket's run makes."""

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.service_desk import PostgresTokenStore
from enhancer_dagster.adapters.service_desk.oauth import AccessToken
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.database import Database
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.outcomes import HistoryRecord
from enhancer_dagster.domain.tickets import Asset
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from enhancer_dagster.search.build import build_index
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.documents import Document
from enhancer_dagster.search.query import SnapshotSearch
from enhancer_dagster.search.settings import BuildSettings, SearchSettings
from tests.factories import NOW, make_record, make_tenant
from tests.search_fixtures import ARTICLES, PROBLEMS, new_work_dir, ticket

TENANTS = ("acme", "acme-2", "acme_2")
"""Ids that a careless prefix, pattern or file name would mix up."""
TICKET_ID = "42"
"""Every service desk has one of this number."""


def mark(tenant_id: str) -> str:
    """A word that stands in everything that is a tenant's, and in nothing else."""
    return f"only{TENANTS.index(tenant_id)}mark"


@dataclass
class Installation:
    """Three tenants that hold the same things, but for the mark in each."""

    tenants: TenantStore
    history: PostgresHistory
    tokens: PostgresTokenStore
    search: SnapshotSearch
    records: dict[str, HistoryRecord]

    def everything_read_as(self, tenant_id: str, subject: str, text: str) -> str:
        """All answers to one tenant's questions, as one text."""
        asked = (tenant_id, subject, text)
        search, history = self.search, self.history
        token = self.tokens.load(tenant_id)
        tenant = self.tenants.get(tenant_id)
        ids = [record.correlation_id for record in self.records.values()]
        owned_ids = history.owned_correlation_ids(tenant_id, TICKET_ID, ids)
        return repr((
            search.similar_tickets(*asked, exclude_ticket_id="", limit=50),
            search.kb_articles(*asked, limit=50),
            search.inventory(tenant_id, f"{subject} {text} srv-1 10.0.1.100"),
            search.explain(tenant_id, "tickets", subject, text, limit=50),
            search.explain(tenant_id, "articles", subject, text, limit=50),
            search.manifest(tenant_id).tenant_id,
            history.rows(tenant_id=tenant_id),
            history.last_enhancement(tenant_id, TICKET_ID),
            [mark_of(self.records, owned) for owned in owned_ids],
            token and token.value.get_secret_value(),
            tenant.name,
            [secret.get_secret_value() for secret in tenant.webhook_secrets],
            tenant.service_desk.api_key and tenant.service_desk.api_key.get_secret_value(),
        ))  # fmt: skip


def mark_of(records: dict[str, HistoryRecord], correlation_id: object) -> str:
    return next(mark(t) for t, record in records.items() if record.correlation_id == correlation_id)


def content_of(tenant_id: str) -> IndexContent:
    own = mark(tenant_id)
    tickets = [
        ticket(str(number), subject, f"{body} {own}", f"{resolution} {own}")
        for number, (subject, body, resolution) in enumerate(PROBLEMS, start=1)
    ]
    articles = [
        Document(f"A{number}", title, f"{text} {own}", {"title": title, "content": f"{text} {own}"})
        for number, (title, text) in enumerate(ARTICLES, start=1)
    ]
    asset = Asset(asset_id="1", name="srv-1", hostnames=(f"srv-1.{own}.org",), addresses=("10.0.1.100",))
    return IndexContent(tickets, articles, [asset])


def token_of(tenant_id: str) -> AccessToken:
    return AccessToken(SecretStr(mark(tenant_id)), "origin", NOW, NOW + timedelta(hours=1))


@pytest.fixture(scope="module")
def installation(
    postgres: EmbeddedPostgres, encoders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Installation:
    folder: Path = tmp_path_factory.mktemp("tenants-apart")
    work = new_work_dir(folder / "work", encoders)
    url = postgres.create_database("tenants_apart", template="template_enhancer")
    database, cipher = Database(url), Cipher(generate_key())
    made = Installation(
        TenantStore(database, cipher),
        PostgresHistory(database),
        PostgresTokenStore(database, cipher),
        SnapshotSearch(folder / "index", work / "cache", replace(SearchSettings(), refresh_seconds=0)),
        {},
    )
    for tenant_id in TENANTS:
        own = mark(tenant_id)
        tenant = make_tenant(tenant_id, name=own, webhook_secrets=(SecretStr(own),))
        desk = tenant.service_desk.model_copy(update={"api_key": SecretStr(own)})
        made.tenants.add(tenant.model_copy(update={"service_desk": desk}), "test")
        record = make_record(tenant_id=tenant_id, ticket_id=TICKET_ID, enhancement=own, content_hash=own)
        made.history.save(record)
        made.records[tenant_id] = record
        made.tokens.renew(tenant_id, lambda _: False, lambda t=tenant_id: token_of(t), Deadline.after(60))
        build_index(tenant_id, content_of(tenant_id), folder / "index", work, BuildSettings(threads=1))
    return made


WORDS = st.sampled_from(
    [word for subject, body, _ in PROBLEMS for word in f"{subject} {body}".split()]
    + [mark(tenant_id) for tenant_id in TENANTS]
    + ["10.0.1.100", "srv-1", "../acme", "%", "_", "' OR tenant_id <> '", "acme*"]
)
TEXTS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join) | st.text(max_size=60)


@given(tenant_id=st.sampled_from(TENANTS), subject=TEXTS, text=TEXTS)
@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
def test_no_read_shows_what_is_another_tenants(
    installation: Installation, tenant_id: str, subject: str, text: str
) -> None:
    # The question itself comes back in no answer, so a mark in it proves nothing by itself.
    answers = installation.everything_read_as(tenant_id, subject, text)
    assert mark(tenant_id) in answers
    others = [mark(other) for other in TENANTS if other != tenant_id]
    assert [other for other in others if other in answers] == []


@given(tenant_id=st.sampled_from(["acme-", "acme%", "ACME", "../acme", "acme/../acme-2", ".", ""]))
def test_an_id_that_is_none_reads_nothing(installation: Installation, tenant_id: str) -> None:
    assert installation.history.rows(tenant_id=tenant_id) == []
    assert installation.history.last_enhancement(tenant_id, TICKET_ID) is None
    assert installation.tokens.load(tenant_id) is None
    with pytest.raises(ConfigurationError):
        installation.tenants.get(tenant_id)
