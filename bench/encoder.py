"""The encoder against sentence-transformers: texts a second on one core, and what int8 costs in MAP."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from bench import baselines
from bench.labelled import KNOWN, SHARED, LabelledSet, load
from bench.metrics import measure
from bench.reference import reference_vectors
from bench.report import show_json, show_table
from bench.tickets import real_tickets
from enhancer_dagster.search.encoder import Encoder, open_encoder
from enhancer_dagster.search.export import exported_encoder
from enhancer_dagster.search.model_source import find_model
from enhancer_dagster.search.settings import DEFAULT_MODEL

_CACHE = Path(tempfile.gettempdir()) / "enhancer-bench"
_ROUNDS = 3


def main(
    texts: Annotated[int, typer.Option(help="Texts that are encoded for the throughput.")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    cache: Annotated[Path, typer.Option(help="Where vectors are kept between runs.")] = _CACHE,
) -> None:
    """Throughput and loss of the exported encoder."""
    source = find_model(DEFAULT_MODEL)
    encoder = open_encoder(exported_encoder(source, cache / "work" / "encoders"))
    sample = real_tickets()[:: max(1, 12_000 // texts)][:texts]
    plain, ours = _throughputs(source.path, encoder, sample)
    losses = {name: _losses(load(SHARED / name, kind), encoder, cache) for name, kind in KNOWN.items()}
    if as_json:
        show_json({"plain_per_s": plain, "ours_per_s": ours, "ratio": ours / plain, "map": losses})
        return
    show_table(
        f"encoding {len(sample)} real tickets, one thread, {encoder.card.kind}, parity {encoder.card.parity}",
        ("sentence-transformers /s", "ours /s", "ratio"),
        [(plain, ours, ours / plain)],
    )
    show_table(
        "MAP of dense vectors alone",
        ("set", "full precision", "int8 queries", "int8 queries and documents"),
        [(name, *values.values()) for name, values in losses.items()],
    )


def _throughputs(path: str, encoder: Encoder, texts: list[str]) -> tuple[float, float]:
    """Texts a second, best of three turns each, one after the other on the same core."""
    import torch
    from sentence_transformers import SentenceTransformer

    torch.set_num_threads(1)
    model = SentenceTransformer(path, device="cpu")
    seconds = [
        (
            _seconds(lambda: model.encode(texts, normalize_embeddings=True, show_progress_bar=False)),
            _seconds(lambda: encoder.documents(texts)),
        )
        for _ in range(_ROUNDS)
    ]
    plain, ours = (min(column) for column in zip(*seconds, strict=True))
    return round(len(texts) / plain, 1), round(len(texts) / ours, 1)


def _losses(labelled: LabelledSet, encoder: Encoder, cache: Path) -> dict[str, float]:
    documents, queries = reference_vectors(labelled, cache)
    small_queries = encoder.queries(baselines.asked(labelled))
    small_documents = encoder.documents(baselines.texts(labelled))
    return {
        "full": _map(labelled, documents, queries),
        "int8_queries": _map(labelled, documents, small_queries),
        "int8_both": _map(labelled, small_documents, small_queries),
    }


def _map(labelled: LabelledSet, documents: NDArray[np.float32], queries: NDArray[np.float32]) -> float:
    return measure(labelled.questions, baselines.dense(labelled, documents, queries)).as_dict()["map"]


def _seconds(work: Callable[[], object]) -> float:
    # CPU seconds of this process: a machine that others use too must not count against either side.
    started = time.process_time()
    work()
    return time.process_time() - started
