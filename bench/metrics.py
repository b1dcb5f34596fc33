"""Mean average precision, recall at 10 and precision at 1 over rankings."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bench.labelled import Question


@dataclass(frozen=True)
class Figures:
    """Of one method on one set; each value is one query's."""

    average_precision: NDArray[np.float64]
    recall_at_10: NDArray[np.float64]
    precision_at_1: NDArray[np.float64]

    def as_dict(self) -> dict[str, float]:
        """Their means."""
        return {
            "map": round(float(self.average_precision.mean()), 4),
            "recall_at_10": round(float(self.recall_at_10.mean()), 4),
            "p_at_1": round(float(self.precision_at_1.mean()), 4),
        }


def measure(questions: Sequence[Question], rankings: Sequence[NDArray[np.int64]]) -> Figures:
    """Compare rankings (rows, best first) with the answers; one that is not ranked counts as not found."""
    values = [_of_one(q, ranking) for q, ranking in zip(questions, rankings, strict=True)]
    return Figures(*(np.array(column) for column in zip(*values, strict=True)))


def ranking_of(scores: NDArray, question: Question) -> NDArray[np.int64]:
    """All rows, best first, without the query's own."""
    rows = np.argsort(-scores, kind="stable")
    return rows[rows != question.own_row] if question.own_row is not None else rows


def _of_one(question: Question, ranking: NDArray[np.int64]) -> tuple[float, float, float]:
    right = np.isin(ranking, list(question.relevant))
    places = np.flatnonzero(right) + 1
    found = np.arange(1, len(places) + 1)
    return (
        float((found / places).sum() / len(question.relevant)),
        float(right[:10].sum() / len(question.relevant)),
        float(right[:1].sum()),
    )
