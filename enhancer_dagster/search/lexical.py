"""BM25 over a corpus: built by bm25s, stored as memory-mapped arrays, scored both ways.

The score of a hit is how much of the query the document covers and how much of the document the query
covers, each as BM25 against the best possible (a text against itself), and the mean of both: 0 to 1, and
comparable between queries. Both ways matter among tickets: a short one inside a long log is no duplicate.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enhancer_dagster.search.analysis import term_keys, words
from enhancer_dagster.search.arrays import best_rows, open_array, save_array

K1 = 1.5
B = 0.75
"""BM25's usual saturation and length normalisation (Robertson and Zaragoza 2009); bm25s's defaults."""

_CHUNK = 4_000_000  # postings worked on at once, for the sake of memory

QUERY_TERMS = 256
"""Distinct words of a query that are looked up, the most telling ones."""


def document_terms(title: str, body: str, title_repeats: int) -> list[str]:
    """The words of a document or a query, the title's counted `title_repeats` times."""
    return words(title) * title_repeats + words(body)


def build_lexical(folder: Path, documents: Iterable[Sequence[str]]) -> None:
    """Write the index of `documents`, each given as its terms, into `folder`."""
    vocabulary = _Vocabulary()
    rows = [list(map(vocabulary.__getitem__, terms)) for terms in documents]
    lengths = np.fromiter(map(len, rows), dtype=np.int32, count=len(rows))
    if vocabulary:
        import bm25s  # here: a query needs neither it nor scipy, which it loads

        logging.getLogger("bm25s").setLevel(logging.WARNING)
        model = bm25s.BM25(k1=K1, b=B, method="lucene")
        model.index((rows, vocabulary), create_empty_token=False, show_progress=False)
        parts = _by_key(vocabulary, model.scores)
    else:
        parts = _nothing()
    keys, starts, documents_of, impacts = parts
    save_array(folder, "terms", keys)
    save_array(folder, "starts", starts)
    save_array(folder, "postings", documents_of)
    save_array(folder, "impacts", impacts)
    save_array(folder, "lengths", lengths)
    mean_length = float(lengths.mean()) if len(lengths) else 0.0
    selves = _self_scores(starts, documents_of, impacts, lengths, mean_length)
    save_array(folder, "self_scores", selves)
    (folder / "lexical.json").write_text(json.dumps({"rows": len(rows), "mean_length": mean_length}))


class LexicalIndex:
    """A built index, opened.

    Args:
        folder: Where `build_lexical` wrote it.
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "lexical.json").read_text())
        self.rows: int = facts["rows"]
        self._mean_length: float = facts["mean_length"]
        self._keys = open_array(folder, "terms")
        self._starts = open_array(folder, "starts")
        self._postings = open_array(folder, "postings")
        self._impacts = open_array(folder, "impacts")
        self._lengths = open_array(folder, "lengths")
        self._self_scores = open_array(folder, "self_scores")

    def prepare(self, terms: Sequence[str]) -> "LexicalQuery":
        """Look up the words of a query."""
        counts = Counter(terms)
        names = list(counts)
        frequencies = np.fromiter(counts.values(), dtype=np.float64, count=len(names))
        keys = term_keys(names)
        at = np.searchsorted(self._keys, keys)
        known = np.zeros(len(names), dtype=bool)
        inside = at < len(self._keys)
        known[inside] = self._keys[at[inside]] == keys[inside]
        starts = np.where(known, self._starts[np.where(known, at, 0)], 0) if len(self._keys) else at * 0
        ends = np.where(known, self._starts[np.where(known, at + 1, 0)], 0) if len(self._keys) else at * 0
        idf = _idf(self.rows, ends - starts)
        saturation = frequencies / (frequencies + _length_norm(len(terms), self._mean_length))
        order = np.argsort(-frequencies * idf, kind="stable")[:QUERY_TERMS]
        return LexicalQuery(
            names=[names[i] for i in order],
            frequencies=frequencies[order],
            idf=idf[order],
            weights=(idf * saturation)[order],
            starts=starts[order],
            ends=ends[order],
        )

    def candidates(self, query: "LexicalQuery", count: int, posting_budget: int) -> NDArray[np.int64]:
        """Up to `count` rows that share telling words with it; reads about `posting_budget` postings."""
        scores = np.zeros(self.rows, dtype=np.float32)
        spent = 0
        for start, end, frequency in zip(query.starts, query.ends, query.frequencies, strict=True):
            if spent and spent + end - start > posting_budget:
                continue
            scores[self._postings[start:end]] += self._impacts[start:end] * np.float32(frequency)
            spent += end - start
        # Of the many zeros none is wanted, and a partition of equals is slow.
        touched = np.flatnonzero(scores)
        return touched[best_rows(scores[touched], count)]

    def coverage(self, query: "LexicalQuery", rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """For each of `rows`, the mean of how much either text covers of the other, 0 to 1."""
        forward = np.zeros(len(rows))
        backward = np.zeros(len(rows))
        order = np.argsort(rows)
        sought = rows[order].astype(self._postings.dtype)
        norms = _length_norm(self._lengths[rows[order]], self._mean_length)
        for i, (start, end) in enumerate(zip(query.starts, query.ends, strict=True)):
            postings = self._postings[start:end]
            if not len(postings):
                continue
            at = np.minimum(np.searchsorted(postings, sought), len(postings) - 1)
            shared = postings[at] == sought
            impacts = self._impacts[start:end][at[shared]].astype(np.float64)
            forward[order[shared]] += query.frequencies[i] * impacts
            backward[order[shared]] += query.weights[i] * _frequency(impacts, query.idf[i], norms[shared])
        covered_query = forward / max(query.self_score, 1e-9)
        covered_document = backward / np.maximum(self._self_scores[rows], 1e-9)
        return (np.minimum(covered_query, 1.0) + np.minimum(covered_document, 1.0)) / 2

    def shared_terms(self, query: "LexicalQuery", row: int) -> list[tuple[str, float]]:
        """The words that query and row share, each with its part of the query's best score, largest first."""
        found: list[tuple[str, float]] = []
        for i, (start, end) in enumerate(zip(query.starts, query.ends, strict=True)):
            at = start + int(np.searchsorted(self._postings[start:end], row))
            if at < end and self._postings[at] == row:
                share = query.frequencies[i] * self._impacts[at] / max(query.self_score, 1e-9)
                found.append((query.names[i], float(share)))
        return sorted(found, key=lambda pair: -pair[1])


class _Vocabulary(dict[str, int]):
    """Numbers for terms; a new one gets the next."""

    def __missing__(self, term: str) -> int:
        self[term] = number = len(self)
        return number


class LexicalQuery:
    """A query's distinct words, most telling first, with their places in one index."""

    def __init__(
        self,
        *,
        names: list[str],
        frequencies: NDArray[np.float64],
        idf: NDArray[np.float64],
        weights: NDArray[np.float64],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> None:
        self.names = names
        self.frequencies = frequencies
        self.idf = idf
        self.weights = weights
        self.starts = starts
        self.ends = ends
        self.self_score = float((frequencies * weights).sum())


def _idf(rows: int, document_frequencies: NDArray) -> NDArray[np.float64]:
    """Lucene's, as bm25s computes it."""
    return np.log(1 + (rows - document_frequencies + 0.5) / (document_frequencies + 0.5))


def _length_norm(length: NDArray | int, mean_length: float) -> NDArray[np.float64]:
    return K1 * (1 - B + B * np.asarray(length, dtype=np.float64) / max(mean_length, 1e-9))


def _frequency(impacts: NDArray, idf: NDArray | float, norms: NDArray) -> NDArray[np.float64]:
    """How often the term stands in the document: the impact idf * f / (f + norm), solved for f."""
    return np.rint(impacts * norms / np.maximum(idf - impacts, 1e-9))


def _by_key(vocabulary: dict[str, int], scores: dict) -> tuple[NDArray, NDArray, NDArray, NDArray]:
    """bm25s's columns, put in the order of the terms' keys."""
    names = sorted(vocabulary, key=vocabulary.__getitem__)
    keys = term_keys(names)
    order = np.argsort(keys, kind="stable")
    old_starts = np.asarray(scores["indptr"])
    counts = np.diff(old_starts)[order]
    starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    # Each posting's old place: its column's old start, plus its place in the column.
    places = np.repeat(old_starts[order] - starts[:-1], counts) + np.arange(starts[-1])
    return keys[order], starts, np.asarray(scores["indices"])[places], np.asarray(scores["data"])[places]


def _nothing() -> tuple[NDArray, NDArray, NDArray, NDArray]:
    empty = np.zeros(0, dtype=np.uint64)
    return empty, np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32)


def _self_scores(
    starts: NDArray, postings: NDArray, impacts: NDArray, lengths: NDArray, mean_length: float
) -> NDArray[np.float32]:
    """Every document's BM25 score against itself, the best that any query of its words can reach."""
    totals = np.zeros(len(lengths))
    norms = _length_norm(lengths, mean_length)
    idf = np.repeat(_idf(len(lengths), np.diff(starts)), np.diff(starts))
    for first in range(0, len(postings), _CHUNK):
        part = slice(first, first + _CHUNK)
        rows, part_impacts = postings[part], impacts[part].astype(np.float64)
        frequencies = _frequency(part_impacts, idf[part], norms[rows])
        totals += np.bincount(rows, weights=frequencies * part_impacts, minlength=len(lengths))
    return totals.astype(np.float32)
