"""Small JSON files, replaced as a whole or not at all."""

import json
import os
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """The object in `path`."""
    return json.loads(path.read_text(encoding="utf-8"))


def replace_text(path: Path, text: str) -> None:
    """Write `text` so that a reader sees the old file or the new one, and a power cut leaves one of them."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def replace_json(path: Path, value: object) -> None:
    """Write `value` as JSON, see `replace_text`."""
    replace_text(path, json.dumps(value, indent=2, sort_keys=True) + "\n")
