"""Vectors are made once for a text, survive an interruption, and belong to one model."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from enhancer_dagster.search.embeddings import EmbeddingCache
from enhancer_dagster.search.encoder import EncoderCard

DIMENSION = 8


class CountingEncoder:
    """Vectors that depend on nothing but the text; breaks off after so many calls."""

    def __init__(self, calls_until_broken: int = 1_000) -> None:
        self.card = EncoderCard("test", "test", "1", DIMENSION, 16)
        self.encoded: list[str] = []
        self._calls = calls_until_broken

    def queries(self, texts: list[str]) -> NDArray[np.float32]:
        return self.documents(texts)

    def documents(self, texts: list[str]) -> NDArray[np.float32]:
        if self._calls == 0:
            raise KeyboardInterrupt
        self._calls -= 1
        self.encoded += texts
        rows = [
            np.random.default_rng(len(text) + sum(text.encode())).normal(size=DIMENSION) for text in texts
        ]
        return np.array([row / np.linalg.norm(row) for row in rows], dtype=np.float32)


def test_only_new_texts_are_encoded_and_each_once(tmp_path: Path) -> None:
    first, second = CountingEncoder(), CountingEncoder()
    assert EmbeddingCache(tmp_path, DIMENSION).encode(["a", "bb", "a"], first).new == 2
    encoded = EmbeddingCache(tmp_path, DIMENSION).encode(["bb", "ccc", "a"], second)
    assert second.encoded == ["ccc"]
    assert encoded.vectors.astype(np.float32) == pytest.approx(
        CountingEncoder().documents(["bb", "ccc", "a"]), abs=1e-3
    )


def test_work_before_an_interruption_is_kept(tmp_path: Path) -> None:
    texts = [f"text {i}" for i in range(1_200)]
    with pytest.raises(KeyboardInterrupt):
        EmbeddingCache(tmp_path, DIMENSION).encode(texts, CountingEncoder(calls_until_broken=2))
    again = CountingEncoder()
    encoded = EmbeddingCache(tmp_path, DIMENSION).encode(texts, again)
    assert 0 < len(again.encoded) < 400
    assert encoded.vectors.astype(np.float32) == pytest.approx(CountingEncoder().documents(texts), abs=1e-3)


@pytest.mark.parametrize("name", ["vectors.f16", "hashes.bin"])
def test_a_half_written_row_is_made_again(tmp_path: Path, name: str) -> None:
    texts = [f"text {i}" for i in range(50)]
    EmbeddingCache(tmp_path, DIMENSION).encode(texts, CountingEncoder())
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-3])
    again = CountingEncoder()
    encoded = EmbeddingCache(tmp_path, DIMENSION).encode(texts, again)
    assert len(again.encoded) == 1
    assert encoded.vectors.astype(np.float32) == pytest.approx(CountingEncoder().documents(texts), abs=1e-3)


def test_vectors_of_texts_that_are_gone_are_dropped_in_time(tmp_path: Path) -> None:
    cache = EmbeddingCache(tmp_path, DIMENSION)
    cache.encode([f"old {i}" for i in range(12_000)], CountingEncoder())
    kept = cache.encode([f"old {i}" for i in range(100)], CountingEncoder())
    assert len(cache) == 100
    assert kept.new == 0
    assert (tmp_path / "vectors.f16").stat().st_size == 100 * 2 * DIMENSION


def test_no_texts(tmp_path: Path) -> None:
    assert EmbeddingCache(tmp_path, DIMENSION).encode([], CountingEncoder()).vectors.shape == (0, DIMENSION)


def test_progress_is_told_to_the_end(tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    texts = [f"text {i}" for i in range(600)]
    EmbeddingCache(tmp_path, DIMENSION).encode(
        texts, CountingEncoder(), lambda done, all_, _: told.append((done, all_))
    )
    assert told == [(512, 600), (600, 600)]
