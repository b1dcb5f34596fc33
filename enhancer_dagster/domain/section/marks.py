"""The marks that begin and end a section, as they are written and as they are recognised."""

import re
from datetime import UTC, datetime
from uuid import UUID

from enhancer_dagster.domain.text import without_hidden

HEADING = "Enhancement Recommendations"
HEADING_WITHOUT_AI = "Enhancement Context (Generated Without AI)"

_HEADINGS = frozenset(heading.casefold() for heading in (HEADING, HEADING_WITHOUT_AI))
_FOOTER = re.compile(
    r"Generated ?: ?\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC ?\| ?Correlation ID ?: ?"
    r"(?P<id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?!\w)(?P<rest>.*)",
    re.IGNORECASE,
)
_DECORATION = "#>*_-=+~`|\\ \t"
_RULE = re.compile(r"[-*_]{3,}")


def footer(correlation_id: UUID, generated_at: datetime) -> str:
    """The line that ends a section."""
    return (
        f"Generated: {generated_at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC | Correlation ID: {correlation_id}"
    )


def is_heading(line: str) -> bool:
    """Whether a line on the screen is the heading of a section, as text or as markdown."""
    return _plain(line).rstrip(_DECORATION + ":").casefold() in _HEADINGS


def footer_id(line: str) -> tuple[UUID, bool] | None:
    """The correlation id of a footer line, and whether more follows it; None for any other line."""
    found = _FOOTER.match(_plain(line))
    if found is None:
        return None
    rest = found.group("rest").strip(_DECORATION)
    return UUID(found.group("id")), bool(rest) and _FOOTER.search(rest) is None


def is_rule(line: str) -> bool:
    """Whether a line is a markdown rule."""
    return _RULE.fullmatch(line.strip()) is not None


def is_mark(line: str) -> bool:
    """Whether a line could be taken for the beginning or the end of a section."""
    return is_heading(line) or footer_id(line) is not None


def _plain(line: str) -> str:
    """`line` as it is compared: no hidden characters, single spaces, no markdown in front."""
    return " ".join(without_hidden(line).split()).lstrip(_DECORATION)
