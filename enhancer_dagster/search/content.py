"""What a build is given: a tenant's resolved tickets, articles and assets, as plain values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from enhancer_dagster.domain.text import storable
from enhancer_dagster.domain.tickets import Asset
from enhancer_dagster.search.corpus import Corpus
from enhancer_dagster.search.documents import Document

_SHOWN_RESOLUTION = 4_000
_SHOWN_ARTICLE = 4_000
"""Characters of a hit that a snapshot keeps: what a prompt or a person can use."""


@dataclass(frozen=True)
class IndexContent:
    """Everything that goes into one snapshot. Rows keep this order: newest first."""

    tickets: Sequence[Document] = ()
    articles: Sequence[Document] = ()
    assets: Sequence[Asset] = ()


def read_content(corpus: Corpus) -> IndexContent:
    """The content of a corpus."""
    return IndexContent(
        tickets=[_ticket(row) for row in _rows(corpus.tickets())],
        articles=[_article(row) for row in _rows(corpus.articles())],
        assets=[_asset(row) for row in _rows(corpus.assets())],
    )


def _rows(frame: pd.DataFrame) -> Iterable[dict[str, Any]]:
    columns = [str(name) for name in frame.columns]
    # Column by column: `iterrows` makes a Series of every row.
    values = [frame[name].astype(object).where(frame[name].notna(), None).tolist() for name in columns]
    return (dict(zip(columns, row, strict=True)) for row in zip(*values, strict=True))


def _ticket(row: dict[str, Any]) -> Document:
    record = {
        "id": row["ticket_id"],
        "subject": _text(row["subject"]),
        "resolution": _text(row["resolution"])[:_SHOWN_RESOLUTION],
        "resolved_at": _time(row["resolved_at"]),
    } | {name: row[name] for name in ("status", "group", "site", "template") if row[name]}
    return Document(row["ticket_id"], _text(row["subject"]), _text(row["body"]), record)


def _article(row: dict[str, Any]) -> Document:
    content = _text(row["content"])
    record: dict[str, str | None] = {
        "id": row["article_id"],
        "title": _text(row["title"]),
        "content": content[:_SHOWN_ARTICLE],
        "topic": row["topic"],
    }
    return Document(row["article_id"], _text(row["title"]), content, record)


def _asset(row: dict[str, Any]) -> Asset:
    return Asset(
        asset_id=row["asset_id"],
        name=row["name"] or "",
        hostnames=tuple(_list(row["hostnames"])),
        addresses=tuple(_list(row["addresses"])),
        role=row["role"] or "",
        state=row["state"] or "",
        site=row["site"] or "",
        last_seen=row["last_seen"],
    )


def _text(value: str | None) -> str:
    return storable(value or "")


def _list(value: Any) -> list[str]:
    return [] if value is None else [str(item) for item in value]


def _time(value: pd.Timestamp | None) -> str | None:
    return value.isoformat() if value is not None else None
