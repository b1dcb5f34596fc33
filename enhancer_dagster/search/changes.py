"""What a build changes against the live snapshot: which documents are new, say something else, are gone."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from enhancer_dagster.search.analysis import term_keys
from enhancer_dagster.search.arrays import save_array
from enhancer_dagster.search.documents import Document
from enhancer_dagster.search.location import TenantLocation

_NAME = "row_keys"


@dataclass(frozen=True)
class Changes:
    """Documents of all corpora together."""

    new: int = 0
    changed: int = 0
    removed: int = 0

    def __add__(self, other: "Changes") -> "Changes":
        return Changes(self.new + other.new, self.changed + other.changed, self.removed + other.removed)


def write_row_keys(folder: Path, documents: Sequence[Document]) -> None:
    """Write two 64-bit keys a row into a corpus's `folder`: of the id, and of title, text and resolution."""
    texts = (f"{d.title}\n{d.body}\n{d.record.get('resolution') or ''}" for d in documents)
    ids = (document.document_id for document in documents)
    save_array(folder, _NAME, np.column_stack([term_keys(ids), term_keys(texts)]))


def changes(draft: Path, place: TenantLocation, corpora: Mapping[str, object]) -> Changes:
    """Compare a draft with the live snapshot; where none can be read, everything is new."""
    live = place.current()
    total = Changes()
    for name in corpora:
        after = _texts_by_id((draft / name / f"{_NAME}.npy").read_bytes())
        total += _compared(_live_texts(place, live, name), after)
    return total


def _live_texts(place: TenantLocation, live: str | None, corpus: str) -> pd.Series:
    try:
        contents = (place.snapshot(live) / corpus / f"{_NAME}.npy").read_bytes() if live else b""
        return _texts_by_id(contents)
    except (OSError, ValueError):  # damaged, or of a version that wrote none
        return _texts_by_id(b"")


def _texts_by_id(contents: bytes) -> pd.Series:
    keys = np.load(io.BytesIO(contents), allow_pickle=False) if contents else np.zeros((0, 2), np.uint64)
    return pd.Series(keys[:, 1], index=keys[:, 0]).groupby(level=0).last()


def _compared(before: pd.Series, after: pd.Series) -> Changes:
    same_id = before.index.intersection(after.index)
    return Changes(
        new=len(after) - len(same_id),
        changed=int((before.loc[same_id] != after.loc[same_id]).sum()),
        removed=len(before) - len(same_id),
    )
