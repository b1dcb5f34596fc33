"""Exact and approximate search are one to the caller."""

from pathlib import Path

import numpy as np
import pytest

from enhancer_dagster.search.checks import recall
from enhancer_dagster.search.vectors import EXACT, IVF, VectorIndex, build_vectors


def _unit(rows: int, dimension: int = 32, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(20, dimension))
    vectors = centres[rng.integers(0, 20, rows)] + 0.3 * rng.normal(size=(rows, dimension))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


def _build(folder: Path, vectors: np.ndarray, exact_up_to: int) -> VectorIndex:
    folder.mkdir(exist_ok=True)
    build_vectors(folder, vectors, exact_up_to=exact_up_to, seed=1)
    return VectorIndex(folder)


def test_size_chooses_the_path_and_both_agree(tmp_path: Path) -> None:
    vectors = _unit(5_000)
    exact = _build(tmp_path / "exact", vectors, 10_000)
    ivf = _build(tmp_path / "ivf", vectors, 1_000)
    assert (exact.kind, ivf.kind) == (EXACT, IVF)
    queries = _unit(50, seed=2).astype(np.float32)
    assert recall(exact, queries) == 1.0
    ivf.probes = ivf.lists
    assert recall(ivf, queries) >= 0.99
    best = exact.nearest(queries[0], 3)
    assert ivf.nearest(queries[0], 3).tolist() == best.tolist()
    assert ivf.scores(queries[0], best) == pytest.approx(exact.scores(queries[0], best))


def test_recall_notices_a_search_that_looks_in_too_few_places(tmp_path: Path) -> None:
    ivf = _build(tmp_path, _unit(5_000), 1_000)
    ivf.probes = 1
    rng = np.random.default_rng(3)
    scattered = rng.normal(size=(50, 32)).astype(np.float32)
    scattered /= np.linalg.norm(scattered, axis=1, keepdims=True)
    assert recall(ivf, scattered) < 0.98


def test_no_vectors_is_a_corpus_too(tmp_path: Path) -> None:
    index = _build(tmp_path, np.zeros((0, 32), dtype=np.float16), 10)
    assert not len(index.nearest(np.ones(32, dtype=np.float32), 5))
    assert recall(index, np.zeros((0, 32), dtype=np.float32)) == 1.0
