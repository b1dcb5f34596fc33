"""Putting a section into a description and taking it out, with every other character left as it is."""

from collections.abc import Callable, Sequence
from html import escape
from uuid import UUID

from enhancer_dagster.domain.markup import closer
from enhancer_dagster.domain.section.finding import FoundSection, find_nested, find_removable
from enhancer_dagster.domain.text import looks_like_html


def append_section(description: str, section_html: str) -> str:
    """`description` as HTML with the section at its end.

    Args:
        description: HTML, kept byte for byte (markup that it leaves open is closed), or plain text, of
            which line ends and special characters are encoded.
        section_html: From `render_section`.
    """
    html = _as_html(description)
    if html.endswith("</"):
        # Text as long as nothing follows it, markup as soon as something does.
        html = html.removesuffix("</") + "&lt;/"
    return f"{html}{closer(html)}{section_html}"


def replace_sections(description: str, section_html: str, is_ours: Callable[[UUID], bool]) -> str:
    """`description` with this section as its only one of ours.

    It takes the place of the last section of ours, wherever that stands; others of ours go, and where
    there is none it is appended. Look-alikes and all other text stay.

    Args:
        description: HTML or plain text.
        section_html: From `render_section`.
        is_ours: Whether a correlation id belongs to this ticket.
    """
    cut = find_removable(description, is_ours)
    if not cut:
        return append_section(description, section_html)
    pieces = _between(description, cut)
    if not looks_like_html(description):
        pieces = [_as_html(piece) for piece in pieces]
    return _joined(pieces, cut, section_html)


def strip_sections(description: str, is_ours: Callable[[UUID], bool] | None = None) -> str:
    """`description` without sections.

    Args:
        description: HTML or plain text; the answer is of the same kind.
        is_ours: Takes out only those that are ours, as for the hash that tells whether people changed a
            ticket. None takes out all that look like one, nested ones too, as for everything that is
            indexed, searched with or put into a prompt: what a model wrote must never become evidence.
    """
    cut = find_removable(description, is_ours) if is_ours else find_nested(description)
    left = _joined(_between(description, cut), cut)
    return _still_html(left) if cut and looks_like_html(description) else left


def _joined(pieces: Sequence[str], cut: Sequence[FoundSection], last: str = "") -> str:
    """`pieces` without the sections between them, but for `last` in place of the last one."""
    joined, *others = pieces
    for found, piece in zip(cut, others, strict=True):
        gap = "\n" if joined and piece else ""
        between = last if last and found is cut[-1] else gap
        joined += f"{found.unopened}{between}{found.unclosed}{piece}"
    return joined


def _still_html(html: str) -> str:
    """`html`, read as such even where its last complete tag went with a section."""
    if looks_like_html(html) or not ("<" in html or "&" in html):
        return html
    return f"{html}{closer(html)}<br>"


def _between(description: str, cut: Sequence[FoundSection]) -> list[str]:
    starts = [0, *(found.end for found in cut)]
    ends = [*(found.start for found in cut), len(description)]
    return [description[start:end] for start, end in zip(starts, ends, strict=True)]


def _as_html(description: str) -> str:
    if looks_like_html(description):
        return description
    lines = description.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return "<br>".join(escape(line, quote=False) for line in lines)
