"""A tenant with many tickets at once: others, and its own urgent ones, do not wait for all of them."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from enhancer_dagster.domain.tenants import LanguageModelChoice
from tests.live import LiveSystem, eventually
from tests.llm_server import holds, says

pytestmark = pytest.mark.xdist_group("live")

STORM = 40
"""More than Dagster starts at once of a tenant, fewer than may wait in its queue."""

WAITING = 20
"""Of the storm, at least, in Dagster's queue while the workers are busy with the others."""

MANY = 10
MODEL = "storm-model"


@pytest.fixture
def released(live: LiveSystem) -> Iterator[threading.Event]:
    """Set, it lets the LLM answer, which until then keeps every worker waiting."""
    released = threading.Event()
    answer = says("### Recommended Next Steps\n1. Ask the user for details.")
    live.llm.by_model[MODEL] = holds(released, answer)
    yield released
    released.set()


def test_a_storm_delays_neither_other_tenants_nor_urgent_tickets(
    live: LiveSystem, released: threading.Event
) -> None:
    model = LanguageModelChoice(model=MODEL)
    stormy, calm = live.add_tenant(language_model=model), live.add_tenant(language_model=model)
    tickets = [live.new_ticket(f"Printer {number} is out of paper") for number in range(STORM)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(partial(live.send, stormy), tickets))
    eventually(lambda: len(runs_of(live, stormy.tenant_id)) == STORM, "the storm is claimed")
    other = live.new_ticket("The scanner is offline")
    live.send(calm, other)
    urgent = live.new_ticket("The head office has no network")
    live.send(stormy, urgent, priority="Urgent")
    eventually(lambda: len(runs_of(live, stormy.tenant_id)) == STORM + 1, "the urgent one is claimed")
    eventually(lambda: runs_of(live, calm.tenant_id)[other]["status"] == "STARTING", "the other is admitted")
    statuses = [run["status"] for run in runs_of(live, stormy.tenant_id).values()]
    assert statuses.count("QUEUED") > WAITING

    released.set()
    runs = eventually(lambda: all_started(live, stormy.tenant_id), "the storm is over")
    starts = [runs[ticket]["startTime"] for ticket in tickets]
    for late in (runs[urgent], runs_of(live, calm.tenant_id)[other]):
        assert sum(start > late["startTime"] for start in starts) > MANY


def all_started(live: LiveSystem, tenant_id: str) -> dict[str, dict[str, object]] | None:
    """The runs of a tenant, once all were started."""
    runs = runs_of(live, tenant_id)
    return runs if all(run["startTime"] for run in runs.values()) else None


def runs_of(live: LiveSystem, tenant_id: str) -> dict[str, dict[str, object]]:
    """The runs of a tenant's tickets, by ticket, as the UI shows them."""
    query = """query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs {
        results { status startTime tags { key value } } } } }"""
    tags = [{"key": "tenant_id", "value": tenant_id}]
    runs = live.graphql(query, filter={"tags": tags})["runsOrError"]["results"]
    return {tag["value"]: run for run in runs for tag in run["tags"] if tag["key"] == "ticket_id"}
