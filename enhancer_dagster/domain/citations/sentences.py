"""One line of markdown cut into sentences, so that each can be held against its sources."""

import re

CITATION = r"\[(?:TKT|KB|IP|HOST)-[\w.:-]+\]"
"""A citation in the one form that `ids` leaves."""

STOPS = ".!?\u2026"
WIDE_STOPS = "\u3002\uff01\uff1f"
CLOSERS = "\"'\u201d\u2019\u00bb\uff09)*_~"
"""What may stand between a full stop and the next sentence."""

_NOT_PROSE = re.compile(
    r"(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)|(?<=\])\([^)\s]*\)|\b\w+://\S*[^\s.,;:!?)*_]"
)
_STOP = re.compile(rf"[{STOPS}]+[{CLOSERS}]*(?=\s|$|{CITATION})|[{WIDE_STOPS}]+[{CLOSERS}]*")
_CITATIONS_AFTER = re.compile(rf"(?:\s*{CITATION})+(?:[*_~]*[.!?]+(?=\s|$)|(?=\s*$|\s+[^\sa-z]))")
_ABBREVIATION = re.compile(
    r"\b(?:e\.g|i\.e|vs|cf|dr|mr|mrs|ms|st|z\.b|d\.h|u\.a|bzw|approx|incl|excl|resp)$", re.I
)
_BEFORE_NUMBER = re.compile(r"\b(?:no|nr|ver|v|ext|sec|min|max|fig|p|pp|tel|ca)$", re.IGNORECASE)
_NUMBERING = re.compile(r"\(?[0-9]{1,2}")
_LONGEST_ABBREVIATION = 10


def split_sentences(line: str) -> list[str]:
    """The sentences of `line`, in order.

    A full stop within a word (addresses, versions, file names), after an abbreviation or in code ends
    none. A citation that follows a full stop belongs to the sentence before it.

    Args:
        line: Inline markdown, citations in the form `CITATION`.
    """
    masked = _NOT_PROSE.sub(lambda found: "x" * len(found.group()), line)
    sentences: list[str] = []
    start = 0
    for stop in _STOP.finditer(masked):
        if stop.start() < start or _goes_on(masked, start, stop):
            continue
        after = _CITATIONS_AFTER.match(masked, stop.end())
        end = after.end() if after else stop.end()
        sentences.append(line[start:end].strip())
        start = end
    sentences.append(line[start:].strip())
    return _with_fragments_joined(sentences)


def has_words(sentence: str) -> bool:
    """Whether it says anything beside its citations."""
    return re.search(r"\w", re.sub(CITATION, "", sentence)) is not None


def _goes_on(text: str, start: int, stop: re.Match[str]) -> bool:
    """Whether the sentence goes on behind this stop."""
    if not stop.group().startswith((".", "\u2026")):
        return False
    before = text[max(start, stop.start() - _LONGEST_ABBREVIATION) : stop.start()]
    after = text[stop.end() : stop.end() + 2].lstrip()
    if stop.group().startswith(("..", "\u2026")) or before.lower().endswith("etc"):
        return after.islower()
    if _ABBREVIATION.search(before):
        return bool(after)
    if _BEFORE_NUMBER.search(before):
        return after.isdigit()
    # "1." at the start of a sentence is its number, at its end it is part of it.
    is_first = text[start : stop.start()].lstrip() == before.lstrip()
    return is_first and _NUMBERING.fullmatch(before.strip()) is not None and bool(after)


def _with_fragments_joined(sentences: list[str]) -> list[str]:
    """Citations and punctuation that stand alone go to the sentence that follows them."""
    joined: list[str] = []
    pending = ""
    for sentence in sentences:
        whole = f"{pending} {sentence}".strip()
        if has_words(sentence):
            joined.append(whole)
            pending = ""
        else:
            pending = whole
    if pending and joined:
        joined[-1] = f"{joined[-1]} {pending}"
    return joined
