"""Tickets in any number: the 12,000 real ones, and recombinations of them by a seeded generator."""

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from enhancer_dagster.search.documents import Document
from enhancer_dagster.search.encoder import Encoder
from enhancer_dagster.search.perturbation import perturbed

_FILE = Path(__file__).parents[2] / "shared" / "data" / "tickets" / "it_tickets_12k.jsonl.gz"
_TITLE_WORDS = 7


def real_tickets() -> list[str]:
    """The texts of the 12,000 real tickets."""
    with gzip.open(_FILE, "rt", encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def queries(count: int, seed: int) -> list[str]:
    """Real tickets with words missing."""
    rng = np.random.default_rng(seed + 1)
    texts = real_tickets()
    return [perturbed(texts[int(row)], rng) for row in rng.choice(len(texts), count, replace=False)]


class Recombiner:
    """Makes tickets of the first half of one real ticket and the second half of another.

    Args:
        seed: Makes them repeatable.
    """

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)
        words = [text.split() for text in real_tickets()]
        self.heads = [" ".join(w[: (len(w) + 1) // 2]) for w in words]
        self.tails = [" ".join(w[(len(w) + 1) // 2 :]) for w in words]

    def pairs(self, count: int) -> NDArray[np.int64]:
        """Which head and which tail each of `count` tickets has."""
        return self._rng.integers(0, len(self.heads), size=(count, 2))

    def documents(self, pairs: NDArray[np.int64]) -> Iterator[Document]:
        """The tickets of `pairs`."""
        for number, (head, tail) in enumerate(pairs):
            body = f"{self.heads[head]} {self.tails[tail]}"
            title = " ".join(body.split(" ", _TITLE_WORDS)[:_TITLE_WORDS])
            record: dict[str, str | None] = {
                "subject": title,
                "resolution": self.tails[head],
                "status": "Closed",
                "resolved_at": "2025-11-02T15:30:45+00:00",
            }
            yield Document(str(number), title, body, record)

    def vectors(
        self, pairs: NDArray[np.int64], heads: NDArray[np.float32], tails: NDArray[np.float32]
    ) -> NDArray[np.float16]:
        """Stand-ins for the tickets' vectors: the mean of their halves' vectors, with a little noise.

        The model pools by the mean over tokens, so that this is near what it would give.
        """
        result = np.empty((len(pairs), heads.shape[1]), dtype=np.float16)
        for first in range(0, len(pairs), 65_536):
            part = pairs[first : first + 65_536]
            mixed = heads[part[:, 0]] + tails[part[:, 1]]
            mixed += self._rng.normal(0, 0.01, mixed.shape).astype(np.float32)
            result[first : first + len(part)] = mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
        return result

    def half_vectors(self, folder: Path, encoder: Encoder) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Vectors of the heads and of the tails, kept in `folder`: encoding them takes minutes."""
        path = folder / "halves.npz"
        if not path.exists():
            logger.info("encoding the halves of {} real tickets", len(self.heads))
            np.savez(path, heads=encoder.documents(self.heads), tails=encoder.documents(self.tails))
        with np.load(path) as stored:
            return stored["heads"], stored["tails"]
