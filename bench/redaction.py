"""How well credentials and personal data are found: precision and recall by kind, on a labelled set.

bench/data/redaction/{tuned,held_out}.txt: one case a line, with ⟦kind:secret⟧ around what has to be found.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from bench.report import show_json, show_table
from enhancer_dagster.domain.redaction import Found, find_credentials, find_personal_data

FOLDER = Path(__file__).parent / "data" / "redaction"
PARTS = ("tuned", "held_out")
ALL = "all"
NO_KIND = "no secret"

_MARK = re.compile(r"⟦(?P<kind>\w+):(?P<secret>[^⟦⟧]*)⟧")


@dataclass(frozen=True)
class Secret:
    """What has to be found in a case."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True)
class Case:
    """A text and the secrets in it; none in a negative."""

    text: str
    secrets: tuple[Secret, ...]


@dataclass
class Counts:
    """Of one kind: secrets, those of which nothing is left; what was found, what of that was right."""

    secrets: int = 0
    hidden: int = 0
    found: int = 0
    right: int = 0

    @property
    def precision(self) -> float:
        """The share of what was found that is a secret."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """The share of secrets of which not one character is left."""
        return self.hidden / self.secrets if self.secrets else 1.0


def main(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
    misses: Annotated[
        bool, typer.Option("--misses", help="Show every case that is not as it should be.")
    ] = False,
) -> None:
    """Precision and recall of redaction, by kind."""
    figures = {}
    for part in PARTS:
        cases = load(part)
        counts = measure(cases)
        negatives = sum(not case.secrets for case in cases)
        figures[part] = {"cases": len(cases), "negatives": negatives} | {
            kind: {"secrets": c.secrets, "precision": c.precision, "recall": c.recall}
            for kind, c in counts.items()
        }
        if not as_json:
            rows = [(kind, c.secrets, c.found, c.precision, c.recall) for kind, c in counts.items()]
            title = f"{part}: {len(cases)} cases, {negatives} of them negatives"
            show_table(title, ("kind", "secrets", "found", "precision", "recall"), rows)
        if misses:
            for case in cases:
                for problem in problems(case):
                    print(f"{problem}: {case.text!r}")
    if as_json:
        show_json(figures)


def load(part: str) -> list[Case]:
    """The cases of a part."""
    lines = (FOLDER / f"{part}.txt").read_text(encoding="utf-8").splitlines()
    return [_case(line) for line in lines if line and not line.startswith("#")]


def measure(cases: Iterable[Case]) -> dict[str, Counts]:
    """Counts by kind of secret, and of all together. What is found in no secret counts for `NO_KIND`."""
    counts: dict[str, Counts] = {}
    for case in cases:
        found = _found(case.text)
        for secret in case.secrets:
            hidden = any(f.start <= secret.start and secret.end <= f.end for f in found)
            _add(counts, secret.kind, secrets=1, hidden=int(hidden))
        for one in found:
            hit = next((s for s in case.secrets if one.start < s.end and s.start < one.end), None)
            _add(counts, hit.kind if hit else NO_KIND, found=1, right=int(hit is not None))
    return dict(sorted(counts.items(), key=lambda item: (item[0] == ALL, item[0])))


def problems(case: Case) -> Iterator[str]:
    """What is wrong with what is found in a case, in words."""
    found = _found(case.text)
    for secret in case.secrets:
        if not any(f.start <= secret.start and secret.end <= f.end for f in found):
            yield f"missed {secret.kind} {case.text[secret.start : secret.end]!r}"
    for one in found:
        if not any(one.start < s.end and s.start < one.end for s in case.secrets):
            yield f"taken for {one.kind} {one.value(case.text)!r}"


def _add(counts: dict[str, Counts], kind: str, **more: int) -> None:
    for name in (kind, ALL):
        of_kind = counts.setdefault(name, Counts())
        for field, number in more.items():
            setattr(of_kind, field, getattr(of_kind, field) + number)


def _found(text: str) -> list[Found]:
    return [*find_credentials(text), *find_personal_data(text)]


def _case(line: str) -> Case:
    text, secrets, position = "", [], 0
    line = line.replace("\\n", "\n")
    for mark in _MARK.finditer(line):
        text += line[position : mark.start()]
        secrets.append(Secret(len(text), len(text) + len(mark["secret"]), mark["kind"]))
        text += mark["secret"]
        position = mark.end()
    return Case(text + line[position:], tuple(secrets))
