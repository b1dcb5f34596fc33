"""Percentiles of measured seconds, as the benchmarks report them."""

from collections.abc import Sequence

import numpy as np


def percentile(seconds: Sequence[float], percent: float) -> float:
    """The percentile by linear interpolation, in the unit of `seconds`, to the millisecond.

    Raises:
        ValueError: Nothing was measured.
    """
    if not seconds:
        raise ValueError("nothing was measured")
    return round(float(np.percentile(seconds, percent)), 3)


def p50_and_p95(seconds: Sequence[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    return {"p50": percentile(seconds, 50), "p95": percentile(seconds, 95)}
