"""Snapshots of a remote location, fetched once a machine and kept as local folders."""

import hashlib
import shutil
from pathlib import Path
from typing import Any

from filelock import FileLock

from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.manifest import MANIFEST, SnapshotCorruptError, read_manifest, verify

_KEPT = 2  # the live one and the one that readers may still be finishing with


def local_copy(location: TenantLocation, snapshot_id: str, cache_dir: Path) -> Path:
    """The local folder of a snapshot, fetched now where it is not there yet.

    Raises:
        SnapshotCorruptError: What was fetched is not what the manifest says.
    """
    place = cache_dir / hashlib.sha256(str(location).encode()).hexdigest()[:16] / location.tenant_id
    folder = place / snapshot_id
    place.mkdir(parents=True, exist_ok=True)
    with FileLock(place / ".lock"):
        if not folder.exists():
            draft = place / f".{snapshot_id}"
            shutil.rmtree(draft, ignore_errors=True)
            _fetch(location.snapshot(snapshot_id), draft)
            draft.rename(folder)
            _forget_old(place)
    return folder


def _fetch(source: Any, folder: Path) -> None:
    folder.mkdir()
    try:
        (folder / MANIFEST).write_bytes((source / MANIFEST).read_bytes())
        manifest = read_manifest(folder)
        for name in manifest.files:
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            with (source / name).open("rb") as remote, target.open("wb") as local:
                shutil.copyfileobj(remote, local, 1 << 20)
    except OSError as error:
        raise SnapshotCorruptError(f"{source} cannot be fetched: {error}") from error
    verify(folder, manifest)


def _forget_old(place: Path) -> None:
    folders = sorted((p for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")), reverse=True)
    for folder in folders[_KEPT:]:
        shutil.rmtree(folder, ignore_errors=True)
