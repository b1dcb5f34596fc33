"""What a simulated service desk starts with: the sample desk that ships with it, or a user's own tickets.

Sample files are JSON lines in `simulator/sample`; times are ISO 8601 with a zone.
"""

import gzip
import html
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, TypeVar

from enhancer_dagster.domain.text import html_to_text, looks_like_html, shorten, storable
from enhancer_dagster.simulator.answers import Json
from enhancer_dagster.simulator.records import Asset

Row = TypeVar("Row")

SUBJECT_LENGTH = 80


class SeedError(ValueError):
    """A file of tickets cannot be read; the message names the line."""


@dataclass(frozen=True, slots=True)
class ResolvedTicket:
    """A ticket of the past; times are epoch milliseconds."""

    source_id: str
    subject: str
    description: str
    resolution: str
    priority: str
    group: str
    site: str
    status: str
    created: int
    resolved: int


@dataclass(frozen=True, slots=True)
class SampleArticle:
    """An article of the knowledge base."""

    source_id: str
    title: str
    content: str
    topic: str


@dataclass(frozen=True, slots=True)
class NewTicket:
    """A ticket that is held back until it is asked for.

    Attributes:
        source_id: Its id in the file.
        expected_ticket: The resolved ticket that a person would think of.
        expected_article: The article that a person would think of.
    """

    source_id: str
    subject: str
    description: str
    priority: str = "Medium"
    group: str = ""
    site: str = ""
    expected_ticket: str | None = None
    expected_article: str | None = None


@dataclass(frozen=True, slots=True)
class Seed:
    """A service desk's beginnings."""

    resolved: tuple[ResolvedTicket, ...] = ()
    articles: tuple[SampleArticle, ...] = ()
    assets: tuple[Asset, ...] = ()
    new: tuple[NewTicket, ...] = ()


def sample_seed(folder: Traversable | None = None) -> Seed:
    """The sample service desk.

    Args:
        folder: Where its four files are; None: in the package.

    Raises:
        SeedError: A line is not of its form.
    """
    folder = resources.files("enhancer_dagster.simulator") / "sample" if folder is None else folder
    return Seed(
        resolved=_rows(folder / "resolved_tickets.jsonl", _resolved),
        articles=_rows(folder / "articles.jsonl", _article),
        assets=_rows(folder / "assets.jsonl", _asset),
        new=_rows(folder / "new_tickets.jsonl", _new),
    )


def tickets_of_file(path: Path) -> tuple[NewTicket, ...]:
    """A user's own tickets: `{id, text}` or `{id, subject, description}` a line, `.gz` or not.

    Raises:
        SeedError: The file cannot be read, or a line is not of this form.
    """
    try:
        with (
            gzip.open(path, "rt", encoding="utf-8")
            if path.suffix == ".gz"
            else path.open(encoding="utf-8") as lines
        ):
            return tuple(_parsed(lines, _own, path.name))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SeedError(f"{path}: {error}") from error


def as_html(text: str) -> str:
    """Text as SDP keeps it: HTML as it is, plain text with a break for each line."""
    return storable(text) if looks_like_html(text) else _escaped(text)


def _escaped(text: str) -> str:
    return html.escape(storable(text), quote=False).replace("\n", "<br>")


def _rows(file: Traversable, read: Callable[[Json], Row]) -> tuple[Row, ...]:
    with file.open("r", encoding="utf-8") as lines:
        return tuple(_parsed(lines, read, file.name))


def _parsed(lines: Iterable[str], read: Callable[[Json], Row], name: str) -> Iterator[Row]:
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError("not an object")
            yield read(row)
        except KeyError as error:
            raise SeedError(f"{name}, line {number}: no {error.args[0]!r}") from error
        except (TypeError, ValueError) as error:
            raise SeedError(f"{name}, line {number}: {error}") from error


def _milliseconds(moment: str) -> int:
    return round(datetime.fromisoformat(moment).timestamp() * 1000)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"not text: {value!r}")
    return value


def _resolved(row: Json) -> ResolvedTicket:
    return ResolvedTicket(
        source_id=str(row["id"]),
        subject=_text(row["subject"]),
        description=as_html(_text(row["description"])),
        resolution=as_html(_text(row["resolution"])),
        priority=row["priority"],
        group=row["group"],
        site=row["site"],
        status=row["status"],
        created=_milliseconds(row["created_at"]),
        resolved=_milliseconds(row["resolved_at"]),
    )


def _article(row: Json) -> SampleArticle:
    return SampleArticle(str(row["id"]), _text(row["title"]), as_html(_text(row["content"])), row["topic"])


def _asset(row: Json) -> Asset:
    seen = row["last_seen"]
    return Asset(
        asset_id=str(row["id"]),
        name=_text(row["name"]),
        hostnames=tuple(row["hostnames"]),
        addresses=tuple(row["addresses"]),
        role=row["role"],
        state=row["state"],
        site=row["site"],
        product_type=row["product_type"],
        last_seen=None if seen is None else _milliseconds(seen),
    )


def _new(row: Json) -> NewTicket:
    return NewTicket(
        source_id=str(row["id"]),
        subject=_text(row["subject"]),
        description=as_html(_text(row["description"])),
        priority=row["priority"],
        group=row["group"],
        site=row["site"],
        expected_ticket=row.get("expected_ticket"),
        expected_article=row.get("expected_article"),
    )


def _own(row: Json) -> NewTicket:
    description = _escaped(_text(row["text"])) if "text" in row else as_html(_text(row["description"]))
    subject = _text(row.get("subject") or html_to_text(description) or "(no subject)")
    return NewTicket(
        source_id=str(row["id"]),
        subject=shorten(subject, SUBJECT_LENGTH),
        description=description,
        priority=row.get("priority") or "Medium",
    )
