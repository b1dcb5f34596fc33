"""How well a snapshot finds: known duplicates where there are any, else perturbed texts of its own."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from enhancer_dagster.search import checks
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.corpus_index import CorpusIndex, Hit
from enhancer_dagster.search.documents import Document, Query
from enhancer_dagster.search.perturbation import perturbed
from enhancer_dagster.search.settings import CorpusWeights, SearchSettings
from enhancer_dagster.search.snapshot import ARTICLES, TICKETS, Snapshot

_DEPTH = 100  # hits that average precision looks at


@dataclass(frozen=True)
class Quality:
    """Figures of one corpus; all are shares between 0 and 1.

    Attributes:
        queries: How many were asked.
        source: "known duplicates" or "perturbed text".
        mean_average_precision: Over the best hundred hits.
        recall_at_10: Share of the right answers among the best ten hits.
        precision_at_1: Share of queries whose first hit is right.
        offered: Share of right answers among the best ten that reach the floor.
        ann_recall_at_10: Agreement of the vector search with exact search.
    """

    queries: int
    source: str
    mean_average_precision: float
    recall_at_10: float
    precision_at_1: float
    offered: float
    ann_recall_at_10: float


@dataclass(frozen=True)
class _Asked:
    """A query and the ids that answer it; `own_id` is left out of the hits."""

    query: Query
    right: Collection[str]
    own_id: str = ""


def evaluate(
    snapshot: Snapshot,
    documents: Sequence[Document],
    settings: SearchSettings,
    *,
    corpus: str = TICKETS,
    known: Mapping[str, Collection[str]] | None = None,
    queries: int = 200,
    seed: int = 1,
) -> Quality:
    """Measure a corpus of a snapshot.

    Args:
        snapshot: Published or not.
        documents: The corpus's documents: a snapshot does not hold their whole text.
        settings: Weights and limits as queries have them.
        corpus: "tickets" or "articles".
        known: Ids of documents and the ids that are known to say the same (duplicates, links). None or
            empty: documents with words missing must find themselves, which is easier.
        queries: Most that are asked.
        seed: Of the sample.
    """
    rng = np.random.default_rng(seed)
    index = snapshot.corpora[corpus]
    weights = settings.tickets if corpus == TICKETS else settings.articles
    asked = _known(documents, known, queries, rng) if known else _perturbed(documents, queries, rng)
    rankings = [_hits(snapshot, corpus, weights, settings, one) for one in asked]
    values = [_figures(hits, one.right, weights.floor) for hits, one in zip(rankings, asked, strict=True)]
    means = np.mean(values, axis=0) if values else np.zeros(4)
    return Quality(
        queries=len(asked),
        source="known duplicates" if known else "perturbed text",
        mean_average_precision=float(means[0]),
        recall_at_10=float(means[1]),
        precision_at_1=float(means[2]),
        offered=float(means[3]),
        ann_recall_at_10=_agreement(snapshot, index, asked),
    )


def evaluate_all(
    snapshot: Snapshot,
    content: IndexContent,
    settings: SearchSettings,
    *,
    known: Mapping[str, Collection[str]] | None = None,
    queries: int = 200,
) -> dict[str, Quality]:
    """Measure every corpus that has documents; arguments as in `evaluate`, `known` about tickets."""
    documents = {TICKETS: content.tickets, ARTICLES: content.articles}
    return {
        name: evaluate(
            snapshot, rows, settings, corpus=name, known=known if name == TICKETS else None, queries=queries
        )
        for name, rows in documents.items()
        if rows
    }


def sample_neighbours(
    snapshot: Snapshot, documents: Sequence[Document], settings: SearchSettings, *, count: int = 5
) -> pd.DataFrame:
    """Some tickets and what each finds: `ticket`, `subject`, `neighbour`, `its_subject`, `score`."""
    rng = np.random.default_rng(len(documents))
    chosen = rng.choice(len(documents), min(count, len(documents)), replace=False) if documents else []
    rows: list[tuple[str, str, str | None, str | None, float]] = []
    for document in (documents[int(row)] for row in chosen):
        asked = _Asked(Query(document.title, document.body), (), document.document_id)
        for hit in _hits(snapshot, TICKETS, settings.tickets, settings, asked)[:3]:
            record = hit.record
            rows.append(
                (document.document_id, document.title, record["id"], record.get("subject"), hit.score)
            )
    return pd.DataFrame(rows, columns=["ticket", "subject", "neighbour", "its_subject", "score"])


def _known(
    documents: Sequence[Document],
    known: Mapping[str, Collection[str]],
    queries: int,
    rng: np.random.Generator,
) -> list[_Asked]:
    ids = {document.document_id for document in documents}
    candidates = [
        _Asked(Query(d.title, d.body), right, d.document_id)
        for d in documents
        if (right := ids.intersection(known.get(d.document_id, ())) - {d.document_id})
    ]
    chosen = rng.choice(len(candidates), min(queries, len(candidates)), replace=False) if candidates else []
    return [candidates[int(row)] for row in chosen]


def _perturbed(documents: Sequence[Document], queries: int, rng: np.random.Generator) -> list[_Asked]:
    chosen = rng.choice(len(documents), min(queries, len(documents)), replace=False) if documents else []
    sampled = (documents[int(row)] for row in chosen)
    return [_Asked(Query(perturbed(d.title, rng), perturbed(d.body, rng)), (d.document_id,)) for d in sampled]


def _hits(
    snapshot: Snapshot, corpus: str, weights: CorpusWeights, settings: SearchSettings, asked: _Asked
) -> list[Hit]:
    index = snapshot.corpora[corpus]
    query = index.cleaned(asked.query)
    if query.is_empty:
        return []
    return index.hits(
        query,
        snapshot.vector(corpus, query),
        replace(weights, floor=0.0),
        settings,
        limit=_DEPTH,
        admits=lambda record: record["id"] != asked.own_id,
    )


def _figures(hits: Sequence[Hit], right: Collection[str], floor: float) -> tuple[float, float, float, float]:
    is_right = np.array([hit.record["id"] in right for hit in hits], dtype=bool)
    places = np.flatnonzero(is_right) + 1
    precision = float((np.arange(1, len(places) + 1) / places).sum() / len(right))
    offered = sum(hit.score >= floor for hit, good in zip(hits[:10], is_right, strict=False) if good)
    return precision, is_right[:10].sum() / len(right), float(is_right[:1].sum()), offered / len(right)


def _agreement(snapshot: Snapshot, index: CorpusIndex, asked: Sequence[_Asked]) -> float:
    passages = [index.passage(index.cleaned(one.query)) for one in asked]
    return (
        checks.recall(index.vectors, snapshot.encoder.queries(passages)) if passages and len(index) else 1.0
    )
