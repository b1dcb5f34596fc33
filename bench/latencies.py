"""Percentiles of measured times, as the benchmarks report them."""

from collections.abc import Sequence

import numpy as np


def percentile(times: Sequence[float], percent: float) -> float:
    """The percentile by linear interpolation, in the unit of `times`, to three digits.

    Raises:
        ValueError: Nothing was measured.
    """
    if not times:
        raise ValueError("nothing was measured")
    return round(float(np.percentile(times, percent)), 3)


def p50_and_p95(times: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"p50": percentile(times, 50), "p95": percentile(times, 95)}
