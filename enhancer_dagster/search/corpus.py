"""A tenant's corpus in DuckDB: tickets, articles and assets as pulled, and how far each pull has come.

One file a tenant, opened by one process at a time, under the tenant's lock. Texts are plain, without our own
sections and without credentials: pulls take them out before they come here.
"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

import duckdb
import pandas as pd
from filelock import FileLock, Timeout

from enhancer_dagster.domain.errors import TransientError
from enhancer_dagster.domain.text import content_hash

TICKET_COLUMNS = (
    "ticket_id", "subject", "body", "resolution", "status", "group", "site", "template",
    "created_at", "updated_at", "resolved_at",
)  # fmt: skip
ARTICLE_COLUMNS = ("article_id", "title", "content", "topic", "updated_at")
ASSET_COLUMNS = ("asset_id", "name", "hostnames", "addresses", "role", "state", "site", "last_seen")

_SCHEMA = """
CREATE TABLE IF NOT EXISTS tickets (
    ticket_id VARCHAR PRIMARY KEY, subject VARCHAR, body VARCHAR, resolution VARCHAR, status VARCHAR,
    "group" VARCHAR, site VARCHAR, template VARCHAR,
    created_at TIMESTAMPTZ, updated_at TIMESTAMPTZ, resolved_at TIMESTAMPTZ, text_hash VARCHAR);
CREATE TABLE IF NOT EXISTS articles (
    article_id VARCHAR PRIMARY KEY, title VARCHAR, content VARCHAR, topic VARCHAR,
    updated_at TIMESTAMPTZ, text_hash VARCHAR);
CREATE TABLE IF NOT EXISTS assets (
    asset_id VARCHAR PRIMARY KEY, name VARCHAR, hostnames VARCHAR[], addresses VARCHAR[], role VARCHAR,
    state VARCHAR, site VARCHAR, last_seen TIMESTAMPTZ);
CREATE TABLE IF NOT EXISTS links (ticket_id VARCHAR, other_id VARCHAR, PRIMARY KEY (ticket_id, other_id));
CREATE TABLE IF NOT EXISTS watermarks (source VARCHAR PRIMARY KEY, value TIMESTAMPTZ, pulled_at TIMESTAMPTZ);
"""
_LOCK_SECONDS = 1_800


class Corpus(AbstractContextManager["Corpus"]):
    """A tenant's corpus, open; close it, or use it as a context manager.

    Args:
        path: The DuckDB file; made where there is none.
        lock_seconds: How long to wait for another process that has it open.

    Raises:
        TransientError: It stays open elsewhere for longer than that.
    """

    def __init__(self, path: Path, lock_seconds: float = _LOCK_SECONDS) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._lock = FileLock(path.with_suffix(".lock"), timeout=lock_seconds)
        try:
            self._lock.acquire()
        except Timeout as error:
            raise TransientError(f"{path.name} is in use by another run") from error
        try:
            self._db = duckdb.connect(str(path))
            self._db.execute("SET TimeZone = 'UTC'")
            self._db.execute(_SCHEMA)
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file and let the next process in."""
        self._db.close()
        self._lock.release()

    def upsert_tickets(self, frame: pd.DataFrame) -> int:
        """Insert or replace resolved tickets (`TICKET_COLUMNS`); returns how many say something new."""
        return self._upsert("tickets", TICKET_COLUMNS, frame, ("subject", "body"))

    def upsert_articles(self, frame: pd.DataFrame) -> int:
        """Insert or replace articles (`ARTICLE_COLUMNS`); returns how many say something new."""
        return self._upsert("articles", ARTICLE_COLUMNS, frame, ("title", "content"))

    def replace_assets(self, frame: pd.DataFrame) -> int:
        """Make the inventory exactly `frame` (`ASSET_COLUMNS`); returns its rows."""
        if frame.empty:
            self._db.execute("DELETE FROM assets")
            return 0
        rows = frame.loc[:, list(ASSET_COLUMNS)].drop_duplicates("asset_id", keep="last")
        self._db.register("incoming", rows)
        names = _names(ASSET_COLUMNS)
        self._db.begin()
        self._db.execute("DELETE FROM assets")
        self._db.execute(f"INSERT INTO assets ({names}) SELECT {names} FROM incoming")  # noqa: S608
        self._db.commit()
        self._db.unregister("incoming")
        return len(rows)

    def delete_tickets(self, ticket_ids: list[str]) -> int:
        """Remove tickets that are deleted, open again or no longer admitted; returns how many there were."""
        return self._delete("tickets", "ticket_id", ticket_ids)

    def delete_articles(self, article_ids: list[str]) -> int:
        """Remove articles; returns how many there were."""
        return self._delete("articles", "article_id", article_ids)

    def tickets(self) -> pd.DataFrame:
        """All tickets, newest resolution first, with `text_hash`."""
        return self._db.execute(
            "SELECT * FROM tickets ORDER BY coalesce(resolved_at, updated_at) DESC NULLS LAST, ticket_id"
        ).df()

    def articles(self) -> pd.DataFrame:
        """All articles, newest first, with `text_hash`."""
        return self._db.execute("SELECT * FROM articles ORDER BY updated_at DESC NULLS LAST, article_id").df()

    def assets(self) -> pd.DataFrame:
        """The inventory, last seen first; `hostnames` and `addresses` are lists."""
        return self._db.execute("SELECT * FROM assets ORDER BY last_seen DESC NULLS LAST, asset_id").df()

    def ticket_ids(self) -> set[str]:
        """The ids of all tickets, to notice those that are gone."""
        return {row[0] for row in self._db.execute("SELECT ticket_id FROM tickets").fetchall()}

    def article_ids(self) -> set[str]:
        """The ids of all articles."""
        return {row[0] for row in self._db.execute("SELECT article_id FROM articles").fetchall()}

    def replace_links(self, others: Mapping[str, Iterable[str]]) -> None:
        """Make the links of each ticket named exactly those given."""
        pairs = [(ticket_id, other) for ticket_id, linked in others.items() for other in set(linked)]
        self._db.begin()
        self._delete("links", "ticket_id", list(others))
        if pairs:
            self._db.executemany("INSERT INTO links VALUES (?, ?)", pairs)
        self._db.commit()

    def links(self) -> dict[str, set[str]]:
        """For each ticket that is linked, in either direction, the ids of those it belongs with."""
        found: dict[str, set[str]] = {}
        for one, other in self._db.execute("SELECT ticket_id, other_id FROM links").fetchall():
            found.setdefault(one, set()).add(other)
            found.setdefault(other, set()).add(one)
        return found

    def watermark(self, source: str) -> datetime | None:
        """Up to which moment `source` ("tickets", "articles", …) was pulled without a hole."""
        rows = self._db.execute("SELECT value FROM watermarks WHERE source = ?", [source]).fetchall()
        return rows[0][0].astimezone(UTC) if rows and rows[0][0] else None

    def set_watermark(self, source: str, value: datetime | None) -> None:
        """Note how far `source` was pulled; None forgets it, so that the next pull is a full one."""
        self._db.execute(
            "INSERT OR REPLACE INTO watermarks VALUES (?, ?, ?)", [source, value, datetime.now(UTC)]
        )

    def _upsert(
        self, table: str, columns: tuple[str, ...], frame: pd.DataFrame, text: tuple[str, str]
    ) -> int:
        key = columns[0]
        if frame.empty:
            return 0
        rows = frame.loc[:, list(columns)].drop_duplicates(key, keep="last")
        pairs = zip(rows[text[0]].fillna(""), rows[text[1]].fillna(""), strict=True)
        rows = rows.assign(text_hash=[content_hash(str(title), str(body)) for title, body in pairs])
        self._db.register("incoming", rows)
        known = f"SELECT count(*) FROM incoming SEMI JOIN {table} USING ({key}, text_hash)"  # noqa: S608
        unchanged: int = self._db.execute(known).fetchall()[0][0]
        names = _names((*columns, "text_hash"))
        self._db.execute(f"INSERT OR REPLACE INTO {table} ({names}) SELECT {names} FROM incoming")  # noqa: S608
        self._db.unregister("incoming")
        return len(rows) - unchanged

    def _delete(self, table: str, key: str, ids: list[str]) -> int:
        deleted = self._db.execute(
            f"DELETE FROM {table} WHERE {key} IN (SELECT unnest(?::VARCHAR[])) RETURNING {key}",  # noqa: S608
            [ids],
        ).fetchall()
        return len(deleted)


def _names(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{name}"' for name in columns)
