"""Many tickets of one tenant, or many builds of indexes, at once: others do not wait for all of them."""

import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from enhancer_dagster.domain.tenants import LanguageModelChoice
from enhancer_dagster.simulator.faults import Fault, FaultKind
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.live import LiveSystem, eventually
from tests.llm_server import holds, says

pytestmark = pytest.mark.xdist_group("live")

STORM = 40
"""More than Dagster starts at once of a tenant, fewer than may wait in its queue."""

WAITING = 20
"""Of the storm, at least, in Dagster's queue while the workers are busy with the others."""

MANY = 10
MODEL = "storm-model"

BUILDS = 6
MOST_BUILDS = 4
"""The limit of `dagster.yaml` for runs with the tag `full`."""

SLOW_SECONDS = 20.0
ENDED = {"SUCCESS", "FAILURE"}


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


@pytest.fixture
def slow_desk() -> Iterator[RunningSimulator]:
    """A service desk whose lists of tickets take their time, and so do builds of its tenants' indexes."""
    with running_simulator(Simulator()) as desk:
        desk.simulator.faults.add(Fault(kind=FaultKind.SLOW, path="/requests$", seconds=SLOW_SECONDS))
        yield desk


def test_index_builds_of_many_tenants_leave_workers_to_the_tickets(
    live: LiveSystem, slow_desk: RunningSimulator
) -> None:
    calm = live.add_tenant()
    slow = [live.add_tenant(slow_desk).tenant_id for _ in range(BUILDS)]
    eventually(lambda: len(builds_of(live, slow)) == BUILDS, "all builds are requested")
    eventually(lambda: builds_of(live, slow).count("STARTED") == MOST_BUILDS, "as many as may are under way")
    correlation_id = live.send(calm, live.new_ticket("The scanner is offline")).json()["correlation_id"]
    live.row(correlation_id, "completed")
    assert "QUEUED" in builds_of(live, slow)

    slow_desk.simulator.faults.clear()
    eventually(lambda: set(builds_of(live, slow)) <= ENDED, "the builds that waited are made too")


def builds_of(live: LiveSystem, tenant_ids: Sequence[str]) -> list[str]:
    """The statuses of the runs that build these tenants' indexes."""
    query = """query { runsOrError(filter: {pipelineName: "rebuild_index_job"}) { ... on Runs {
        results { status tags { key value } } } } }"""
    runs = live.graphql(query)["runsOrError"]["results"]
    return [
        run["status"]
        for run in runs
        if any(tag["key"] == "tenant_id" and tag["value"] in tenant_ids for tag in run["tags"])
    ]
