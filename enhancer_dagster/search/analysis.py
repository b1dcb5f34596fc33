"""Text to the words that BM25 counts: lower case, stop words out, stemmed; identifiers also kept whole."""

import hashlib
import re
from collections.abc import Iterable
from itertools import chain
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
_LONGEST_KEPT = 256
_MOST_KEPT = 100_000  # remembered chunks: about 20 MB of usual ones
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
    """The words of `text` in order; an identifier's parts, and after them the identifier whole."""
    chunks = text[:LONGEST_TEXT].lower().split()
    return list(chain.from_iterable(map(_terms_of_chunks.__getitem__, chunks)))


def term_keys(terms: Iterable[str]) -> NDArray[np.uint64]:
    """A 64-bit key for each term: what the index stores instead of a dictionary of words."""
    digests = b"".join(
        hashlib.blake2b(term.encode("utf-8", "replace"), digest_size=8).digest() for term in terms
    )
    return np.frombuffer(digests, dtype="<u8")


class _Terms(dict[str, tuple[str, ...]]):
    """The terms of texts without white space, each read once.

    Neither words nor identifiers span white space, and texts are made of the same few chunks. A plain
    dictionary that is emptied when it is full is three times as fast here as an LRU cache.
    """

    def __missing__(self, chunk: str) -> tuple[str, ...]:
        spaced = _UNSPACED.sub(_spaced_pairs, chunk)
        found = [_stem(word) for word in _WORD.findall(spaced) if _counts(word)]
        terms = (*found, *(_MARK + identifier for identifier in _IDENTIFIER.findall(spaced)))
        if len(chunk) <= _LONGEST_KEPT:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[chunk] = terms
        return terms


_terms_of_chunks = _Terms()


def _counts(word: str) -> bool:
    return word not in _STOP_WORDS and len(word) <= _LONGEST_WORD


def _stem(word: str) -> str:
    with _stemmer_lock:
        return _stemmer.stemWord(word)


def _spaced_pairs(run: re.Match[str]) -> str:
    letters = run.group()
    return f" {' '.join(letters[i : i + 2] for i in range(max(1, len(letters) - 1)))} "
