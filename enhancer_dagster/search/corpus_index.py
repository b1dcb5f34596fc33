"""One corpus of a snapshot: both searches propose, every proposal gets both scores, the weighted mean ranks.

Both scores are absolute (a cosine; a share of words covered), so their mean is the same between queries and a
fixed floor means the same everywhere. Rows are newest first, and equals keep that order.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enhancer_dagster.search.arrays import open_array
from enhancer_dagster.search.documents import Query, passage
from enhancer_dagster.search.lexical import LexicalIndex, LexicalQuery, document_terms
from enhancer_dagster.search.manifest import CorpusFacts
from enhancer_dagster.search.records import Record, Records
from enhancer_dagster.search.settings import CorpusWeights, SearchSettings
from enhancer_dagster.search.templates import without_template_lines
from enhancer_dagster.search.vectors import VectorIndex

Admits = Callable[[Record], bool]
_DEEPER = 8  # how many times more candidates are asked for where a filter left too few


@dataclass(frozen=True)
class Hit:
    """A document that was found.

    Attributes:
        row: Its row in the snapshot.
        score: 0 to 1: the weighted mean of the two parts.
        lexical: How much of each other's words the texts cover, 0 to 1.
        dense: Cosine of the vectors, negative ones as 0.
        record: What is shown of it.
        shared_terms: The words in common and the share of the query each covers; filled by `explain` only.
    """

    row: int
    score: float
    lexical: float
    dense: float
    record: Record
    shared_terms: list[tuple[str, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Ranking:
    """Rows, best first, with their scores."""

    rows: NDArray[np.int64]
    scores: NDArray[np.float64]
    lexical: NDArray[np.float64]
    dense: NDArray[np.float64]


class CorpusIndex:
    """A corpus, opened.

    Args:
        folder: Of this corpus within the snapshot.
        facts: From the manifest.
    """

    def __init__(self, folder: Path, facts: CorpusFacts) -> None:
        self.facts = facts
        self.lexical = LexicalIndex(folder)
        self.vectors = VectorIndex(folder)
        self.records = Records(folder)
        self._templates = frozenset(open_array(folder, "templates").tolist())

    def __len__(self) -> int:
        return self.facts.rows

    def cleaned(self, query: Query) -> Query:
        """The query without the lines that this corpus knows as templates."""
        return Query(query.title, without_template_lines(query.body, self._templates))

    @staticmethod
    def passage(query: Query) -> str:
        """What the encoder is given for a query."""
        return passage(query.title, query.body)

    def rank(
        self,
        query: Query,
        vector: NDArray[np.float32],
        weights: CorpusWeights,
        settings: SearchSettings,
        candidates: int | None = None,
    ) -> Ranking:
        """Score what both searches propose for a cleaned query.

        Args:
            query: Cleaned.
            vector: Of its passage.
            weights: Of this corpus.
            settings: Limits of the search.
            candidates: Rows that each search proposes, where not as in `settings`.
        """
        count = candidates or settings.candidates
        prepared = self._prepare(query)
        by_words = self.lexical.candidates(prepared, count, settings.posting_budget)
        rows = np.union1d(by_words, self.vectors.candidates(vector, count))
        return self._score(prepared, vector, weights, rows)

    def score(
        self, query: Query, vector: NDArray[np.float32], weights: CorpusWeights, rows: NDArray[np.int64]
    ) -> Ranking:
        """Score given rows for a cleaned query."""
        return self._score(self._prepare(query), vector, weights, rows)

    def _prepare(self, query: Query) -> LexicalQuery:
        return self.lexical.prepare(document_terms(query.title, query.body, self.facts.title_repeats))

    def _score(
        self,
        prepared: LexicalQuery,
        vector: NDArray[np.float32],
        weights: CorpusWeights,
        rows: NDArray[np.int64],
    ) -> Ranking:
        lexical = self.lexical.coverage(prepared, rows)
        dense = np.clip(self.vectors.scores(vector, rows).astype(np.float64), 0.0, 1.0)
        scores = weights.lexical_weight * lexical + (1 - weights.lexical_weight) * dense
        # Rounded, so that equal texts are equals whatever the order of summation was.
        order = np.argsort(-np.round(scores, 6), kind="stable")
        return Ranking(rows[order], scores[order], lexical[order], dense[order])

    def hits(
        self,
        query: Query,
        vector: NDArray[np.float32],
        weights: CorpusWeights,
        settings: SearchSettings,
        *,
        limit: int,
        admits: Admits,
    ) -> list[Hit]:
        """The best `limit` documents that `admits` lets through and that reach the floor."""
        candidates = settings.candidates
        while True:
            ranking = self.rank(query, vector, weights, settings, candidates)
            found = list(self._admitted(ranking, weights.floor, limit, admits))
            reached_floor = bool(len(ranking.scores)) and ranking.scores[-1] < weights.floor
            if len(found) >= limit or reached_floor or candidates >= len(self):
                return found
            candidates *= _DEEPER

    def explain_terms(self, query: Query, row: int) -> list[tuple[str, float]]:
        """The words that a cleaned query and a row share; see `LexicalIndex.shared_terms`."""
        return self.lexical.shared_terms(self._prepare(query), row)

    def _admitted(self, ranking: Ranking, floor: float, limit: int, admits: Admits) -> Iterator[Hit]:
        found = 0
        for row, score, lexical, dense in zip(
            ranking.rows, ranking.scores, ranking.lexical, ranking.dense, strict=True
        ):
            if found == limit or score < floor:
                return
            record = self.records[int(row)]
            if admits(record):
                found += 1
                yield Hit(int(row), float(score), float(lexical), float(dense), record)
