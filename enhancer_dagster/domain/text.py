"""Ticket text as people see it: HTML to plain text, safe to store, and hashed to notice a change."""

import hashlib
import re
import unicodedata

from selectolax.lexbor import LexborHTMLParser

_BLOCKS = "p,div,li,tr,h1,h2,h3,h4,h5,h6,table,ul,ol,pre,blockquote,section,article,hr"
_INVISIBLE = "script,style,template,noscript,head,iframe,object,svg"
_TAG = re.compile(r"<[a-zA-Z!/][^>]*>|&(?:#\d+|#x[0-9a-fA-F]+|[a-zA-Z]+);")
_SPACES = re.compile(r"[^\S\n]+")
_BLANK_LINES = re.compile(r"\s*\n\s*")


def storable(text: str) -> str:
    """`text` without what PostgreSQL and UTF-8 refuse: NUL and lone surrogates (each becomes U+FFFD)."""
    return text.replace("\x00", "\ufffd").encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def looks_like_html(text: str) -> bool:
    """Whether `text` holds at least one tag or character reference."""
    return _TAG.search(text) is not None


def html_to_text(html: str) -> str:
    """The visible text of `html`, one line a block, without scripts and styles; plain text passes as is."""
    html = storable(html)
    if not looks_like_html(html):
        return _tidy(html)
    tree = LexborHTMLParser(html)
    for node in tree.css(_INVISIBLE):
        node.decompose()
    for node in tree.css(_BLOCKS):
        node.insert_before("\n")
        node.insert_after("\n")
    for node in tree.css("br"):
        node.replace_with("\n")
    return _tidy(tree.body.text() if tree.body else "")


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


def _tidy(text: str) -> str:
    return _BLANK_LINES.sub("\n", _SPACES.sub(" ", text)).strip()
