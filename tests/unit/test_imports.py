"""Imports point one way, dagster stays where it belongs, and nothing happens at import."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "enhancer_dagster"
TOP = {"settings", "logs", "database"}
"""Modules at the top that everybody may use."""

MAY_IMPORT = {
    "domain": {"domain"},
    "adapters": {"adapters", "domain"} | TOP,
    "search": {"search", "domain"} | TOP,
    "bridge": {"bridge", "domain", "adapters.tenants", "adapters.secrets"} | TOP,
    "simulator": {"simulator", "domain"} | TOP,
    "runtime": {"runtime", "adapters", "domain", "simulator", "bridge", "search"} | TOP,
    "defs": {"defs", "adapters", "search", "domain"} | TOP,
    "definitions": {"defs"} | TOP,
    "migrations": {"migrations"},
    "settings": {"domain"},
    "logs": {"domain"},
    "database": {"domain"},
}
WITH_DAGSTER = ("defs", "runtime", "definitions", "cli")


def modules() -> list[Path]:
    return sorted(path for path in PACKAGE.rglob("*.py") if "__pycache__" not in path.parts)


def part_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path, *, at_import_only: bool = False) -> set[str]:
    tree = ast.parse(path.read_text())
    nodes = tree.body if at_import_only else list(ast.walk(tree))
    names: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path: Path) -> None:
    allowed = MAY_IMPORT.get(part_of(path))
    if allowed is None:
        return  # the package itself and the command line
    ours = {
        name.removeprefix("enhancer_dagster.")
        for name in imported(path)
        if name.startswith("enhancer_dagster.")
    }
    strays = {name for name in ours if not any(name == a or name.startswith(f"{a}.") for a in allowed)}
    assert not strays, f"{path.relative_to(PACKAGE)} must not import {sorted(strays)}"


def test_the_rule_catches_a_stray(tmp_path: Path) -> None:
    stray = tmp_path / "stray.py"
    stray.write_text("def f():\n    from enhancer_dagster.adapters.history import PostgresHistory\n")
    assert imported(stray) == {"enhancer_dagster.adapters.history.PostgresHistory"}


def fresh_interpreter(program: str, **environment: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": "", **environment},
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_dagster_is_imported_only_where_it_belongs() -> None:
    names = [
        ".".join(("enhancer_dagster", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        )
        for path in modules()
        if part_of(path) not in WITH_DAGSTER and path.stem not in {"env", "__main__"}
    ]
    program = f"""
import importlib, json, sys
strays = []
for name in {names!r}:
    importlib.import_module(name)
    if "dagster" in sys.modules:
        strays.append(name)
        break
print(json.dumps({{"strays": strays, "torch": "torch" in sys.modules}}))
"""
    assert fresh_interpreter(program) == {"strays": [], "torch": False}


def test_importing_everything_reads_neither_settings_nor_network() -> None:
    program = """
import json, socket
def connect(*_):
    raise AssertionError("the network was asked at import")
socket.socket.connect = connect
import enhancer_dagster.definitions, enhancer_dagster.cli, enhancer_dagster.bridge
print(json.dumps({"imported": True}))
"""
    nonsense = {"ENHANCER_MAX_CONCURRENT_TICKETS": "nonsense", "HOME": "/nonexistent"}
    assert fresh_interpreter(program, **nonsense) == {"imported": True}
