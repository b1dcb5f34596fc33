"""Unit vectors of a corpus: 16-bit, memory-mapped; every one compared while few, proposed by faiss when many.

Above `BuildSettings.exact_up_to` rows, faiss compares short codes of all vectors (product quantisation with 4
bits for three numbers, laid out for SIMD registers: André, Kermarrec and Le Scouarnec, "Cache locality is not
enough", VLDB 2015), and the 16-bit vectors of the best are compared again. Either way a score is the cosine
of the 16-bit vectors. A million vectors of 384 numbers have 64 MB of codes; docs/search.md compares this with
an inverted file.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from enhancer_dagster.search.arrays import best_rows, open_array, save_array

if TYPE_CHECKING:
    import faiss

EXACT, QUANTISED = "exact", "quantised"

_BLOCK = 16_384  # rows compared at once: small enough to stay in the cache as 32-bit
_TRAINED_ON = 65_536  # sampled vectors; 16 centroids a part need a few thousand
RESCORED = 250  # rows compared again by their 16-bit vectors, before `checks` measures how many are needed


def build_vectors(folder: Path, vectors: NDArray[np.float16], *, exact_up_to: int, seed: int) -> None:
    """Write the index of `vectors` (unit length, one a row) into `folder`."""
    save_array(folder, "vectors", vectors)
    kind = QUANTISED if len(vectors) > exact_up_to else EXACT
    if kind == QUANTISED:
        _write_codes(folder, vectors, seed)
    facts = {"rows": len(vectors), "dimension": vectors.shape[1], "kind": kind, "rescored": RESCORED}
    (folder / "vectors.json").write_text(json.dumps(facts))


def set_rescored(folder: Path, rescored: int) -> None:
    """Set how many rows a query compares again; found by measuring recall (`checks`)."""
    path = folder / "vectors.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rescored": rescored}))


class VectorIndex:
    """A built index, opened.

    Args:
        folder: Where `build_vectors` wrote it.
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "vectors.json").read_text())
        self.rows: int = facts["rows"]
        self.dimension: int = facts["dimension"]
        self.kind: str = facts["kind"]
        self.rescored: int = facts["rescored"]
        self.vectors: NDArray[np.float16] = open_array(folder, "vectors")
        self._codes: Any = _open_codes(folder) if self.kind == QUANTISED else None

    def candidates(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Rows nearest to `query`, up to `count`, in no particular order."""
        if self._codes is None:
            return best_rows(self.exact_scores(query), count)
        rows = self._propose(query[np.newaxis], max(count, self.rescored))[0]
        return rows[best_rows(self.scores(query, rows), count)]

    def nearest(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """The `count` rows nearest to `query`, best first, by the path that queries take."""
        rows = self.candidates(query, count)
        return rows[np.argsort(-self.scores(query, rows), kind="stable")]

    def scores(self, query: NDArray[np.float32], rows: NDArray[np.int64]) -> NDArray[np.float32]:
        """The cosine of `query` with each of `rows`."""
        return self.vectors[rows].astype(np.float32) @ query

    def exact_scores(self, query: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosine with every row."""
        scores = np.empty(self.rows, dtype=np.float32)
        for first in range(0, self.rows, _BLOCK):
            block = self.vectors[first : first + _BLOCK]
            np.matmul(block.astype(np.float32), query, out=scores[first : first + _BLOCK])
        return scores

    def exact_best_scores(self, queries: NDArray[np.float32], count: int) -> NDArray[np.float32]:
        """For each of `queries`, its `count` highest scores by comparing every row; no order, -1 fills up."""
        best = np.full((len(queries), count), -1.0, dtype=np.float32)
        for first in range(0, self.rows, _BLOCK):
            block = queries @ self.vectors[first : first + _BLOCK].astype(np.float32).T
            best = -np.partition(-np.hstack([best, block]), count - 1)[:, :count]
        return best

    def nearest_of_each(
        self, queries: NDArray[np.float32], count: int, rescored: int, threads: int
    ) -> list[NDArray[np.int64]]:
        """`nearest` for many queries at once, on several threads: for builds. Others ask one by one."""
        if self._codes is None:
            return [self.nearest(query, count) for query in queries]
        return [
            rows[best_rows(self.scores(query, rows), count)]
            for query, rows in zip(queries, self._propose(queries, rescored, threads), strict=True)
        ]

    def _propose(self, queries: NDArray[np.float32], count: int, threads: int = 1) -> list[NDArray[np.int64]]:
        """For each of `queries`, the `count` rows that are best by their codes."""
        import faiss

        # One thread unless told: a process that is to fork must not hold a pool.
        faiss.omp_set_num_threads(threads)  # a setting of the calling thread
        _, proposed = self._codes.search(queries, min(count, self.rows))
        return list(proposed)


def _open_codes(folder: Path) -> "faiss.Index":
    import faiss

    return faiss.read_index(str(folder / "codes.faiss"), faiss.IO_FLAG_READ_ONLY)


def _parts(dimension: int) -> int:
    """Into how many parts of 4 bits a vector is cut: of three numbers each, or near that."""
    return dimension // next(size for size in (3, 4, 2, 1) if dimension % size == 0)


def _write_codes(folder: Path, vectors: NDArray[np.float16], seed: int) -> None:
    import faiss

    dimension = vectors.shape[1]
    index = faiss.index_factory(dimension, f"PQ{_parts(dimension)}x4fs", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(seed).choice(len(vectors), min(len(vectors), _TRAINED_ON), replace=False)
    index.train(vectors[np.sort(sample)].astype(np.float32))
    for first in range(0, len(vectors), _BLOCK):
        index.add(vectors[first : first + _BLOCK].astype(np.float32))
    faiss.write_index(index, str(folder / "codes.faiss"))
