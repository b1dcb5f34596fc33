"""What a snapshot must show before it is published. Plain functions that return named results."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enhancer_dagster.search.corpus_index import CorpusIndex
from enhancer_dagster.search.documents import Document, Query
from enhancer_dagster.search.encoder import Encoder
from enhancer_dagster.search.manifest import CheckResult, CorpusFacts, Manifest
from enhancer_dagster.search.perturbation import perturbed
from enhancer_dagster.search.settings import SearchSettings
from enhancer_dagster.search.vectors import EXACT, RESCORED, VectorIndex, set_rescored

ROW_COUNT = "row_count"
DIMENSION = "dimension"
UNIQUE_IDS = "unique_ids"
FINITE = "finite_vectors"
ANN_RECALL = "ann_recall"
FINDS_ITSELF = "finds_itself"
CHECKS = (ROW_COUNT, DIMENSION, UNIQUE_IDS, FINITE, ANN_RECALL, FINDS_ITSELF)

COLLAPSED = 0.5
"""A corpus with less than this share of the last build's rows is taken for a failed pull."""
LEAST_RECALL = 0.98
_AIMED_RECALL = 0.995  # while calibrating: leaves room for queries that are further from the corpus
NEIGHBOURS = 10
_QUERIES = 150
_QUERIES_EXACT = 10  # where every row is compared there is little to find out
_ITSELF = 20
_THREADS = 2  # of the searches that measure recall
_SAME = 0.01  # scores of one text differ by this: int8 activations depend on the rest of a batch
_NORM_TOLERANCE = 0.01  # 16-bit rounding moves a norm by less than .001


def check_row_count(
    corpora: Mapping[str, CorpusFacts], last: Manifest | None, *, allow_shrinking: bool
) -> CheckResult:
    """No corpus has collapsed against the last build."""
    before = {name: facts.rows for name, facts in last.corpora.items()} if last else {}
    collapsed = [
        f"{name}: {facts.rows} rows, {before[name]} before"
        for name, facts in corpora.items()
        if facts.rows < COLLAPSED * before.get(name, 0)
    ]
    return CheckResult(
        name=ROW_COUNT,
        passed=allow_shrinking or not collapsed,
        value=float(sum(facts.rows for facts in corpora.values())),
        expected=f"at least {COLLAPSED:.0%} of the last build's",
        message="; ".join(collapsed),
    )


def check_dimension(vectors: Mapping[str, VectorIndex], dimension: int) -> CheckResult:
    """Every vector has the encoder's dimension, and every corpus as many vectors as rows."""
    wrong = [
        f"{name}: {index.vectors.shape}"
        for name, index in vectors.items()
        if index.vectors.shape != (index.rows, dimension)
    ]
    return CheckResult(
        name=DIMENSION,
        passed=not wrong,
        value=float(dimension),
        expected=f"{dimension} numbers a vector",
        message="; ".join(wrong),
    )


def check_unique_ids(documents: Mapping[str, Sequence[Document]]) -> CheckResult:
    """No id stands twice in a corpus."""
    repeated = {
        name: len(rows) - len({document.document_id for document in rows}) for name, rows in documents.items()
    }
    return CheckResult(
        name=UNIQUE_IDS,
        passed=not any(repeated.values()),
        value=float(sum(repeated.values())),
        expected="0 repeated ids",
        message="; ".join(f"{name}: {count} repeated" for name, count in repeated.items() if count),
    )


def check_finite(vectors: Mapping[str, VectorIndex]) -> CheckResult:
    """No vector holds a NaN or an infinity, and all have unit length."""
    bad = sum(_bad_vectors(index) for index in vectors.values())
    return CheckResult(name=FINITE, passed=bad == 0, value=float(bad), expected="0 vectors that are not unit")


def check_ann_recall(
    corpora: Mapping[str, CorpusIndex],
    documents: Mapping[str, Sequence[Document]],
    encoder: Encoder,
    rng: np.random.Generator,
) -> CheckResult:
    """Of the ten nearest by exact search, enough are found, for perturbed texts of sampled documents."""
    recalls = {
        name: recall(index.vectors, _query_vectors(index, documents[name], encoder, rng))
        for name, index in corpora.items()
        if len(index)
    }
    worst = min(recalls.values(), default=1.0)
    return CheckResult(
        name=ANN_RECALL,
        passed=worst >= LEAST_RECALL,
        value=round(worst, 4),
        expected=f"recall@{NEIGHBOURS} against exact search of at least {LEAST_RECALL}",
        message="; ".join(f"{name}: {value:.4f}" for name, value in recalls.items()),
    )


def check_finds_itself(
    corpora: Mapping[str, CorpusIndex],
    documents: Mapping[str, Sequence[Document]],
    encoder: Encoder,
    settings: SearchSettings,
    rng: np.random.Generator,
) -> CheckResult:
    """A sampled document, searched for with its own text, comes first (or beside one with the same text)."""
    lost: list[str] = []
    for name, index in corpora.items():
        for row in _sample(len(index), _ITSELF, rng):
            document = documents[name][row]
            said = (document.title + document.body).strip()
            if said and not _finds_itself(index, row, document, encoder, settings):
                lost.append(f"{name}: {document.document_id}")
    return CheckResult(
        name=FINDS_ITSELF,
        passed=not lost,
        value=float(len(lost)),
        expected="0 sampled documents that do not find themselves",
        message="; ".join(lost[:10]),
    )


def calibrate(
    folder: Path,
    index: CorpusIndex,
    documents: Sequence[Document],
    encoder: Encoder,
    rng: np.random.Generator,
) -> None:
    """Set the fewest rows to compare again that reach the recall, on other queries than the check's."""
    if index.vectors.kind == EXACT:
        return
    queries = _query_vectors(index, documents, encoder, rng)
    least = least_scores(index.vectors, queries)
    rescored = RESCORED
    while rescored < index.vectors.rows and _recall(index.vectors, queries, least, rescored) < _AIMED_RECALL:
        rescored = rescored * 3 // 2
    index.vectors.rescored = rescored
    set_rescored(folder, rescored)


def recall(index: VectorIndex, queries: NDArray[np.float32]) -> float:
    """Mean share of the ten exact neighbours that the search proposes; 1 where there is nothing to find."""
    return _recall(index, queries, least_scores(index, queries), index.rescored)


def least_scores(index: VectorIndex, queries: NDArray[np.float32]) -> NDArray[np.float32]:
    """The score of each query's tenth neighbour."""
    return index.exact_best_scores(queries, NEIGHBOURS).min(axis=1)


def share_found(
    scores: Iterable[NDArray[np.float32]], least: NDArray[np.float32], neighbours: int = NEIGHBOURS
) -> float:
    """Mean share of exact neighbours that were found; 1 where nothing was asked.

    Args:
        scores: Of the rows that each query found, at most `neighbours`.
        least: The score of each query's last neighbour.
        neighbours: How many there are to find.
    """
    # By score, not by row: of equal vectors any one will do. Sums differ in the last digits.
    shares = [np.sum(found >= last - 1e-5) / neighbours for found, last in zip(scores, least, strict=True)]
    return float(np.mean(shares)) if shares else 1.0


def _recall(
    index: VectorIndex, queries: NDArray[np.float32], least: NDArray[np.float32], rescored: int
) -> float:
    found = index.nearest_of_each(queries, NEIGHBOURS, rescored, _THREADS) if len(queries) else []
    scores = [index.scores(query, rows) for query, rows in zip(queries, found, strict=True)]
    return share_found(scores, least, min(NEIGHBOURS, index.rows))


def _query_vectors(
    index: CorpusIndex, documents: Sequence[Document], encoder: Encoder, rng: np.random.Generator
) -> NDArray[np.float32]:
    sampled = (
        documents[row]
        for row in _sample(len(index), _QUERIES_EXACT if index.vectors.kind == EXACT else _QUERIES, rng)
    )
    queries = (index.cleaned(Query(d.title, perturbed(d.body, rng))) for d in sampled)
    return encoder.queries([index.passage(query) for query in queries])


def _finds_itself(
    index: CorpusIndex, row: int, document: Document, encoder: Encoder, settings: SearchSettings
) -> bool:
    query = index.cleaned(Query(document.title, document.body))
    vector = encoder.queries([index.passage(query)])[0]
    ranking = index.rank(query, vector, settings.tickets, settings)
    if not len(ranking.rows):
        return False
    own = index.score(query, vector, settings.tickets, np.array([row])).scores[0]
    crowded_out = ranking.scores[-1] >= own - _SAME  # by documents with the same text
    return own >= ranking.scores[0] - _SAME and (row in ranking.rows or bool(crowded_out))


def _sample(rows: int, count: int, rng: np.random.Generator) -> list[int]:
    return [int(row) for row in rng.choice(rows, min(count, rows), replace=False)] if rows else []


def _bad_vectors(index: VectorIndex) -> int:
    bad = 0
    for first in range(0, index.rows, 65_536):
        norms = np.linalg.norm(index.vectors[first : first + 65_536].astype(np.float32), axis=1)
        bad += int(np.sum(~(np.abs(norms - 1) < _NORM_TOLERANCE)))
    return bad
