"""Vectors of texts that were encoded before, by the hash of the text, kept in files beside the corpus.

Two files grow together: `hashes.bin` (16 bytes a text) and `vectors.f16`. A batch is appended to the vectors
first; whatever an interruption left half-written is cut off on opening. The folder's name holds model and
revision, so that a vector is never used for another model.
"""

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from loguru import logger
from numpy.typing import NDArray

from enhancer_dagster.search.encoder import Encoder

_HASH = np.dtype("S16")
_BATCH = 512
_LOG_SECONDS = 10.0
_LEAST_ROWS_TO_COMPACT = 10_000

Progress = Callable[[int, int, float], None]
"""Told how many of how many texts are encoded, and after how many seconds."""


@dataclass(frozen=True)
class Encoded:
    """Vectors of a list of texts, one a row, and what it took.

    Attributes:
        vectors: 16-bit, unit length.
        new: Texts that had to be encoded.
        seconds: That the encoding took.
    """

    vectors: NDArray[np.float16]
    new: int
    seconds: float


def text_hash(text: str) -> bytes:
    """16 bytes that stand for a text."""
    # The last byte is never NUL: numpy strips trailing NULs from byte strings.
    return hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=15).digest() + b"\x01"


class EmbeddingCache:
    """All vectors that one model made for one tenant. A second process waits for its turn.

    Args:
        folder: Of this tenant and model.
        dimension: Of its vectors.
    """

    def __init__(self, folder: Path, dimension: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._hashes_path, self._vectors_path = folder / "hashes.bin", folder / "vectors.f16"
        self._dimension = dimension
        self._load()

    def __len__(self) -> int:
        return len(self._sorted)

    def encode(self, texts: Sequence[str], encoder: Encoder, progress: Progress | None = None) -> Encoded:
        """The vectors of `texts`, encoding those that are new and keeping them batch by batch.

        Args:
            texts: May repeat.
            encoder: Of the model this cache belongs to.
            progress: Called after each batch; by default the log is told every ten seconds.
        """
        started = time.monotonic()
        hashes = np.array([text_hash(text) for text in texts], dtype=_HASH)
        with FileLock(self._hashes_path.with_name(".lock")):
            self._load()
            new = self._encode_unknown(texts, hashes, encoder, progress or _logged())
            self._forget_unused(hashes)
            vectors = self._vectors()[self._rows_of(hashes)]
        return Encoded(vectors, new, time.monotonic() - started)

    def add(self, texts: Sequence[str], vectors: NDArray[np.float16]) -> None:
        """Keep vectors that were made elsewhere for `texts`."""
        self._append(texts, vectors)
        self._load()

    def _encode_unknown(
        self, texts: Sequence[str], hashes: NDArray[np.bytes_], encoder: Encoder, progress: Progress
    ) -> int:
        started = time.monotonic()
        unknown = np.flatnonzero(self._rows_of(hashes) < 0)
        # Each text once, longest first: a batch is of like lengths, and the remaining time is not underrated.
        pending = sorted({texts[int(i)] for i in unknown}, key=len, reverse=True)
        for first in range(0, len(pending), _BATCH):
            batch = pending[first : first + _BATCH]
            self._append(batch, encoder.documents(batch))
            progress(first + len(batch), len(pending), time.monotonic() - started)
        if pending:
            self._load()
        return len(pending)

    def _load(self) -> None:
        """Read the hashes, after cutting both files to the rows that are whole in both."""
        row_bytes = 2 * self._dimension
        rows = min(_size(self._hashes_path) // _HASH.itemsize, _size(self._vectors_path) // row_bytes)
        for path, size in ((self._hashes_path, _HASH.itemsize), (self._vectors_path, row_bytes)):
            path.touch()
            os.truncate(path, rows * size)
        hashes = np.fromfile(self._hashes_path, dtype=_HASH)
        self._order = np.argsort(hashes, kind="stable")
        self._sorted = hashes[self._order]

    def _rows_of(self, hashes: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """The row of each hash, -1 where there is none."""
        if not len(self._sorted):
            return np.full(len(hashes), -1)
        at = np.minimum(np.searchsorted(self._sorted, hashes), len(self._sorted) - 1)
        return np.where(self._sorted[at] == hashes, self._order[at], -1)

    def _vectors(self) -> NDArray[np.float16]:
        if not len(self._sorted):
            return np.zeros((0, self._dimension), dtype=np.float16)
        return np.memmap(self._vectors_path, np.float16, "r", shape=(len(self._sorted), self._dimension))

    def _append(self, texts: Sequence[str], vectors: NDArray) -> None:
        hashes = np.array([text_hash(text) for text in texts], dtype=_HASH)
        for path, array in ((self._vectors_path, vectors.astype(np.float16)), (self._hashes_path, hashes)):
            with path.open("ab") as file:
                file.write(array.tobytes())
                file.flush()
                os.fsync(file.fileno())

    def _forget_unused(self, used: NDArray[np.bytes_]) -> None:
        """Rewrite the files once most of them are vectors of texts that are gone."""
        if len(self) < _LEAST_ROWS_TO_COMPACT or len(self) < 2 * len(used):
            return
        rows = np.unique(self._rows_of(used))
        kept, hashes = np.array(self._vectors()[rows]), np.fromfile(self._hashes_path, dtype=_HASH)[rows]
        self._hashes_path.unlink()
        self._vectors_path.write_bytes(kept.tobytes())
        self._hashes_path.write_bytes(hashes.tobytes())
        self._load()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _logged() -> Progress:
    told = time.monotonic()

    def report(done: int, total: int, seconds: float) -> None:
        nonlocal told
        if done == total or time.monotonic() - told > _LOG_SECONDS:
            told = time.monotonic()
            logger.info("encoded {} of {} texts, {:.0f} a second", done, total, done / max(seconds, 1e-6))

    return report
