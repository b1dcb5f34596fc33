"""One corpus of a snapshot, built from documents and their vectors."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from enhancer_dagster.search.arrays import save_array
from enhancer_dagster.search.documents import Document, passage
from enhancer_dagster.search.embeddings import EmbeddingCache, Encoded, Progress
from enhancer_dagster.search.encoder import Encoder
from enhancer_dagster.search.lexical import build_lexical, document_terms
from enhancer_dagster.search.manifest import CorpusFacts
from enhancer_dagster.search.records import build_records
from enhancer_dagster.search.settings import CorpusWeights
from enhancer_dagster.search.templates import find_template_lines, without_template_lines
from enhancer_dagster.search.vectors import VectorIndex, build_vectors


class CorpusText:
    """The text of a corpus as it is compared: without template lines.

    Args:
        documents: In the order of the rows.
        weights: Of this corpus.
    """

    def __init__(self, documents: Sequence[Document], weights: CorpusWeights) -> None:
        self.documents = documents
        self.weights = weights
        self.templates = find_template_lines(document.body for document in documents)
        self._bodies = [without_template_lines(document.body, self.templates) for document in documents]

    def passages(self) -> list[str]:
        """What is encoded: title and body of every document, then, where they count, the titles."""
        both = [passage(d.title, body) for d, body in zip(self.documents, self._bodies, strict=True)]
        if self.weights.title_vector_weight:
            both += [passage(document.title) for document in self.documents]
        return both

    def terms(self) -> Iterator[list[str]]:
        """The words of every document."""
        for document, body in zip(self.documents, self._bodies, strict=True):
            yield document_terms(document.title, body, self.weights.title_repeats)

    def encode(self, cache: EmbeddingCache, encoder: Encoder, progress: Progress | None) -> Encoded:
        """One vector a document; a title's own is mixed in with its weight."""
        encoded = cache.encode(self.passages(), encoder, progress)
        weight = self.weights.title_vector_weight
        if not weight:
            return encoded
        rows = len(self.documents)
        mixed = encoded.vectors[:rows].astype(np.float32) + weight * encoded.vectors[rows:].astype(np.float32)
        mixed /= np.maximum(np.linalg.norm(mixed, axis=1, keepdims=True), 1e-9)
        return Encoded(mixed.astype(np.float16), encoded.new, encoded.seconds)


def build_corpus(
    folder: Path, text: CorpusText, vectors: NDArray[np.float16], *, exact_up_to: int, seed: int
) -> CorpusFacts:
    """Write the index of one corpus into `folder`."""
    folder.mkdir(parents=True)
    with ThreadPoolExecutor(max_workers=1) as pool:
        # faiss works outside of Python's lock: the second core is not idle while words are counted.
        indexing = pool.submit(build_vectors, folder, vectors, exact_up_to=exact_up_to, seed=seed)
        build_lexical(folder, text.terms())
        indexing.result()
    build_records(folder, ({"id": d.document_id} | d.record for d in text.documents))
    save_array(folder, "templates", np.array(sorted(text.templates), dtype=np.uint64))
    return CorpusFacts(
        rows=len(text.documents),
        vectors=VectorIndex(folder).kind,
        title_repeats=text.weights.title_repeats,
    )
