"""Drafts become snapshots, and one of them the live one; old ones go."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loguru import logger

from enhancer_dagster.domain.errors import IndexUnavailableError
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.manifest import (
    MANIFEST,
    Manifest,
    SnapshotCorruptError,
    parse_manifest,
    read_manifest,
)

KEPT = 3
"""Snapshots that stay: the live one and the two before it."""


@contextmanager
def drafted(place: TenantLocation, work_dir: Path, snapshot_id: str) -> Iterator[Path]:
    """A folder to build in, on the same file system as the location where that is a path; removed at the end.

    Drafts of builds that were killed are removed as well: the caller holds the tenant's lock.
    """
    parent = place.local_root / "snapshots" if place.local_root else work_dir / place.tenant_id / "drafts"
    parent.mkdir(parents=True, exist_ok=True)
    for leftover in parent.glob(".*"):
        shutil.rmtree(leftover, ignore_errors=True)
    draft = parent / f".{snapshot_id}"
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def publish(place: TenantLocation, draft: Path, snapshot_id: str) -> None:
    """Make a finished draft the live snapshot and remove all but the newest `KEPT`."""
    if place.local_root is not None:
        draft.rename(place.snapshot(snapshot_id))
    else:
        _upload(draft, place.snapshot(snapshot_id))
    place.point_to(snapshot_id)
    logger.bind(tenant_id=place.tenant_id).info("published index snapshot {}", snapshot_id)
    _remove_old(place, snapshot_id)


def roll_back(place: TenantLocation, work_dir: Path) -> str:
    """Make the snapshot before the live one live again; returns its id.

    Raises:
        IndexUnavailableError: There is none before it.
    """
    with place.lock(work_dir):
        current = place.current()
        older = [sid for sid in place.snapshot_ids() if current is None or sid < current]
        if not older:
            raise IndexUnavailableError(f"tenant {place.tenant_id} has no snapshot before {current}")
        place.point_to(older[0])
    return older[0]


def last_manifest(place: TenantLocation) -> Manifest | None:
    """The manifest of the live snapshot, None where there is none that can be read."""
    current = place.current()
    try:
        return fetched_manifest(place, current) if current else None
    except SnapshotCorruptError:
        return None


def fetched_manifest(place: TenantLocation, snapshot_id: str) -> Manifest:
    """A snapshot's manifest, wherever it is.

    Raises:
        SnapshotCorruptError: There is none, or it cannot be read.
    """
    if place.local_root is not None:
        return read_manifest(place.snapshot(snapshot_id))
    try:
        return parse_manifest((place.snapshot(snapshot_id) / MANIFEST).read_bytes(), str(place))
    except OSError as error:
        raise SnapshotCorruptError(f"no manifest of {snapshot_id} at {place}: {error}") from error


def _upload(draft: Path, target: object) -> None:
    """Copy a draft, its manifest last: without one a snapshot is not complete."""
    paths = [path for path in draft.rglob("*") if path.is_file()]
    for path in sorted(paths, key=lambda path: path.name == MANIFEST):
        remote = target / str(path.relative_to(draft))  # pyright: ignore[reportOperatorIssue]
        remote.parent.mkdir(parents=True, exist_ok=True)
        with path.open("rb") as source, remote.open("wb") as sink:
            shutil.copyfileobj(source, sink, 1 << 20)


def _remove_old(place: TenantLocation, current: str) -> None:
    older = [snapshot_id for snapshot_id in place.snapshot_ids() if snapshot_id < current]
    for snapshot_id in older[KEPT - 1 :]:
        folder = place.snapshot(snapshot_id)
        if place.local_root is not None:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            folder.fs.rm(folder.path, recursive=True)
