"""Where snapshots are: a folder or any fsspec address, one folder a tenant, one pointer to the live one.

    <location>/<tenant>/CURRENT                   id of the published snapshot
    <location>/<tenant>/snapshots/<id>/…          its files; never changed once they are there
An id starts with the time of the build, so that ids sort by age.
"""

import re
import secrets
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError
from upath import UPath

from enhancer_dagster.domain.errors import ConfigurationError, TransientError
from enhancer_dagster.domain.tickets import TenantId
from enhancer_dagster.search.jsonfile import replace_text
from enhancer_dagster.search.manifest import MANIFEST

_SNAPSHOT_ID = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{6}")
_TENANT_ID: TypeAdapter[str] = TypeAdapter(TenantId)
_LOCAL = ("", "file", "local")
LOCK_SECONDS = 1_800
"""How long a build waits for another one of the same tenant."""


def new_snapshot_id() -> str:
    """An id for a snapshot that is built now."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}Z-{secrets.token_hex(3)}"


def tenants_with_index(location: str | Path) -> list[str]:
    """The tenants that have a folder at `location`, in order."""
    folder = UPath(location)
    return sorted(child.name for child in folder.iterdir() if child.is_dir()) if folder.exists() else []


class TenantLocation:
    """The snapshots of one tenant.

    Args:
        location: Path or fsspec address of all tenants' snapshots.
        tenant_id: Whose; it becomes a folder's name and is checked before.

    Raises:
        ConfigurationError: The tenant's id is not one.
    """

    def __init__(self, location: str | Path, tenant_id: str) -> None:
        try:
            _TENANT_ID.validate_python(tenant_id)
        except ValidationError as error:
            raise ConfigurationError(f"{tenant_id!r} is not a tenant's id") from error
        self.tenant_id = tenant_id
        self._root: Any = UPath(location) / tenant_id
        self.local_root: Path | None = Path(self._root.path) if self._root.protocol in _LOCAL else None

    def __str__(self) -> str:
        return str(self._root)

    def snapshot(self, snapshot_id: str) -> Any:
        """The folder of a snapshot, as a `Path` or `UPath`."""
        return (self.local_root or self._root) / "snapshots" / snapshot_id

    def current(self) -> str | None:
        """The id that `CURRENT` holds, None where nothing was published or what it holds is no id."""
        try:
            text = ((self.local_root or self._root) / "CURRENT").read_text().strip()
        except (FileNotFoundError, UnicodeDecodeError):
            return None
        return text if _SNAPSHOT_ID.fullmatch(text) else None

    def has_pointer(self) -> bool:
        """Whether there is a `CURRENT`, readable or not."""
        return ((self.local_root or self._root) / "CURRENT").exists()

    def snapshot_ids(self) -> list[str]:
        """The ids of all complete snapshots, newest first."""
        folder = (self.local_root or self._root) / "snapshots"
        try:
            names = [child.name for child in folder.iterdir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        complete = [n for n in names if _SNAPSHOT_ID.fullmatch(n) and (folder / n / MANIFEST).exists()]
        return sorted(complete, reverse=True)

    def point_to(self, snapshot_id: str) -> None:
        """Make `snapshot_id` the live one: by a rename on a file system, by one PUT elsewhere."""
        if self.local_root is not None:
            replace_text(self.local_root / "CURRENT", snapshot_id + "\n")
        else:
            (self._root / "CURRENT").write_text(snapshot_id + "\n")

    def lock(self, folder: Path) -> AbstractContextManager[object]:
        """Keeps a second writer of this tenant out, waiting for it to end.

        Args:
            folder: For the lock file where the location is remote: locks hold on one machine only.

        Raises:
            TransientError: The other one took longer than `LOCK_SECONDS`.
        """
        folder = self.local_root or folder / self.tenant_id
        folder.mkdir(parents=True, exist_ok=True)
        return _Lock(folder / ".lock")


class _Lock(AbstractContextManager["_Lock"]):
    def __init__(self, path: Path) -> None:
        self._lock = FileLock(path, timeout=LOCK_SECONDS)

    def __enter__(self) -> "_Lock":
        try:
            self._lock.acquire()
        except Timeout as error:
            raise TransientError("another build of this tenant's index does not end") from error
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
