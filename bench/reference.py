"""Vectors of a labelled set as sentence-transformers makes them, in full precision."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import baselines
from bench.labelled import LabelledSet
from enhancer_dagster.search.model_source import find_model
from enhancer_dagster.search.settings import DEFAULT_MODEL


def reference_vectors(labelled: LabelledSet, cache: Path) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Vectors of all documents and all queries; kept in `cache`, since they take a minute."""
    source = find_model(DEFAULT_MODEL)
    texts = baselines.texts(labelled), baselines.asked(labelled)
    path = cache / "reference" / f"{labelled.name}-{source.key}-{hash_of(texts)}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, documents=_encode(source.path, texts[0]), queries=_encode(source.path, texts[1]))
    with np.load(path) as stored:
        return stored["documents"], stored["queries"]


def hash_of(texts: tuple[list[str], list[str]]) -> str:
    """Names exactly these texts."""
    from hashlib import sha256

    return sha256("\0".join(texts[0] + texts[1]).encode()).hexdigest()[:12]


def _encode(path: str, texts: list[str]) -> NDArray[np.float32]:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(path, device="cpu")
    return np.asarray(model.encode(texts, normalize_embeddings=True, show_progress_bar=False))
