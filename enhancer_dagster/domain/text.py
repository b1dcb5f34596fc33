"""Ticket text as people see it: HTML to plain text, safe to store, and hashed to notice a change."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterator

from enhancer_dagster.domain.markup import Kind, tokenize

_CELLS = frozenset({"td", "th"})
_NOT_SHOWN = frozenset({"template", "noscript", "object", "svg"})
_TAG_START = re.compile(r"<[a-zA-Z!/]")
_REFERENCE = re.compile(r"&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]+);")
_HREF = re.compile(r"""\shref\s*=\s*["']?\s*(?P<address>https?://[^\s"'<>()]{1,500})""", re.IGNORECASE)
_SPACES = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\s*\n\s*")
_LINE_ENDS = re.compile("\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_HIDDEN = re.compile(
    "[\x00-\x08\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\U000e0000-\U000e0fff]"
    # Joiners shape Persian and Indic words, and emoji; between ASCII letters they only hide something.
    "|(?<=[!-~])[\u200c\u200d]+(?=[!-~])"
)


def storable(text: str) -> str:
    """`text` without what PostgreSQL and UTF-8 refuse: NUL and lone surrogates (each becomes U+FFFD)."""
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def without_hidden(text: str) -> str:
    """`text` without characters that show nothing: controls, zero widths, changes of direction, tags.

    They hide instructions from people and split words that a filter looks for. Line ends become newlines.
    """
    return _HIDDEN.sub("", _LINE_ENDS.sub("\n", text))


def looks_like_html(text: str) -> bool:
    """Whether `text` holds at least one tag or character reference."""
    tag = _TAG_START.search(text)
    return (tag is not None and ">" in text[tag.end() :]) or _REFERENCE.search(text) is not None


def html_to_text(html: str, *, with_addresses: bool = False) -> str:
    """The visible text of `html`, one line a block, without scripts and styles; plain text passes as is.

    Args:
        html: HTML or plain text, from anyone.
        with_addresses: Name the http(s) address of each link behind its label, in brackets.
    """
    html = storable(html)
    if not looks_like_html(html):
        return _tidy(html)
    return _tidy("".join(_shown_parts(html, with_addresses=with_addresses)))


def content_hash(subject: str, description_text: str) -> str:
    """What a ticket says, as 64 hex digits; white space and Unicode form do not count.

    Args:
        subject: The ticket's subject.
        description_text: Its description as text, without our section.
    """
    said = "\x00".join(" ".join(_normal(part).split()) for part in (subject, description_text))
    return hashlib.sha256(said.encode()).hexdigest()


def shorten(text: str, limit: int) -> str:
    """`text` on one line, cut at a word so that it has at most `limit` characters."""
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    return line[: limit - 1].rsplit(" ", 1)[0].rstrip(",;:.") + "…"


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", storable(text))


def _address(tag: str) -> str:
    found = _HREF.search(tag)
    return found.group("address") if found else ""


def _tidy(text: str) -> str:
    return _BLANK_LINES.sub("\n", _SPACES.sub(" ", text)).strip()


def _shown_parts(html: str, *, with_addresses: bool) -> Iterator[str]:
    tokens = list(tokenize(html))
    ends_left = Counter(t.name for t in tokens if t.kind is Kind.CLOSE and t.name in _NOT_SHOWN)
    inside = address = ""
    for token in tokens:
        if with_addresses and token.name == "a" and not inside:
            yield f" ({address})" if address else ""
            address = _address(token.shown(html)) if token.kind is Kind.OPEN else ""
        if token.kind is Kind.OPEN and not inside and ends_left[token.name]:
            inside = token.name
        elif token.kind is Kind.CLOSE and token.name in ends_left:
            ends_left[token.name] -= 1
            inside = "" if token.name == inside else inside
        elif inside:
            continue
        elif token.is_shown:
            yield token.shown(html)
        elif token.is_boundary:
            yield " " if token.name in _CELLS else "\n"
