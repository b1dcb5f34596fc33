"""How a benchmark shows its figures: a table for people, JSON for scripts."""

import json
import os
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table


def show_json(figures: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(figures, indent=2))


def show_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on standard output, with the machine's load, because figures depend on it."""
    table = Table(title=title, caption=f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 else "right")
    for row in rows:
        table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)
