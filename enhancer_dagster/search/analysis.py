"""Text to the words that BM25 counts: lower case, stop words out, stemmed; identifiers also kept whole."""

import hashlib
import re
from collections.abc import Iterable
from functools import lru_cache
from threading import Lock

import numpy as np
import Stemmer
from bm25s.stopwords import STOPWORDS_EN
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
_STOP_WORDS = frozenset(STOPWORDS_EN)
_MARK = "#"  # keeps an identifier apart from a stem of the same letters

_stemmer = Stemmer.Stemmer("english")
_stemmer_lock = Lock()  # a Snowball stemmer has state while it works


def words(text: str) -> list[str]:
    """The words of `text` in order, an identifier's parts and then, at the end, each identifier whole."""
    text = text[:LONGEST_TEXT]
    lowered = text.lower()
    found: list[str] = []
    for word in _WORD.findall(lowered):
        if not word.isascii() and _UNSPACED.search(word):
            found.extend(_pairs(word))
        elif word not in _STOP_WORDS and len(word) <= _LONGEST_WORD:
            found.append(_stem(word))
    found.extend(_MARK + identifier for identifier in _IDENTIFIER.findall(lowered))
    return found


def term_keys(terms: Iterable[str]) -> NDArray[np.uint64]:
    """A 64-bit key for each term: what the index stores instead of a dictionary of words."""
    digests = b"".join(
        hashlib.blake2b(term.encode("utf-8", "replace"), digest_size=8).digest() for term in terms
    )
    return np.frombuffer(digests, dtype="<u8")


@lru_cache(maxsize=200_000)
def _stem(word: str) -> str:
    with _stemmer_lock:
        return _stemmer.stemWord(word)


def _pairs(word: str) -> list[str]:
    pairs: list[str] = []
    for run in _UNSPACED.findall(word):
        pairs.extend(run[i : i + 2] for i in range(max(1, len(run) - 1)))
    return pairs + [_stem(rest) for rest in _UNSPACED.split(word) if len(rest) > 1]
