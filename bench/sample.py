"""The simulator's sample service desk: is each new ticket offered what was written for it?"""

import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from loguru import logger
from pydantic import HttpUrl, SecretStr
from sklearn.feature_extraction.text import TfidfVectorizer

from bench.report import show_json, show_table
from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.service_desk import PostgresTokenStore, ServiceDeskConnector
from enhancer_dagster.database import Database
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.destinations import LOOPBACK, Destinations
from enhancer_dagster.domain.tenants import Edition, ServiceDeskConnection, Tenant, TicketFilter
from enhancer_dagster.domain.text import html_to_text
from enhancer_dagster.search.build import build_index
from enhancer_dagster.search.content import IndexContent, read_content
from enhancer_dagster.search.corpus import Corpus
from enhancer_dagster.search.pulls import Pull, pull_articles, pull_assets, pull_resolved_tickets
from enhancer_dagster.search.query import SnapshotSearch
from enhancer_dagster.simulator.seed import sample_seed
from enhancer_dagster.simulator.server import running_simulator
from enhancer_dagster.simulator.simulator import Arrival, Simulator

_FEATURES = 5_000  # of TF-IDF, as in the original design
_OFFERED = 3
_ALL = 30  # new tickets of the sample


def main(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """How many new tickets of the sample are offered the related ticket and article."""
    logger.remove()
    with tempfile.TemporaryDirectory(prefix="enhancer-bench-sample-") as folder:
        figures = offered(Path(folder) / "index", Path(folder) / "work")
    if as_json:
        show_json(figures)
    else:
        show_table(f"offered among the first {_OFFERED}", ("measure", "tickets"), list(figures.items()))


def offered(index: Path, work: Path) -> dict[str, int]:
    """Pull the sample service desk, build its index, and ask it about every new ticket.

    Args:
        index: Where the index goes.
        work: Where builds keep their encoder.

    Returns:
        How many new tickets there are, and for how many the related ticket (by the product, by TF-IDF) and
        the article are among the first.
    """
    content, arrivals = _pulled(work)
    build_index("sample", content, str(index), work)
    search = SnapshotSearch(str(index))
    tickets = articles = 0
    for arrival in arrivals:
        ticket = arrival.ticket
        asked = "sample", ticket.subject, html_to_text(ticket.description)
        similar = search.similar_tickets(*asked, exclude_ticket_id=ticket.ticket_id, limit=_OFFERED)
        tickets += arrival.expected_ticket in [hit.ticket_id for hit in similar]
        found = search.kb_articles(*asked, limit=_OFFERED)
        articles += arrival.expected_article in [hit.article_id for hit in found]
    return {
        "new_tickets": len(arrivals),
        "related_ticket": tickets,
        "related_ticket_by_tfidf": sum(_by_tfidf(content, arrivals)),
        "with_an_article": sum(arrival.expected_article is not None for arrival in arrivals),
        "article": articles,
    }


def _pulled(work: Path) -> tuple[IndexContent, list[Arrival]]:
    """What an index is built of, and the tickets that come afterwards."""
    work.mkdir(exist_ok=True)
    unused = PostgresTokenStore(Database(SecretStr("postgresql://unused")), Cipher(generate_key()))
    allowed = Destinations(allow_http=True, private_networks=LOOPBACK)
    with running_simulator(Simulator(seed=sample_seed())) as desk, Corpus(work / "sample.duckdb") as corpus:
        connection = ServiceDeskConnection(
            edition=Edition.ONPREM, base_url=HttpUrl(desk.url), api_key=SecretStr("simulator")
        )
        tenant = Tenant(tenant_id="sample", service_desk=connection, created_at=datetime.now(UTC))
        client = ServiceDeskConnector(tokens=unused, destinations=allowed).connect(tenant)
        pull = Pull(client, corpus, TicketFilter(), Deadline.after(120), full=True)
        for read in (pull_resolved_tickets, pull_articles, pull_assets):
            read(pull)
        return read_content(corpus), desk.simulator.release(_ALL, announce=False)


def _by_tfidf(content: IndexContent, arrivals: list[Arrival]) -> Iterator[bool]:
    """Whether the related ticket is among the first by TF-IDF alone."""
    ids = [document.document_id for document in content.tickets]
    vectorizer = TfidfVectorizer(max_features=_FEATURES, stop_words="english")
    documents = vectorizer.fit_transform(f"{d.title}\n{d.body}" for d in content.tickets)
    for arrival in arrivals:
        asked = f"{arrival.ticket.subject}\n{html_to_text(arrival.ticket.description)}"
        scores = (vectorizer.transform([asked]) @ documents.T).toarray()[0]
        best = np.argsort(-scores, kind="stable")[:_OFFERED]
        yield arrival.expected_ticket in [ids[row] for row in best]
