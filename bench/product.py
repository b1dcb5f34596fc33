"""The product on a labelled set: a snapshot is built and asked, as a tenant's would be."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.labelled import LabelledSet, Question
from bench.metrics import measure
from enhancer_dagster.search.build import build_index
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.corpus_index import CorpusIndex, Ranking
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.settings import CorpusWeights, SearchSettings
from enhancer_dagster.search.snapshot import ARTICLES, TICKETS, Snapshot

_WEIGHTS = tuple(round(0.05 * step, 2) for step in range(21))


class Product:
    """The index of a labelled set.

    Args:
        labelled: The set.
        folder: For index and vectors; vectors that are there already are used again.
    """

    def __init__(self, labelled: LabelledSet, folder: Path) -> None:
        is_tickets = labelled.kind == "tickets"
        content = (
            IndexContent(tickets=labelled.documents)
            if is_tickets
            else IndexContent(articles=labelled.documents)
        )
        tenant_id = labelled.name.lower()
        report = build_index(tenant_id, content, folder / "index", folder / "work", allow_shrinking=True)
        if not report.published:
            raise SystemExit(f"the index of {labelled.name} failed {report.failed_checks}")
        place = TenantLocation(folder / "index", tenant_id)
        self._snapshot = Snapshot(place.snapshot(report.manifest.snapshot_id))
        self._corpus = TICKETS if is_tickets else ARTICLES
        settings = SearchSettings()
        self.weights: CorpusWeights = settings.tickets if is_tickets else settings.articles
        self._rankings = [self._rank(question, settings) for question in labelled.questions]
        self._questions = labelled.questions

    def rankings(self, lexical_weight: float | None = None) -> list[NDArray[np.int64]]:
        """Rows, best first, for every query; with the product's weight or another one."""
        weight = self.weights.lexical_weight if lexical_weight is None else lexical_weight
        return [_reweighted(r, weight, q) for r, q in zip(self._rankings, self._questions, strict=True)]

    def best_scores(self) -> NDArray[np.float64]:
        """The score of every query's best hit."""
        return np.array(
            [
                float(ranking.scores[ranking.rows != question.own_row].max(initial=0.0))
                for ranking, question in zip(self._rankings, self._questions, strict=True)
            ]
        )

    def cross_fitted(self) -> list[NDArray[np.int64]]:
        """Rankings whose weight was chosen on the other fold. Duplicates of each other share a fold."""
        folds = _folds(self._questions)
        by_weight = {weight: self.rankings(weight) for weight in _WEIGHTS}
        precision = {w: measure(self._questions, r).average_precision for w, r in by_weight.items()}
        chosen: dict[int, float] = {}
        for fold in (0, 1):
            other = folds != fold
            chosen[fold] = max(_WEIGHTS, key=lambda weight: float(precision[weight][other].mean()))
        return [by_weight[chosen[int(fold)]][i] for i, fold in enumerate(folds)]

    def _rank(self, question: Question, settings: SearchSettings) -> Ranking:
        index: CorpusIndex = self._snapshot.corpora[self._corpus]
        query = index.cleaned(question.query)
        vector = self._snapshot.vector(self._corpus, query)
        return index.rank(query, vector, replace(self.weights, floor=0.0), settings)


def _reweighted(ranking: Ranking, weight: float, question: Question) -> NDArray[np.int64]:
    scores = weight * ranking.lexical + (1 - weight) * ranking.dense
    rows = ranking.rows[np.argsort(-scores, kind="stable")]
    return rows[rows != question.own_row] if question.own_row is not None else rows


def _folds(questions: list[Question]) -> NDArray[np.int64]:
    """Fold 0 or 1 of every question: groups that share an answer stay together, and alternate."""
    group_of: dict[int, int] = {}
    groups: list[int] = []
    for question in questions:
        rows = set(question.relevant) | ({question.own_row} if question.own_row is not None else set())
        known = next((group_of[row] for row in rows if row in group_of), len(groups))
        group_of.update(dict.fromkeys(rows, known))
        groups.append(known)
    numbers = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] % 2 for group in groups])
