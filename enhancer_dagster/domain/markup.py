"""HTML as a flat run of tokens with their places in the source, in time linear in its length.

Two things need it. Replacing our section must leave every other byte of a description as it is, and no
parser at hand says where an element stood. And descriptions are hostile: tree builders take time quadratic
in the nesting depth (200,000 nested `<div>`, 1 MB: lexbor 264 s). Follows the tokenizer of the HTML
Standard, section 13.2.5, as far as visible text depends on it.
"""

import html
import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

# fmt: off
BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog",
    "div", "dl", "dt", "fieldset", "figcaption", "figure", "footer", "form", "h1", "h2", "h3", "h4", "h5",
    "h6", "head", "header", "hr", "html", "legend", "li", "main", "nav", "ol", "p", "pre", "section",
    "summary", "table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul",
})
# fmt: on
"""Elements that start a new line on the screen."""

_RAW_TEXT = frozenset({"script", "style", "iframe", "noembed", "noframes", "textarea", "title", "xmp"})
_SHOWN_RAW_TEXT = frozenset({"textarea", "xmp"})
_VOID = frozenset(
    {"area", "base", "col", "embed", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)

_TAG = re.compile(
    r"""<(?P<slash>/?)(?P<name>[a-zA-Z][^ \t\n\f\r/>]*+)
    (?: [ \t\n\f\r/]++
      | (?: =[^ \t\n\f\r/>=]*+ | [^ \t\n\f\r/>=]++ )
        (?: [ \t\n\f\r]*+ = [ \t\n\f\r]*+
            (?: "[^"]*+(?:"|\Z) | '[^']*+(?:'|\Z) | (?=>) | [^ \t\n\f\r>"'][^ \t\n\f\r>]*+ )
        )?+
    )*+ >""",
    re.VERBOSE,
)
_MARKUP = re.compile(r"<(?:/?(?P<tag>[a-zA-Z])|[!?]|/[^a-zA-Z])")
_COMMENT_END = re.compile(r"--!?>")


class Kind(Enum):
    """What a token is."""

    TEXT = auto()
    OPEN = auto()
    CLOSE = auto()
    VOID = auto()
    BREAK = auto()
    RULE = auto()
    HIDDEN = auto()
    CUT = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the source.

    Attributes:
        kind: BREAK is `<br>`, or a line's end where line ends count; HIDDEN is a comment or the text of an
            element that is not shown; CUT is markup that the end of the source leaves open.
        start: Offset of its first character.
        end: Offset after its last one.
        name: The element, in lower case; of text only where it may not hold markup (`<textarea>`).
    """

    kind: Kind
    start: int
    end: int
    name: str = ""

    @property
    def is_boundary(self) -> bool:
        """Whether a new line starts here on the screen."""
        return self.kind in (Kind.BREAK, Kind.RULE) or self.name in BLOCKS

    @property
    def is_shown(self) -> bool:
        """Whether a reader sees its text."""
        return self.kind is Kind.TEXT or (self.kind is Kind.CUT and self.name in _SHOWN_RAW_TEXT)

    def shown(self, source: str) -> str:
        """The characters that a reader sees, where the source is HTML."""
        text = source[self.start : self.end]
        return html.unescape(text) if "&" in text else text


def tokenize(source: str) -> Iterator[Token]:
    """The tokens of an HTML source, in order and without gaps."""
    position = 0
    in_pre = 0
    while position < len(source):
        for token in _next_tokens(source, position):
            position = token.end
            if token.kind is Kind.TEXT and in_pre and not token.name:
                yield from split_lines(source, token.start, token.end)
                continue
            if token.name == "pre":
                in_pre = max(0, in_pre + (1 if token.kind is Kind.OPEN else -1))
            yield token


def split_lines(source: str, start: int = 0, end: int | None = None) -> Iterator[Token]:
    """The tokens of text whose line ends count: plain text, or a part of a source."""
    end = len(source) if end is None else end
    while start < end:
        newline = source.find("\n", start, end)
        if newline < 0:
            yield Token(Kind.TEXT, start, end)
            return
        if newline > start:
            yield Token(Kind.TEXT, start, newline)
        yield Token(Kind.BREAK, newline, newline + 1)
        start = newline + 1


def closer(source: str) -> str:
    """What must follow `source` so that markup after it is read as markup; mostly nothing."""
    added = ""
    for _ in range(3):
        last = _last_token(source + added)
        if last is None or last.kind is not Kind.CUT:
            return added
        added += _closing(source + added, last)
    return added


def _closing(source: str, cut: Token) -> str:
    endings = (">", '">', "'>", "-->", f"</{cut.name}>")
    for ending in endings:
        last = _last_token(source[cut.start :] + ending, cut.name)
        if last is not None and last.kind is not Kind.CUT:
            return ending
    return endings[1]


def _last_token(source: str, raw_text_of: str = "") -> Token | None:
    source = f"<{raw_text_of}>{source}" if raw_text_of else source
    return next(iter(deque(tokenize(source), maxlen=1)), None)


def _next_tokens(source: str, start: int) -> Iterator[Token]:
    markup = _MARKUP.search(source, start)
    if markup is None:
        yield Token(Kind.TEXT, start, len(source))
        return
    if markup.start() > start:
        yield Token(Kind.TEXT, start, markup.start())
    start = markup.start()
    if not markup.group("tag"):
        yield _comment(source, start)
        return
    tag = _TAG.match(source, start)
    if tag is None:
        yield Token(Kind.CUT, start, len(source))
        return
    name = tag.group("name").lower()
    token = Token(_tag_kind(name, bool(tag.group("slash"))), start, tag.end(), name)
    yield token
    if token.kind is Kind.OPEN and name in _RAW_TEXT:
        yield from _raw_text(source, tag.end(), name)


def _tag_kind(name: str, is_end: bool) -> Kind:
    if name == "br":
        return Kind.BREAK
    if name == "hr":
        return Kind.RULE
    if name in _VOID:
        return Kind.VOID
    return Kind.CLOSE if is_end else Kind.OPEN


def _comment(source: str, start: int) -> Token:
    if not source.startswith("<!--", start):
        end = source.find(">", start) + 1
    elif source.startswith((">", "->"), start + 4):
        end = source.index(">", start) + 1
    else:
        closing = _COMMENT_END.search(source, start + 4)
        end = closing.end() if closing else 0
    return Token(Kind.HIDDEN, start, end) if end else Token(Kind.CUT, start, len(source))


def _raw_text(source: str, start: int, name: str) -> Iterator[Token]:
    end = _end_tag(name).search(source, start)
    if end is None:
        yield Token(Kind.CUT, start, len(source), name)
    elif end.start() > start:
        yield Token(Kind.TEXT if name in _SHOWN_RAW_TEXT else Kind.HIDDEN, start, end.start(), name)


@lru_cache(maxsize=32)
def _end_tag(name: str) -> re.Pattern[str]:
    return re.compile(rf"</{re.escape(name)}(?=[ \t\n\f\r/>])", re.IGNORECASE)
