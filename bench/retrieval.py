"""How often the right document is found: BM25, dense vectors, TF-IDF and the product, side by side."""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from bench import baselines
from bench.labelled import KNOWN, SHARED, Kind, LabelledSet, load
from bench.metrics import Figures, measure
from bench.product import Product
from bench.reference import reference_vectors
from bench.report import show_json, show_table

_DEFAULT_CACHE = Path(tempfile.gettempdir()) / "enhancer-bench"


def main(
    set_: Annotated[Path | None, typer.Option("--set", help="A folder with a labelled set.")] = None,
    kind: Annotated[str, typer.Option(help="What --set holds: tickets or kb.")] = "tickets",
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    cache: Annotated[
        Path, typer.Option(help="Where indexes and vectors are kept between runs.")
    ] = _DEFAULT_CACHE,
) -> None:
    """Mean average precision, recall@10 and P@1 on labelled sets."""
    if kind not in ("tickets", "kb"):
        raise typer.BadParameter("it is tickets or kb", param_hint="--kind")
    sets: list[tuple[Path, Kind]] = (
        [(set_, kind)] if set_ else [(SHARED / name, known) for name, known in KNOWN.items()]
    )
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for folder, set_kind in sets:
        labelled = load(folder, set_kind)
        results = {name: values.as_dict() for name, values in _evaluate(labelled, cache).items()}
        figures[labelled.name] = results
        if not as_json:
            _show(labelled, results)
    if as_json:
        show_json(figures)


def _evaluate(labelled: LabelledSet, cache: Path) -> dict[str, Figures]:
    product = Product(labelled, cache)
    documents, queries = reference_vectors(labelled, cache)
    rankings = {
        "bm25": baselines.bm25(labelled),
        "dense": baselines.dense(labelled, documents, queries),
        "tfidf": baselines.tfidf(labelled),
        "product": product.rankings(),
        "product_cross_fitted": product.cross_fitted(),
    }
    return {name: measure(labelled.questions, ranking) for name, ranking in rankings.items()}


def _show(labelled: LabelledSet, results: dict[str, dict[str, float]]) -> None:
    answers = np.mean([len(question.relevant) for question in labelled.questions])
    show_table(
        f"{labelled.name} ({labelled.kind}): {len(labelled.documents)} documents, "
        f"{len(labelled.questions)} queries, {answers:.1f} answers each",
        ("method", "MAP", "recall@10", "P@1"),
        [(name, r["map"], r["recall_at_10"], r["p_at_1"]) for name, r in results.items()],
    )
