"""Text to the words that BM25 counts: lower case, stop words out, stemmed; identifiers also kept whole."""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from threading import Lock

import numpy as np
import Stemmer
from numpy.typing import NDArray

LONGEST_TEXT = 200_000
"""Characters of a text that are read; what is longer than this is a pasted log."""

_WORD = re.compile(r"\b\w\w+\b")
# Host names, versions, paths, error codes: 2.53.8, addons.example.net, packed_simd_2, C:\temp\x.log
# Possessive, so that a megabyte without a separator is read once.
_IDENTIFIER = re.compile(r"\b\w++(?:[._:/\\-]++\w++)+")
_LONGEST_WORD = 64  # longer ones are encoded data
# Scripts without spaces between words are read in overlapping pairs, as Lucene's CJKAnalyzer does.
_UNSPACED = re.compile(r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\u0e00-\u0e7f]+")
# Lucene's English stop set.
_STOP_WORDS = frozenset(
    (
        "a", "an", "and", "are", "as", "at", "be", "but", "by", "for", "if", "in", "into", "is", "it", "no",
        "not", "of", "on", "or", "such", "that", "the", "their", "then", "there", "these", "they", "this",
        "to", "was", "will", "with",
    )
)  # fmt: skip
_MARK = "#"  # keeps an identifier apart from a stem of the same letters

_stemmer = Stemmer.Stemmer("english")
_stemmer_lock = Lock()  # a Snowball stemmer has state while it works


def words(text: str) -> list[str]:
    """The words of `text` in order, an identifier's parts and then, at the end, each identifier whole."""
    lowered = text[:LONGEST_TEXT].lower()
    if _UNSPACED.search(lowered):
        lowered = _UNSPACED.sub(_spaced_pairs, lowered)
    found = [term for term in map(_term, _WORD.findall(lowered)) if term]
    found.extend(_MARK + identifier for identifier in _IDENTIFIER.findall(lowered))
    return found


def term_keys(terms: Iterable[str]) -> NDArray[np.uint64]:
    """A 64-bit key for each term: what the index stores instead of a dictionary of words."""
    digests = b"".join(
        hashlib.blake2b(term.encode("utf-8", "replace"), digest_size=8).digest() for term in terms
    )
    return np.frombuffer(digests, dtype="<u8")


@lru_cache(maxsize=200_000)
def _term(word: str) -> str | None:
    """The stem of a word, None for one that does not count."""
    if word in _STOP_WORDS or len(word) > _LONGEST_WORD:
        return None
    with _stemmer_lock:
        return _stemmer.stemWord(word)


def _spaced_pairs(run: re.Match[str]) -> str:
    letters = run.group()
    return f" {' '.join(letters[i : i + 2] for i in range(max(1, len(letters) - 1)))} "
