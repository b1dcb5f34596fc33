"""How long one ticket takes on a system that has little to do.

`idle` and `pair`: from the bridge's taking the webhook in to the end of the run, all services answering at
once. `with_llm`: to the change of the ticket, with an LLM and a service desk that take their time. In `pair`
three tickets come close together and the last two count, since a sensor hears nothing for a while after
each.
"""

import time
from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from bench.deployment import Deployment, deployment
from bench.latencies import p50_and_p95
from bench.report import show_json, show_table
from bench.tracking import Outcome

TICKET_SECONDS = 5.5
"""Between tickets; not a multiple of Dagster's sensor loop, so that tickets meet it in every phase."""

PAIR_SECONDS = 0.5
PAIR_SIZE = 3
LLM_SECONDS, DESK_SECONDS = 1.5, 0.15

Latencies = dict[str, dict[str, float]]


def main(
    tickets: Annotated[int, typer.Option(min=1, help="For `idle`, and again for `with_llm`.")] = 20,
    rounds: Annotated[int, typer.Option(min=1, help="For `pair`: how often three tickets come.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Seconds from webhook to result, one ticket at a time."""
    with deployment() as live:
        figures = measure(live, tickets, rounds)
    if as_json:
        show_json(figures)
    else:
        rows = [(name, values["p50"], values["p95"]) for name, values in figures.items()]
        show_table("seconds from webhook to result", ("case", "p50", "p95"), rows)


def measure(live: Deployment, tickets: int, rounds: int) -> Latencies:
    """All three cases.

    Raises:
        SystemExit: A ticket was not completed.
    """
    time.sleep(TICKET_SECONDS)  # the warm-up's tickets came all at once, and all lanes are between turns
    idle = live.enhance_spaced(tickets, TICKET_SECONDS)
    live.services.delay(llm=LLM_SECONDS, desk=DESK_SECONDS)
    with_llm = live.enhance_spaced(tickets, TICKET_SECONDS)
    live.services.delay()
    pair = [outcome for _ in range(rounds) for outcome in _close_together(live)[1:]]
    return {
        "idle": p50_and_p95([outcome.to_end for outcome in completed(idle)]),
        "with_llm": p50_and_p95([outcome.to_update for outcome in completed(with_llm)]),
        "pair": p50_and_p95([outcome.to_end for outcome in completed(pair)]),
    }


def completed(outcomes: Sequence[Outcome]) -> Iterable[Outcome]:
    """`outcomes`.

    Raises:
        SystemExit: One of them is not completed; no figure is better than one that leaves it out.
    """
    left = [outcome.ticket_id for outcome in outcomes if not outcome.completed]
    if left or not outcomes:
        raise SystemExit(f"not completed, or not once: tickets {', '.join(left) or '(none arrived)'}")
    return outcomes


def _close_together(live: Deployment) -> list[Outcome]:
    outcomes = live.enhance_spaced(PAIR_SIZE, PAIR_SECONDS)
    time.sleep(TICKET_SECONDS)
    return outcomes
