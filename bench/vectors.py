"""How nearest vectors are best proposed: codes of all rows, or 8-bit vectors of the nearest lists.

The same vectors and queries as in `python -m bench index`. Each way proposes rows, of which the 16-bit
vectors are then compared; recall is against comparing every row. One thread.
"""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

from bench.latencies import p50_and_p95
from bench.report import show_json, show_table
from bench.tickets import Recombiner, queries
from enhancer_dagster.search.checks import NEIGHBOURS, least_scores, recall, share_found
from enhancer_dagster.search.documents import passage
from enhancer_dagster.search.encoder import open_encoder
from enhancer_dagster.search.encoding import encoder_folder
from enhancer_dagster.search.settings import BuildSettings
from enhancer_dagster.search.vectors import VectorIndex, build_vectors

if TYPE_CHECKING:
    import faiss

_QUERIES = 200
_RESCORED = (100, 250, 500)
_LISTS = 1024
_VISITED = (128, 340, 454)
_RESCORED_OF_LISTS = 200
_COLUMNS = ("way", "MB", "built_s", "recall_at_10", "p50_ms", "p95_ms")


def main(
    vectors: Annotated[int, typer.Option(help="Rows.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Of the generator.")] = 20_251_102,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Where `bench index` left its vectors.")] = None,
) -> None:
    """Size, recall and time of two ways to propose the nearest vectors."""
    with tempfile.TemporaryDirectory(prefix="enhancer-bench-vectors-") as scratch:
        rows, asked = _vectors(folder or Path(scratch), vectors, seed)
        figures = list(_measured(rows, asked, Path(scratch), seed))
    if as_json:
        show_json({"vectors": vectors, "ways": [dict(zip(_COLUMNS, row, strict=True)) for row in figures]})
    else:
        show_table(f"{vectors:,} vectors, one thread", _COLUMNS, figures)


def _vectors(work: Path, count: int, seed: int) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    settings = BuildSettings()
    encoder = open_encoder(encoder_folder(work / "work", settings), settings.threads)
    generator = Recombiner(seed)
    pairs = generator.pairs(count)
    rows = generator.vectors(pairs, *generator.half_vectors(work, encoder))
    return rows, encoder.queries([passage("", text) for text in queries(_QUERIES, seed)])


def _measured(
    rows: NDArray[np.float16], asked: NDArray[np.float32], scratch: Path, seed: int
) -> Iterator[tuple[Any, ...]]:
    started = time.monotonic()
    build_vectors(scratch, rows, exact_up_to=0, seed=seed)
    index, built = VectorIndex(scratch), time.monotonic() - started
    size = (scratch / "codes.faiss").stat().st_size
    for index.rescored in _RESCORED:
        share = recall(index, asked)
        times = _milliseconds(lambda query: index.nearest(query, NEIGHBOURS), asked)
        yield f"codes, {index.rescored} compared again", round(size / 1e6), built, share, *times
    least = least_scores(index, asked)
    started = time.monotonic()
    lists = _inverted_file(rows, seed)
    built = time.monotonic() - started
    for visited in _VISITED:
        times = _milliseconds(lambda query, n=visited: _of_lists(lists, index, query, n), asked)
        found = (_of_lists(lists, index, query, visited) for query in asked)
        share = share_found((np.sort(scores)[-NEIGHBOURS:] for scores in found), least)
        yield f"{visited} of {_LISTS} lists", round(rows.size / 1e6), built, share, *times


def _inverted_file(rows: NDArray[np.float16], seed: int) -> "faiss.Index":
    import faiss

    index = faiss.index_factory(rows.shape[1], f"IVF{_LISTS},SQ8", faiss.METRIC_INNER_PRODUCT)
    sample = np.random.default_rng(seed).choice(len(rows), min(len(rows), 64 * _LISTS), replace=False)
    index.train(rows[np.sort(sample)].astype(np.float32))
    for first in range(0, len(rows), 65_536):
        index.add(rows[first : first + 65_536].astype(np.float32))
    return index


def _of_lists(
    lists: "faiss.Index", index: VectorIndex, query: NDArray[np.float32], visited: int
) -> NDArray[np.float32]:
    """Exact scores of what the lists propose."""
    import faiss

    faiss.omp_set_num_threads(1)
    parameters = faiss.SearchParametersIVF(nprobe=visited)  # pyright: ignore[reportCallIssue]
    _, (proposed,) = lists.search(query[np.newaxis], _RESCORED_OF_LISTS, params=parameters)  # pyright: ignore
    return index.scores(query, proposed[proposed >= 0])


def _milliseconds(
    ask: Callable[[NDArray[np.float32]], object], asked: NDArray[np.float32]
) -> Iterable[float]:
    """Median and 95th percentile."""
    times: list[float] = []
    for query in asked:
        started = time.perf_counter()
        ask(query)
        times.append((time.perf_counter() - started) * 1000)
    return p50_and_p95(times).values()
