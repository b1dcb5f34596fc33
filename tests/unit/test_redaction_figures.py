"""How much is found of a labelled set that the author of the patterns wrote: see docs/hostile-text.md."""

import pytest

from bench.redaction import ALL, PARTS, load, measure


@pytest.mark.parametrize(("part", "precision", "recall"), [("tuned", 0.98, 0.98), ("held_out", 0.95, 0.90)])
def test_precision_and_recall_stay_above_their_floor(part: str, precision: float, recall: float) -> None:
    of_all = measure(load(part))[ALL]
    assert of_all.precision >= precision
    assert of_all.recall >= recall


def test_the_set_is_as_large_as_it_is_said_to_be() -> None:
    cases = [case for part in PARTS for case in load(part)]
    assert len({case.text for case in cases}) == len(cases) >= 200
    assert sum(not case.secrets for case in cases) >= 80
