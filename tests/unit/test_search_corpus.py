"""The corpus in DuckDB."""

from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import pytest

from enhancer_dagster.domain.errors import TransientError
from enhancer_dagster.search.content import read_content
from enhancer_dagster.search.corpus import ARTICLE_COLUMNS, ASSET_COLUMNS, TICKET_COLUMNS, Corpus

NOON = datetime(2025, 11, 2, 12, tzinfo=UTC)


def _tickets(*ids: str, body: str = "text", **values: object) -> pd.DataFrame:
    rows = [
        dict.fromkeys(TICKET_COLUMNS) | {"ticket_id": i, "subject": "s", "body": body} | values for i in ids
    ]
    return pd.DataFrame(rows, columns=list(TICKET_COLUMNS))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "acme" / "corpus.duckdb"


def test_only_changed_text_counts_as_changed(path: Path) -> None:
    with Corpus(path) as corpus:
        assert corpus.upsert_tickets(_tickets("1", "2")) == 2
        assert corpus.upsert_tickets(_tickets("1", "2", status="Closed")) == 0
        assert corpus.upsert_tickets(_tickets("2", body="new")) == 1
        assert corpus.tickets().set_index("ticket_id").loc["1", "status"] == "Closed"


def test_tickets_can_be_removed_and_none_is_fine(path: Path) -> None:
    with Corpus(path) as corpus:
        corpus.upsert_tickets(_tickets("1", "2"))
        assert corpus.delete_tickets(["2", "99"]) == 1
        assert corpus.delete_tickets([]) == 0
        assert corpus.ticket_ids() == {"1"}
        assert corpus.upsert_tickets(_tickets()) == 0


def test_newest_resolution_comes_first(path: Path) -> None:
    with Corpus(path) as corpus:
        corpus.upsert_tickets(_tickets("old", resolved_at=NOON))
        corpus.upsert_tickets(_tickets("new", resolved_at=NOON.replace(day=3)))
        corpus.upsert_tickets(_tickets("unknown"))
        assert corpus.tickets()["ticket_id"].tolist() == ["new", "old", "unknown"]


def test_a_watermark_is_kept_and_can_be_forgotten(path: Path) -> None:
    with Corpus(path) as corpus:
        assert corpus.watermark("tickets") is None
        corpus.set_watermark("tickets", NOON)
    with Corpus(path) as corpus:
        assert corpus.watermark("tickets") == NOON
        corpus.set_watermark("tickets", None)
        assert corpus.watermark("tickets") is None


def test_a_second_process_waits_its_turn(path: Path) -> None:
    with Corpus(path), pytest.raises(TransientError):
        Corpus(path, lock_seconds=0.1)


def test_content_is_what_was_stored(path: Path) -> None:
    with Corpus(path) as corpus:
        corpus.upsert_tickets(_tickets("7", resolution="Restarted it", resolved_at=NOON, status="Closed"))
        articles = [dict.fromkeys(ARTICLE_COLUMNS) | {"article_id": "k", "title": "T", "content": "C\x00"}]
        corpus.upsert_articles(pd.DataFrame(articles))
        assets = [
            dict.fromkeys(ASSET_COLUMNS) | {"asset_id": "a", "hostnames": ["h"], "addresses": ["10.0.0.1"]}
        ]
        corpus.replace_assets(pd.DataFrame(assets))
        content = read_content(corpus)
    (ticket,), (article,), (asset,) = content.tickets, content.articles, content.assets
    assert ticket.record["resolution"] == "Restarted it"
    assert ticket.record["resolved_at"] == NOON.isoformat()
    assert (article.title, article.body) == ("T", "C\ufffd")
    assert (asset.hostnames, asset.addresses) == (("h",), ("10.0.0.1",))


def test_the_inventory_is_replaced_as_a_whole(path: Path) -> None:
    one = pd.DataFrame([dict.fromkeys(ASSET_COLUMNS) | {"asset_id": "a", "name": "n"}])
    with Corpus(path) as corpus:
        corpus.replace_assets(one)
        corpus.replace_assets(one.assign(asset_id="b"))
        assert corpus.assets()["asset_id"].tolist() == ["b"]
        corpus.replace_assets(one.iloc[:0])
        assert corpus.assets().empty
