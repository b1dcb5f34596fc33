"""Exact and approximate search are one to the caller."""

from pathlib import Path

import numpy as np
import pytest

from enhancer_dagster.search.checks import recall
from enhancer_dagster.search.vectors import EXACT, QUANTISED, VectorIndex, build_vectors


def _unit(rows: int, dimension: int = 96, seed: int = 1) -> np.ndarray:
    centres = np.random.default_rng(0).normal(size=(20, dimension))
    rng = np.random.default_rng(seed)
    vectors = centres[rng.integers(0, 20, rows)] + 0.3 * rng.normal(size=(rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def _build(folder: Path, vectors: np.ndarray, exact_up_to: int) -> VectorIndex:
    folder.mkdir(exist_ok=True)
    build_vectors(folder, vectors, exact_up_to=exact_up_to, seed=1)
    return VectorIndex(folder)


def test_size_chooses_the_path_and_both_agree(tmp_path: Path) -> None:
    vectors = _unit(5_000)
    exact = _build(tmp_path / "exact", vectors, 10_000)
    quantised = _build(tmp_path / "quantised", vectors, 1_000)
    assert (exact.kind, quantised.kind) == (EXACT, QUANTISED)
    queries = _unit(50, seed=2).astype(np.float32)
    assert recall(exact, queries) == 1.0
    quantised.rescored = 500
    assert recall(quantised, queries) >= 0.99
    best = exact.nearest(queries[0], 3)
    assert quantised.nearest(queries[0], 3).tolist() == best.tolist()
    assert quantised.scores(queries[0], best) == pytest.approx(exact.scores(queries[0], best))


def test_recall_notices_a_search_that_compares_too_few_again(tmp_path: Path) -> None:
    quantised = _build(tmp_path, _unit(5_000), 1_000)
    quantised.rescored = 10
    assert recall(quantised, _unit(50, seed=2).astype(np.float32)) < 0.98


@pytest.mark.parametrize("dimension", [90, 64, 62, 61])
def test_a_model_may_have_any_dimension(tmp_path: Path, dimension: int) -> None:
    quantised = _build(tmp_path, _unit(5_000, dimension), 1_000)
    quantised.rescored = 500
    assert recall(quantised, _unit(50, dimension, seed=2).astype(np.float32)) >= 0.98


def test_no_vectors_is_a_corpus_too(tmp_path: Path) -> None:
    index = _build(tmp_path, np.zeros((0, 96), dtype=np.float16), 10)
    assert not len(index.nearest(np.ones(96, dtype=np.float32), 5))
    assert recall(index, np.zeros((0, 96), dtype=np.float32)) == 1.0
