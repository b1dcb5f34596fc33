"""What is published for a tenant: for people who ask, and for the pages that show it."""

from dataclasses import dataclass
from pathlib import Path

from enhancer_dagster.domain.errors import IndexUnavailableError
from enhancer_dagster.search.cache import local_copy
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.manifest import Manifest, SnapshotCorruptError
from enhancer_dagster.search.publish import fetched_manifest
from enhancer_dagster.search.snapshot import Snapshot


@dataclass(frozen=True)
class SnapshotStatus:
    """One snapshot of a tenant.

    Attributes:
        snapshot_id: Its id.
        is_live: Whether queries are answered from it.
        manifest: What is in it; None where it cannot be read.
        damage: What is wrong with it, empty where nothing is, or where it was not looked for.
    """

    snapshot_id: str
    is_live: bool
    manifest: Manifest | None
    damage: str = ""


def index_status(location: str | Path, tenant_id: str) -> list[SnapshotStatus]:
    """All complete snapshots of a tenant, newest first; contents are not verified.

    Raises:
        ConfigurationError: The tenant's id is none.
    """
    place = TenantLocation(location, tenant_id)
    live = place.current()
    statuses: list[SnapshotStatus] = []
    for snapshot_id in place.snapshot_ids():
        try:
            manifest, damage = fetched_manifest(place, snapshot_id), ""
        except SnapshotCorruptError as error:
            manifest, damage = None, str(error)
        statuses.append(SnapshotStatus(snapshot_id, snapshot_id == live, manifest, damage))
    return statuses


def open_snapshot(
    location: str | Path, tenant_id: str, cache_dir: Path, snapshot_id: str | None = None
) -> Snapshot:
    """One snapshot, verified and opened; the live one unless named. For evaluation, not for queries.

    Raises:
        IndexUnavailableError: There is none, or it is damaged.
    """
    place = TenantLocation(location, tenant_id)
    wanted = snapshot_id or place.current()
    if wanted is None:
        raise IndexUnavailableError(f"no index of tenant {tenant_id} is published yet")
    try:
        local = place.local_root is not None
        return Snapshot(place.snapshot(wanted) if local else local_copy(place, wanted, cache_dir))
    except SnapshotCorruptError as error:
        raise IndexUnavailableError(f"snapshot {wanted} is damaged: {error}") from error
