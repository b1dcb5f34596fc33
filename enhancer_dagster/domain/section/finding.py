"""Finding sections in a description that ServiceDesk Plus, or a person, has changed since.

What the service desk's sanitiser leaves differs from what we sent: attributes and comments go, entities and
white space change, paragraphs become `<div>`. So a section is found by its lines on the screen alone: the
heading nearest before a footer begins it. A heading in user text without a footer of its own before ours
thus swallows nothing.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from enhancer_dagster.domain.markup import Kind, Token, split_lines, tokenize
from enhancer_dagster.domain.section.marks import footer_id, is_heading, is_mark, is_rule
from enhancer_dagster.domain.text import looks_like_html

_MARK_WORD = re.compile("enhancement|generated", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class FoundSection:
    """A section, or a look-alike: only its correlation id tells.

    Attributes:
        start: Offset of its first character in the description, the rule before the heading included.
        end: Offset after its last one.
        unclosed: Start tags inside whose end tags stand after it, in order.
        unopened: End tags inside whose start tags stand before it.
    """

    correlation_id: UUID
    start: int
    end: int
    unclosed: str = ""
    unopened: str = ""


@dataclass(frozen=True, slots=True)
class _Read:
    """A description with its tokens and lines."""

    source: str
    tokens: Sequence[Token]
    lines: Sequence["_Line"]

    @classmethod
    def of(cls, source: str) -> "_Read":
        is_html = looks_like_html(source)
        tokens = list(_html_tokens(source) if is_html else split_lines(source))
        return cls(source, tokens, _lines(source, tokens, is_html))

    def is_blank(self, index: int) -> bool:
        token = self.tokens[index]
        if token.kind in (Kind.HIDDEN, Kind.BREAK):
            return True
        return token.kind is Kind.TEXT and not token.shown(self.source).strip()

    def neighbour(self, index: int, step: int) -> Token | None:
        """The next token before or after that is more than white space."""
        index = self.neighbour_index(index, step)
        return self.tokens[index] if 0 <= index < len(self.tokens) else None

    def neighbour_index(self, index: int, step: int) -> int:
        index += step
        while 0 <= index < len(self.tokens) and self.is_blank(index):
            index += step
        return index


@dataclass(frozen=True, slots=True)
class _Line:
    """A line on the screen, as the indices of its first and last token with text."""

    text: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class _Pair:
    """A heading and the footer that belongs to it."""

    heading: _Line
    footer: _Line
    correlation_id: UUID
    has_more: bool


def find_sections(description: str) -> list[FoundSection]:
    """Everything in a description that has a section's heading and footer, in order.

    Args:
        description: HTML or plain text.
    """
    text = _Read.of(description)
    return [_section(text, pair) for pair in _nearest_pairs(text.lines)]


def find_removable(description: str, is_ours: Callable[[UUID], bool]) -> list[FoundSection]:
    """What must go from a description so that no section of ours is left, in order.

    Where taking out one section would bring a heading before it and a footer behind it together, and those
    make another section of ours, all of that is one find. The last section is left out of this: what people
    wrote between marks that somebody copied around our section stays.
    """
    text = _Read.of(description)
    ours = [pair for pair in _nearest_pairs(text.lines) if is_ours(pair.correlation_id)]
    return [_section(text, pair) for pair in _enclosing_pairs(text.lines, is_ours, ours[-1:])]


def find_nested(description: str) -> list[FoundSection]:
    """As `find_sections`, but a section that holds others is one with them, as if marks were brackets."""
    text = _Read.of(description)
    return [_section(text, pair) for pair in _enclosing_pairs(text.lines, lambda _: True, ())]


def _nearest_pairs(lines: Iterable[_Line]) -> Iterator[_Pair]:
    heading: _Line | None = None
    for line in lines:
        if is_heading(line.text):
            heading = line
        elif mark := footer_id(line.text):
            if heading is not None:
                yield _Pair(heading, line, *mark)
            heading = None


def _enclosing_pairs(
    lines: Iterable[_Line], is_meant: Callable[[UUID], bool], not_enclosed: Container[_Pair]
) -> list[_Pair]:
    headings: list[_Line] = []
    pairs: list[_Pair] = []
    for line in lines:
        if is_heading(line.text):
            headings.append(line)
        elif headings and (mark := footer_id(line.text)):
            pair = _Pair(headings.pop(), line, *mark)
            if is_meant(pair.correlation_id):
                while pairs and pairs[-1].heading.first > pair.heading.first:
                    pairs.pop()
                pairs.append(pair)
            if pair in not_enclosed or not is_meant(pair.correlation_id):
                headings.clear()
    return pairs


def _html_tokens(source: str) -> Iterator[Token]:
    for token in tokenize(source):
        if token.kind is Kind.TEXT and not token.name and _holds_mark_line(source[token.start : token.end]):
            # The markdown form, pasted: its line ends count although HTML shows them as spaces.
            yield from split_lines(source, token.start, token.end)
        else:
            yield token


def _holds_mark_line(text: str) -> bool:
    return "\n" in text and _MARK_WORD.search(text) is not None and any(map(is_mark, text.split("\n")))


def _lines(source: str, tokens: Sequence[Token], is_html: bool) -> list[_Line]:
    lines: list[_Line] = []
    parts: list[str] = []
    first = last = 0
    for index, token in enumerate(tokens):
        if token.is_shown:
            text = token.shown(source) if is_html else source[token.start : token.end]
            if text.strip():
                first, last = (index if not parts else first), index
            if text.strip() or parts:
                parts.append(text)
        elif token.is_boundary and parts:
            lines.append(_Line("".join(parts), first, last))
            parts = []
    if parts:
        lines.append(_Line("".join(parts), first, last))
    return lines


def _section(text: _Read, pair: _Pair) -> FoundSection:
    first = _before_rule(text, _unwrapped(text, pair.heading)[0])
    last = pair.footer.last if pair.has_more else _unwrapped(text, pair.footer)[1]
    end = text.tokens[last].end
    if pair.has_more:
        end = _end_of_id(text.source, text.tokens[pair.footer.first].start, end, pair.correlation_id)
    inside = [token for token in text.tokens[first : last + 1] if token.end <= end]
    return FoundSection(pair.correlation_id, text.tokens[first].start, end, *_unbalanced(text.source, inside))


def _unwrapped(text: _Read, line: _Line) -> tuple[int, int]:
    """The token range of a line with the elements around it that hold nothing else."""
    first, last = line.first, line.last
    while True:
        opening, closing = text.neighbour(first, -1), text.neighbour(last, +1)
        if opening is None or closing is None or opening.name != closing.name:
            return first, last
        if opening.kind is not Kind.OPEN or closing.kind is not Kind.CLOSE:
            return first, last
        first, last = text.neighbour_index(first, -1), text.neighbour_index(last, +1)


def _before_rule(text: _Read, first: int) -> int:
    """The index of the rule before a heading, where nothing to be read stands between the two."""
    for index in range(first - 1, -1, -1):
        token = text.tokens[index]
        if token.kind is Kind.RULE:
            return index
        if token.is_shown and not text.is_blank(index):
            return index if is_rule(text.source[token.start : token.end]) else first
    return first


def _end_of_id(source: str, start: int, end: int, correlation_id: UUID) -> int:
    found = re.compile(str(correlation_id), re.IGNORECASE).search(source, start, end)
    return found.end() if found else end


def _unbalanced(source: str, tokens: Iterable[Token]) -> tuple[str, str]:
    opened: defaultdict[str, list[Token]] = defaultdict(list)
    unopened: list[Token] = []
    for token in tokens:
        if token.kind is Kind.OPEN:
            opened[token.name].append(token)
        elif token.kind is Kind.CLOSE and opened[token.name]:
            opened[token.name].pop()
        elif token.kind is Kind.CLOSE:
            unopened.append(token)
    unclosed = sorted((t for stack in opened.values() for t in stack), key=lambda token: token.start)
    return "".join(source[t.start : t.end] for t in unclosed), "".join(
        source[t.start : t.end] for t in unopened
    )
