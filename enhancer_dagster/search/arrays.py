"""Arrays of a snapshot, one `.npy` file each, memory-mapped: a process pays only for what it reads."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def save_array(folder: Path, name: str, array: NDArray) -> None:
    """Write `array` as `<name>.npy`."""
    np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)


def open_array(folder: Path, name: str) -> NDArray:
    """The array `<name>.npy`, memory-mapped (an empty one is read: there is nothing to map)."""
    path = folder / f"{name}.npy"
    try:
        # A plain ndarray over the map: the memmap subclass makes every slice several times slower.
        return np.load(path, mmap_mode="r", allow_pickle=False).view(np.ndarray)
    except ValueError:
        return np.load(path, allow_pickle=False)


def best_rows(scores: NDArray[np.float32], count: int) -> NDArray[np.int64]:
    """The rows with the `count` highest scores, in no particular order."""
    if count < len(scores):
        return np.argpartition(scores, len(scores) - count)[-count:].astype(np.int64)
    return np.arange(len(scores))
