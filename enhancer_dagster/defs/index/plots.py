"""Plots as metadata: PNG inside markdown, which the UI shows in place."""

import base64
import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import dagster as dg

from enhancer_dagster.search.quality import Quality

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MEASURES = {
    "recall_at_1": "first",
    "recall_at_10": "first ten",
    "mean_reciprocal_rank": "mean\n1 / place",
    "offered": "above\nthe floor",
    "exact_agreement": "as exact\nsearch",
}
_BINS = [step / 25 for step in range(26)]


def measures(of: Quality) -> dict[str, float]:
    """The figures under the names that the UI shows."""
    # With one right answer a query, precision at 1 is recall at 1, and average precision is 1 / place.
    values = (
        of.precision_at_1,
        of.recall_at_10,
        of.mean_average_precision,
        of.offered,
        of.ann_recall_at_10,
    )
    return {name: round(value, 4) for name, value in zip(MEASURES, values, strict=True)}


def quality_plot(
    measured: Mapping[str, Quality], best_scores: Sequence[float], floor: float
) -> dg.MarkdownMetadataValue:
    """The figures of each corpus, and the scores of the best other ticket of sampled tickets."""
    # Here: matplotlib takes half a second, and no ticket run needs it. Without pyplot there is no global
    # state, and nothing that would look for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3), dpi=80, layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    _draw_measures(left, measured)
    _draw_scores(right, best_scores, floor)
    return _as_markdown(figure)


def _draw_measures(axis: "Axes", measured: Mapping[str, Quality]) -> None:
    width = 0.8 / len(measured)
    for place, (name, of) in enumerate(measured.items()):
        bars = axis.bar(
            [number + place * width for number in range(len(MEASURES))],
            list(measures(of).values()),
            width,
            label=name,
        )
        axis.bar_label(bars, fmt="%.2f", fontsize=8)
    middle = (len(measured) - 1) * width / 2
    axis.set_xticks([number + middle for number in range(len(MEASURES))], list(MEASURES.values()))
    axis.set(title="A document found by part of its words", ylim=(0, 1.35))
    axis.legend(loc="upper right", ncols=2, fontsize=8)


def _draw_scores(axis: "Axes", scores: Sequence[float], floor: float) -> None:
    axis.hist(scores, bins=_BINS)
    axis.axvline(floor, color="black", linestyle="--", linewidth=1, label="floor: nothing is offered below")
    axis.set(title="Score of the most similar other ticket", xlabel="score", ylabel="tickets", xlim=(0, 1))
    axis.margins(y=0.25)  # room for the legend
    axis.legend(loc="upper right", fontsize=8)


def _as_markdown(figure: "Figure") -> dg.MarkdownMetadataValue:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    png = io.BytesIO()
    FigureCanvasAgg(figure).print_png(png)
    encoded = base64.b64encode(png.getvalue()).decode()
    return dg.MetadataValue.md(f"![retrieval quality](data:image/png;base64,{encoded})")
