"""Keeps one tenant's live snapshot open, notices a new one, and falls back where the live one is damaged."""

import time
from collections.abc import Iterator
from pathlib import Path
from threading import Lock

from loguru import logger

from enhancer_dagster.domain.errors import ConfigurationError, IndexUnavailableError
from enhancer_dagster.search.cache import local_copy
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.manifest import SnapshotCorruptError
from enhancer_dagster.search.snapshot import Snapshot

_RETRY_SECONDS = 60.0  # before a damaged snapshot is read, and warned of, again


class FollowedSnapshot:
    """The snapshot of one tenant that queries are answered from.

    Args:
        location: The tenant's.
        cache_dir: Where remote snapshots are kept.
        refresh_seconds: How often `CURRENT` is looked at.
    """

    def __init__(self, location: TenantLocation, cache_dir: Path | None, refresh_seconds: float) -> None:
        if location.local_root is None and cache_dir is None:
            raise ConfigurationError(f"snapshots at {location} need a folder to be cached in")
        self._location = location
        self._cache_dir = cache_dir
        self._refresh_seconds = refresh_seconds
        self._opening = Lock()
        self._snapshot: Snapshot | None = None
        self._looked_at = float("-inf")
        self._damaged: dict[str, float] = {}
        self._log = logger.bind(tenant_id=location.tenant_id)

    def get(self) -> Snapshot:
        """The live snapshot, or the newest readable one before it.

        While a thread opens a new snapshot, the others go on with the old one.

        Raises:
            IndexUnavailableError: Nothing is published, or nothing readable.
        """
        snapshot = self._snapshot
        if snapshot is not None:
            if time.monotonic() - self._looked_at < self._refresh_seconds:
                return snapshot
            if not self._opening.acquire(blocking=False):
                return snapshot
        else:
            self._opening.acquire()
        try:
            return self._look()
        finally:
            self._opening.release()

    def _look(self) -> Snapshot:
        if self._snapshot is not None and time.monotonic() - self._looked_at < self._refresh_seconds:
            return self._snapshot
        try:
            wanted = self._location.current()
            if wanted is None or self._snapshot is None or self._snapshot.manifest.snapshot_id != wanted:
                self._snapshot = self._first_readable(wanted)
        except OSError as error:
            if self._snapshot is None:
                raise IndexUnavailableError(f"{self._location} cannot be read: {error}") from error
            self._log.warning("{} cannot be read, going on with the open snapshot: {}", self._location, error)
        self._looked_at = time.monotonic()
        return self._snapshot

    def _first_readable(self, wanted: str | None) -> Snapshot:
        for snapshot_id in self._in_order(wanted):
            if self._snapshot is not None and self._snapshot.manifest.snapshot_id == snapshot_id:
                return self._snapshot
            snapshot = self._open(snapshot_id)
            if snapshot is not None:
                if snapshot_id != wanted:
                    self._log.warning("answering from the OLDER snapshot {} instead", snapshot_id)
                return snapshot
        if self._snapshot is not None:
            return self._snapshot
        raise IndexUnavailableError(f"no snapshot of tenant {self._location.tenant_id} can be read")

    def _in_order(self, wanted: str | None) -> Iterator[str]:
        """The live id, then those before it; all of them where the pointer holds no id."""
        if wanted is None:
            if not self._location.has_pointer():
                raise IndexUnavailableError(f"no index of tenant {self._location.tenant_id} is published yet")
            self._log.warning("CURRENT of {} is damaged; looking for the newest snapshot", self._location)
        else:
            yield wanted
        for snapshot_id in self._location.snapshot_ids():
            if wanted is None or snapshot_id < wanted:
                yield snapshot_id

    def _open(self, snapshot_id: str) -> Snapshot | None:
        if time.monotonic() - self._damaged.get(snapshot_id, float("-inf")) < _RETRY_SECONDS:
            return None
        try:
            if self._location.local_root is not None:
                return Snapshot(self._location.snapshot(snapshot_id))
            assert self._cache_dir is not None  # noqa: S101 - checked at construction
            return Snapshot(local_copy(self._location, snapshot_id, self._cache_dir))
        except SnapshotCorruptError as error:
            self._damaged[snapshot_id] = time.monotonic()
            self._log.warning("snapshot {} of the index is DAMAGED and not used: {}", snapshot_id, error)
            return None
