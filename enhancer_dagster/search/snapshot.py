"""A snapshot, opened: verified once, memory-mapped, shared by all threads and forks of a process."""

from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from enhancer_dagster.search.corpus_index import CorpusIndex
from enhancer_dagster.search.documents import Query
from enhancer_dagster.search.encoder import Encoder, open_encoder
from enhancer_dagster.search.inventory import Inventory
from enhancer_dagster.search.manifest import Manifest, SnapshotCorruptError, read_manifest, verify

TICKETS = "tickets"
ARTICLES = "articles"
INVENTORY = "inventory"
ENCODER = "encoder"


class Snapshot:
    """All that a tenant's queries need.

    Every file is opened here, so that a folder that is removed later disturbs no reader.

    Args:
        folder: A local folder.

    Raises:
        SnapshotCorruptError: A file is missing, truncated or changed.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest: Manifest = read_manifest(folder)
        verify(folder, self.manifest)
        try:
            self.corpora = {
                name: CorpusIndex(folder / name, facts) for name, facts in self.manifest.corpora.items()
            }
            self.inventory = Inventory(folder / INVENTORY)
        except (OSError, ValueError, KeyError) as error:
            raise SnapshotCorruptError(f"{folder} cannot be opened: {error}") from error
        self.encoder: Encoder = _shared_encoder(folder / ENCODER, _encoder_key(self.manifest))
        self._encoding = Lock()
        self._latest: dict[str, NDArray[np.float32]] = {}

    def vector(self, corpus: str, query: Query) -> NDArray[np.float32]:
        """The vector of a cleaned query.

        The latest one is kept and waited for: a ticket asks every corpus with the same text, side by side,
        and encoding is the dearest part of a search.
        """
        text = self.corpora[corpus].passage(query)
        with self._encoding:
            if text not in self._latest:
                self._latest = {text: self.encoder.queries([text])[0]}
            return self._latest[text]


def _encoder_key(manifest: Manifest) -> tuple[str, ...]:
    prefix = f"{ENCODER}/"
    return tuple(facts.sha256 for name, facts in sorted(manifest.files.items()) if name.startswith(prefix))


_encoders: WeakValueDictionary[tuple[str, ...], Encoder] = WeakValueDictionary()


def _shared_encoder(folder: Path, key: tuple[str, ...]) -> Encoder:
    """The encoder in `folder`; snapshots with the same files share one (100 MB), whoever's they are."""
    encoder = _encoders.get(key)
    if encoder is None:
        encoder = open_encoder(folder)
        _encoders[key] = encoder
    return encoder
