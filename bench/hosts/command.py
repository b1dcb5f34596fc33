"""`python -m bench hosts`: the product on Celery workers of two hosts, which are then cut off and killed.

The hosts are network namespaces of this machine, so that they share its cores: the figures say what the
distribution costs, not what it brings.
"""

from typing import Annotated, Any

import typer

from bench.burst import rate
from bench.chaos.system import url_of
from bench.deployment import WARM_UP_TICKETS, Deployment
from bench.hosts.faults import LIMITS, suffer
from bench.hosts.network import why_no_network
from bench.hosts.runs import starts
from bench.hosts.system import PROCESSES, WORKERS, running_hosts
from bench.latencies import p50_and_p95
from bench.latency import completed
from bench.report import show_json, show_table

TICKET_SECONDS = 2.3
"""Between tickets; not a multiple of Dagster's sensor loop, so that tickets meet it in every phase."""


def main(
    tickets: Annotated[int, typer.Option(min=1, help="While hosts are cut off and killed.")] = 200,
    spaced: Annotated[int, typer.Option(min=1, help="One after the other, for the latency.")] = 20,
    burst: Annotated[int, typer.Option(min=0, help="At once before that, for the rate; 0: none.")] = 200,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Latency, burst and faults; exit code 1 where a ticket is lost or doubled."""
    if reason := why_no_network():
        raise typer.BadParameter(reason)
    figures = measure(tickets, spaced, burst)
    if as_json:
        show_json(figures)
    else:
        _show(figures)
    if figures["faults"]["problems"]:
        raise typer.Exit(1)


def measure(tickets: int, spaced: int, burst: int) -> dict[str, Any]:
    """All of it on one system."""
    with running_hosts(**LIMITS) as hosts:
        live = Deployment(hosts.settings, hosts.tenant, hosts.services, set())
        live.enhance(WARM_UP_TICKETS * len(WORKERS))
        figures: dict[str, Any] = {"latency": _latency(live, spaced)}
        figures["launch_to_start"] = p50_and_p95(starts(url_of(hosts.settings, "dagster_database_url")))
        if burst:
            figures["burst"] = _burst(live, burst)
        return figures | {"faults": suffer(hosts, tickets).as_json()}


def _latency(live: Deployment, count: int) -> dict[str, float]:
    outcomes = live.enhance_spaced(count, TICKET_SECONDS)
    return p50_and_p95([outcome.to_end for outcome in completed(outcomes)])


def _burst(live: Deployment, count: int) -> dict[str, float]:
    outcomes = live.enhance(count)
    return {
        "tickets": count,
        "completed": sum(outcome.completed for outcome in outcomes),
        "tickets_per_s": round(rate(outcomes), 2),
        "processes": PROCESSES * len(WORKERS),
    }


def _show(figures: dict[str, Any]) -> None:
    faults = dict(figures["faults"])
    problems = faults.pop("problems")
    for name in ("latency", "launch_to_start", "burst"):
        if name in figures:
            show_table(name, ("measure", "value"), list(figures[name].items()))
    show_table("One host cut off for 30 s, one killed", ("measure", "value"), list(faults.items()))
    for problem in problems:
        print(problem)
