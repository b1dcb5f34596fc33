"""What a hit needs to be shown, one JSON object a row, read one at a time out of a memory-mapped file."""

import json
import mmap
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from enhancer_dagster.search.arrays import open_array, save_array

Record = dict[str, str | None]


def build_records(folder: Path, records: Iterable[Record]) -> None:
    """Write `records`, in the order of the rows, into `folder`."""
    ends = [0]
    with (folder / "records.bin").open("wb") as file:
        for record in records:
            ends.append(ends[-1] + file.write(json.dumps(record, ensure_ascii=True).encode()))
    save_array(folder, "records", np.array(ends, dtype=np.uint64))


class Records:
    """Built records, opened.

    Args:
        folder: Where `build_records` wrote them.
    """

    def __init__(self, folder: Path) -> None:
        self._ends = open_array(folder, "records")
        with (folder / "records.bin").open("rb") as file:
            size = int(self._ends[-1])
            self._bytes = mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) if size else b""

    def __len__(self) -> int:
        return len(self._ends) - 1

    def __getitem__(self, row: int) -> Record:
        return json.loads(self._bytes[int(self._ends[row]) : int(self._ends[row + 1])])
