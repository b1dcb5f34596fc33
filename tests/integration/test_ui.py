"""What a person does in the Dagster UI, in a real browser: run again, build an index, cancel."""

from collections.abc import Iterator

import pytest

from enhancer_dagster.domain.tenants import LanguageModelChoice, Tenant
from enhancer_dagster.runtime.system import ui_url
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.simulator.faults import Fault, FaultKind
from tests.browser import CHROMIUM, DagsterUi, dagster_ui
from tests.conftest import require
from tests.live import LiveSystem, eventually
from tests.llm_server import silent

pytestmark = [pytest.mark.chromium, pytest.mark.xdist_group("live")]

PULLS = ("resolved_tickets", "kb_articles", "ip_inventory")
INDEX_ASSETS = (*PULLS, "ticket_embeddings", "ticket_index", "retrieval_quality")
FIRST_INDEX_SECONDS = 240.0


@pytest.fixture(scope="module")
def tenant(live: LiveSystem) -> Tenant:
    """One tenant for all tests here; its first index is built while the first of them goes on."""
    return live.add_tenant(language_model=LanguageModelChoice(model="ui-model"))


@pytest.fixture(scope="module")
def browser(live: LiveSystem) -> Iterator[DagsterUi]:
    """The live system's UI."""
    require(CHROMIUM.exists(), f"{CHROMIUM} is not there")
    with dagster_ui(ui_url(live.settings)) as ui:
        yield ui


def test_a_failed_run_is_found_and_run_again_from_failure(
    live: LiveSystem, tenant: Tenant, browser: DagsterUi
) -> None:
    ticket_id = live.new_ticket("Badge reader is dead", "<p>Door 4</p>")
    faults = live.desk.simulator.faults
    refused = faults.add(Fault(kind=FaultKind.STATUS, method="PUT", ticket=ticket_id, status=400))
    sent = live.send(tenant, ticket_id).json()
    row = live.row(sent["correlation_id"], "failed")
    asked = len(live.llm.asked)
    faults.remove(refused)

    browser.open_failed_run(row["dagster_run_id"])
    run_id = browser.re_execute_from_failure()
    browser.await_status("Success")

    again = live.row(sent["correlation_id"], "completed")
    assert (again["dagster_run_id"], again["attempt"]) == (run_id, row["attempt"] + 1)
    assert live.description(ticket_id).count("Correlation ID:") == 1
    assert live.description(ticket_id).count(sent["correlation_id"]) == 1
    assert len(live.llm.asked) == asked, "the stored answer is used again"


def test_a_run_that_waits_for_the_llm_is_cancelled(
    live: LiveSystem, tenant: Tenant, browser: DagsterUi
) -> None:
    live.llm.by_model["ui-model"] = silent()
    try:
        ticket_id = live.new_ticket("Projector has no picture")
        sent = live.send(tenant, ticket_id).json()
        eventually(lambda: any("Projector" in one.user for one in live.llm.asked), "the LLM is asked")
        browser.open_run(live.row(sent["correlation_id"], "pending")["dagster_run_id"])
        browser.terminate()
        browser.await_status("Canceled")
    finally:
        del live.llm.by_model["ui-model"]
    assert "cancelled" in live.row(sent["correlation_id"], "failed")["error_message"]
    assert "Correlation ID:" not in live.description(ticket_id)


def test_the_index_is_found_in_the_lineage_and_materialized(
    live: LiveSystem, tenant: Tenant, browser: DagsterUi
) -> None:
    place = TenantLocation(live.settings.index_location, tenant.tenant_id)
    before = eventually(place.current, "the first index is published", FIRST_INDEX_SECONDS)
    browser.open_lineage(*INDEX_ASSETS)
    browser.select_asset("ticket_index")
    browser.materialize_selected(tenant.tenant_id)
    eventually(lambda: place.current() != before, "a new index is published", FIRST_INDEX_SECONDS)
