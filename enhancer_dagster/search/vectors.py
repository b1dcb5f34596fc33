"""Unit vectors of a corpus: 16-bit, memory-mapped; every one compared while few, proposed by faiss when many.

Above `BuildSettings.exact_up_to` rows an IVF index with 8-bit scalar quantisation proposes candidates, and
their 16-bit vectors give the exact score. Either way a score is the cosine of the 16-bit vectors.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from enhancer_dagster.search.arrays import best_rows, open_array, save_array

if TYPE_CHECKING:
    import faiss

EXACT, IVF = "exact", "ivf"

_BLOCK = 16_384  # rows compared at once: small enough to stay in the cache as 32-bit
_RESCORED = 200  # candidates of the 8-bit codes that are scored again
_TRAINING_PER_LIST = 64  # vectors a centroid is trained on; faiss asks for at least 39
DEFAULT_PROBES = 32


def build_vectors(folder: Path, vectors: NDArray[np.float16], *, exact_up_to: int, seed: int) -> None:
    """Write the index of `vectors` (unit length, one a row) into `folder`."""
    save_array(folder, "vectors", vectors)
    lists = 0
    if len(vectors) > exact_up_to:
        lists = _lists_for(len(vectors))
        _train(folder, vectors, lists, seed)
    facts = {"rows": len(vectors), "dimension": vectors.shape[1], "lists": lists, "probes": DEFAULT_PROBES}
    (folder / "vectors.json").write_text(json.dumps(facts))


def set_probes(folder: Path, probes: int) -> None:
    """Set how many lists a query visits; found by measuring recall (`checks`)."""
    path = folder / "vectors.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"probes": probes}))


class VectorIndex:
    """A built index, opened.

    Args:
        folder: Where `build_vectors` wrote it.
    """

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "vectors.json").read_text())
        self.rows: int = facts["rows"]
        self.dimension: int = facts["dimension"]
        self.lists: int = facts["lists"]
        self.probes: int = facts["probes"]
        self.vectors: NDArray[np.float16] = open_array(folder, "vectors")
        self._ann: Any = _open_ann(folder) if self.lists else None

    @property
    def kind(self) -> str:
        """How candidates are found: `exact` or `ivf`."""
        return IVF if self.lists else EXACT

    def candidates(self, query: NDArray[np.float32], count: int) -> NDArray[np.int64]:
        """Rows nearest to `query`, up to `count`, in no particular order."""
        if self._ann is None:
            return best_rows(self.exact_scores(query), count)
        return self._approximate(query, max(count, _RESCORED), self.probes)[:count]

    def nearest(self, query: NDArray[np.float32], count: int, probes: int | None = None) -> NDArray[np.int64]:
        """The `count` rows nearest to `query`, best first, by the path that queries take."""
        if self._ann is None:
            rows = best_rows(self.exact_scores(query), count)
        else:
            rows = self._approximate(query, max(count, _RESCORED), probes or self.probes)
        return rows[np.argsort(-self.scores(query, rows), kind="stable")][:count]

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
        self, queries: NDArray[np.float32], count: int, probes: int, threads: int
    ) -> list[NDArray[np.int64]]:
        """`nearest` for many queries at once, on several threads: for builds. Others ask one by one."""
        if self._ann is None:
            return [self.nearest(query, count) for query in queries]
        proposed = self._search(queries, max(count, _RESCORED), probes, threads)
        return [
            rows[np.argsort(-self.scores(query, rows), kind="stable")][:count]
            for query, rows in zip(queries, proposed, strict=True)
        ]

    def _approximate(self, query: NDArray[np.float32], count: int, probes: int) -> NDArray[np.int64]:
        # One thread: a process that is to fork must not hold a pool.
        return self._search(query[np.newaxis], count, probes, threads=1)[0]

    def _search(
        self, queries: NDArray[np.float32], count: int, probes: int, threads: int
    ) -> list[NDArray[np.int64]]:
        import faiss

        faiss.omp_set_num_threads(threads)  # a setting of the calling thread
        parameters = faiss.SearchParametersIVF(nprobe=probes)  # pyright: ignore[reportCallIssue]
        _, proposed = self._ann.search(queries, count, params=parameters)
        return [rows[rows >= 0] for rows in proposed]


def _open_ann(folder: Path) -> "faiss.Index":
    import faiss

    return faiss.read_index(str(folder / "ann.faiss"), faiss.IO_FLAG_MMAP | faiss.IO_FLAG_READ_ONLY)


def _lists_for(rows: int) -> int:
    """A power of two near the square root of `rows`, as faiss's guidelines have it for up to a million."""
    return int(2 ** np.clip(round(np.log2(np.sqrt(rows))), 4, 14))


def _train(folder: Path, vectors: NDArray[np.float16], lists: int, seed: int) -> None:
    import faiss

    dimension = vectors.shape[1]
    index = faiss.index_factory(dimension, f"IVF{lists},SQ8", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(seed).choice(
        len(vectors), min(len(vectors), lists * _TRAINING_PER_LIST), replace=False
    )
    index.train(vectors[np.sort(sample)].astype(np.float32))
    for first in range(0, len(vectors), _BLOCK):
        index.add(vectors[first : first + _BLOCK].astype(np.float32))
    faiss.write_index(index, str(folder / "ann.faiss"))
