"""The same benchmark several times: the median of each figure, and how far the tries lie apart."""

import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer
from loguru import logger

from bench.report import show_json, show_table
from bench.services import bench_environment


def main(
    benchmark: Annotated[
        list[str], typer.Argument(metavar="-- NAME [OPTIONS]", help="What to repeat, with its options.")
    ],
    tries: Annotated[int, typer.Option(min=2, help="How often, each time on a system of its own.")] = 3,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Medians and spread of a benchmark's figures over several tries."""
    found = []
    for number in range(1, tries + 1):
        logger.info("try {} of {}: {}", number, tries, " ".join(benchmark))
        found.append(dict(leaves(_figures(benchmark))))
    figures = spread(found)
    if as_json:
        show_json(figures)
    else:
        rows = [(name, one["median"], one["least"], one["most"]) for name, one in figures.items()]
        show_table(f"{' '.join(benchmark)}, {tries} tries", ("figure", "median", "least", "most"), rows)


def leaves(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in a benchmark's JSON by their dotted names."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{above}{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield f"{above}{name}", float(value)


def spread(tries: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Median, least and most of each figure that every try has."""
    common = [name for name in tries[0] if all(name in one for one in tries)]
    values = {name: [one[name] for one in tries] for name in common}
    return {
        name: {"median": statistics.median(ones), "least": min(ones), "most": max(ones)}
        for name, ones in values.items()
    }


def _figures(benchmark: list[str]) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "bench", *benchmark, "--json"],
        env=bench_environment(), stdout=subprocess.PIPE, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        raise SystemExit(f"python -m bench {' '.join(benchmark)} ended with code {done.returncode}")
    return json.loads(done.stdout)
