"""What a snapshot says of itself, and whether its files are what it says.

A snapshot is trusted only after every file had the size and SHA-256 of the manifest. That is read once: a
seal beside the manifest then notes size and time of change of each file, and while these are as noted, so are
the contents.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from enhancer_dagster.search.jsonfile import replace_json

FORMAT = 2
MANIFEST = "manifest.json"
_SEAL = "verified.json"


class SnapshotCorruptError(Exception):
    """A snapshot is not what its manifest says. Never leaves this package."""


class FileFacts(BaseModel):
    """One file of a snapshot."""

    model_config = ConfigDict(frozen=True)

    bytes: int
    sha256: str


class CorpusFacts(BaseModel):
    """One corpus of a snapshot.

    Attributes:
        rows: Documents.
        vectors: The kind of the `VectorIndex`: how candidates are found.
        title_repeats: As documents were indexed, so queries are read.
    """

    model_config = ConfigDict(frozen=True)

    rows: int
    vectors: str
    title_repeats: int


class CheckResult(BaseModel):
    """One check that was made before publication."""

    model_config = ConfigDict(frozen=True)

    name: str
    passed: bool
    value: float | None = None
    expected: str = ""
    message: str = ""


class Manifest(BaseModel):
    """What is in a snapshot."""

    model_config = ConfigDict(frozen=True)

    format: int = FORMAT
    tenant_id: str
    snapshot_id: str
    built_at: AwareDatetime
    encoder: dict[str, str | int | float]
    corpora: dict[str, CorpusFacts]
    inventory_rows: int = 0
    checks: tuple[CheckResult, ...] = ()
    statistics: dict[str, float] = {}
    files: dict[str, FileFacts]

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return sum(facts.bytes for facts in self.files.values())


def describe_files(folder: Path) -> dict[str, FileFacts]:
    """Size and checksum of every file under `folder` but manifest and seal."""
    return {
        str(path.relative_to(folder)): FileFacts(bytes=path.stat().st_size, sha256=_sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (MANIFEST, _SEAL)
    }


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write the manifest into `folder`, last of all its files."""
    replace_json(folder / MANIFEST, manifest.model_dump(mode="json"))


def read_manifest(folder: Path) -> Manifest:
    """The manifest in `folder`.

    Raises:
        SnapshotCorruptError: There is none, or it cannot be read.
    """
    try:
        return parse_manifest((folder / MANIFEST).read_bytes(), str(folder))
    except OSError as error:
        raise SnapshotCorruptError(f"no readable manifest in {folder}: {error}") from error


def parse_manifest(contents: bytes, where: str) -> Manifest:
    """The manifest that `contents` is.

    Raises:
        SnapshotCorruptError: It is none, of another format, or names files outside of the snapshot.
    """
    try:
        manifest = Manifest.model_validate_json(contents)
    except ValidationError as error:
        raise SnapshotCorruptError(f"no readable manifest in {where}: {error}") from error
    if manifest.format != FORMAT:
        raise SnapshotCorruptError(f"{where} has format {manifest.format}, this version reads {FORMAT}")
    if any(Path(name).is_absolute() or ".." in Path(name).parts for name in manifest.files):
        raise SnapshotCorruptError(f"the manifest in {where} names files outside of the snapshot")
    return manifest


def verify(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest, by its contents unless the seal vouches for them.

    Raises:
        SnapshotCorruptError: A file is missing, truncated or changed.
    """
    for name, facts in manifest.files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else -1
        if size != facts.bytes:
            raise SnapshotCorruptError(f"{path} has {max(size, 0)} bytes, not {facts.bytes}")
    if _sealed(folder, manifest):
        return
    for name, facts in manifest.files.items():
        if _sha256(folder / name) != facts.sha256:
            raise SnapshotCorruptError(f"{folder / name} does not have the checksum of the manifest")
    seal(folder, manifest)


def seal(folder: Path, manifest: Manifest) -> None:
    """Note that the contents are as the manifest says; a folder that cannot be written stays unsealed."""
    try:
        replace_json(folder / _SEAL, _state(folder, manifest))
    except OSError:
        return


def _sealed(folder: Path, manifest: Manifest) -> bool:
    try:
        return json.loads((folder / _SEAL).read_text()) == _state(folder, manifest)
    except (OSError, ValueError):
        return False


def _state(folder: Path, manifest: Manifest) -> dict[str, Any]:
    states: dict[str, Any] = {}
    for name, facts in manifest.files.items():
        status = (folder / name).stat()
        states[name] = [status.st_size, status.st_mtime_ns, facts.sha256]
    return states


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
