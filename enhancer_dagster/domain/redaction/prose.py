"""Secrets that people name in their sentences: "the new password for jdoe is …", "pw: …", "Kennwort: …".

A word that announces a secret is looked for, then words that lead to it in the rest of the clause, then what
stands behind them is judged: the looser the lead, the more a value has to look like a secret.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from re import Pattern

from enhancer_dagster.domain.redaction import vocabulary, words
from enhancer_dagster.domain.redaction.found import Found, Kind

_WINDOW = 120
"""Characters behind an announcement in which its secret is looked for."""

_GAP = re.compile(r"[ \t]*\n?[ \t]*")
_QUOTES = {
    '"': '"', "'": "'", "`": "`", "«": "»", "»": "«",
    "\u201c": "\u201d", "\u201e": "\u201c\u201d", "\u2018": "\u2019",
}  # fmt: skip
"""What closes a quotation, by what opens it."""

_VALUE = re.compile(r"\S{1,200}")
_TRAILING = ".,;:)]}>*\u201d\u201c\u2019\"'`"


@dataclass(frozen=True)
class _Announcement:
    """A word that announces a secret. `plain` secrets may be of letters or digits alone."""

    pattern: Pattern[str]
    kind: Kind
    plain: bool
    shortest: int


_ANNOUNCEMENTS = (
    _Announcement(vocabulary.PASSWORD, Kind.PASSWORD, plain=True, shortest=4),
    _Announcement(vocabulary.PIN, Kind.PASSWORD, plain=False, shortest=4),
    _Announcement(vocabulary.KEY, Kind.API_KEY, plain=False, shortest=8),
    _Announcement(vocabulary.TOKEN, Kind.TOKEN, plain=False, shortest=12),
)


def find_in_prose(text: str) -> Iterator[Found]:
    """Secrets that are announced by a word, or named after a user."""
    for announcement in _ANNOUNCEMENTS:
        said = list(announcement.pattern.finditer(text))
        for word, following in zip_longest(said, said[1:]):
            until = min(word.end() + _WINDOW, following.start() if following else len(text))
            for start, end in _announced(text, word.end(), until, announcement):
                yield Found(start, end, announcement.kind)
    for pattern in (vocabulary.VALUE_BEFORE, vocabulary.USER_AND_VALUE):
        for found in pattern.finditer(text):
            start, end = _stripped(text, *found.span("value"))
            value = text[start:end]
            if words.is_strong(value) or (
                pattern is vocabulary.USER_AND_VALUE and value == found.group("user")
            ):
                yield Found(start, end, Kind.PASSWORD)


def _announced(text: str, position: int, until: int, by: _Announcement) -> Iterator[tuple[int, int]]:
    """Where the values stand that an announcement is followed by, before the next one."""
    window = text[position:until]
    adjacent = _value_at(text, position)
    if adjacent and _is_adjacent_value(text, position, *adjacent, by):
        yield adjacent
        return
    if vocabulary.OTHER_THING.match(window):
        return
    for lead in vocabulary.LEAD.finditer(window):
        before = window[: lead.start()]
        direct = vocabulary.DIRECT.fullmatch(before) is not None
        if (
            not direct
            and vocabulary.CLAUSE_BREAK.search(before)
            and not vocabulary.NOW_IT_IS.fullmatch(window[: lead.end()])
        ):
            return
        value = _value_at(text, position + lead.end())
        if value and _is_value(text, *value, by, lead.group().casefold(), direct=direct):
            yield value


def _is_adjacent_value(text: str, position: int, start: int, end: int, by: _Announcement) -> bool:
    """Whether what stands right behind the announcement, without a lead, is a secret."""
    value = text[start:end]
    if not text[position].isspace() or ("\n" in text[position:start] and not by.plain):
        return False
    if by.pattern is vocabulary.PIN:
        return words.is_number(value) and len(value) <= 8 and not words.counts_something(text, end)
    quoted = text[start - 1] in _QUOTES
    strong = words.is_strong(value, shortest=max(6, by.shortest))
    return (
        strong
        or (by.plain and words.is_name_with_number(value))
        or (quoted and by.plain and not words.is_prose(value) and len(value) >= by.shortest)
    )


def _is_value(text: str, start: int, end: int, by: _Announcement, lead: str, *, direct: bool) -> bool:
    """Whether what stands behind a lead is a secret."""
    value = text[start:end]
    if words.is_no_value(value):
        return False
    if by.pattern is vocabulary.PIN:
        return words.is_number(value) and len(value) <= 10 and not words.counts_something(text, end)
    explicit = direct and lead[0] in ":="
    if text[start - 1] in _QUOTES and not words.is_prose(value) and len(value) >= by.shortest:
        return True
    if words.is_mixed(value, shortest=by.shortest if explicit else max(5, by.shortest)):
        named = explicit or lead in vocabulary.SAYS or (direct and lead in vocabulary.STAYS)
        return named or words.is_strong(value, shortest=5) or words.is_name_with_number(value)
    if not by.plain:
        return explicit and len(value) >= 20 and not words.is_prose(value)
    if words.is_number(value):
        return (explicit or lead in vocabulary.SAYS) and not words.counts_something(text, end)
    says = explicit or lead in vocabulary.SAYS
    return says and words.is_plain_word(value) and not words.is_prose(value) and words.ends_clause(text, end)


def _value_at(text: str, position: int) -> tuple[int, int] | None:
    """The word, or what stands between quotes, after some space; on the next line only a word alone on it."""
    gap = _GAP.match(text, position)
    start = gap.end() if gap else position
    while start < len(text) and text[start] in "*_(<" and start - position < 6:
        start += 1
    if start < len(text) and text[start] in _QUOTES:
        closing = _QUOTES[text[start]]
        for end in range(start + 2, min(start + 100, len(text))):
            if text[end] == "\n":
                break
            if text[end] in closing:
                return start + 1, end
        start += 1
    word = _VALUE.match(text, start)
    if word is None:
        return None
    start, end = _stripped(text, start, word.end())
    if "\n" in text[position:start] and text[end : end + 1].strip(" \t") and not text[end:].startswith("\n"):
        return None
    return (start, end) if end > start else None


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    while end > start and text[end - 1] in _TRAILING:
        end -= 1
    return start, end
