"""What happens to a ticket when something around it fails, on the real system.

How often and how far apart the service desk is asked is read from the simulator's own log.
"""

import itertools
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from pydantic import SecretStr

from enhancer_dagster.domain.tenants import LanguageModelChoice, Tenant, WriteBack
from enhancer_dagster.runtime.postgres import embedded_postgres
from enhancer_dagster.simulator.faults import Fault, FaultKind
from tests.live import LiveSystem, eventually, live_system
from tests.llm_server import Answer, fails, says
from tests.unix_proxy import UnixProxy

pytestmark = pytest.mark.xdist_group("live")

SECTION_WITH_AI = "Enhancement Recommendations"
SECTION_WITHOUT_AI = "Enhancement Context (Generated Without AI)"


def enhance(live: LiveSystem, tenant: Tenant, ticket_id: str, *statuses: str) -> dict[str, Any]:
    answer = live.send(tenant, ticket_id)
    assert answer.status_code == 202, answer.text
    return live.row(answer.json()["correlation_id"], *(statuses or ("completed", "failed")))


def sections(live: LiveSystem, ticket_id: str) -> int:
    return live.description(ticket_id).count("Correlation ID:")


@pytest.mark.parametrize(
    "answer",
    [fails(500), fails(429, retry_after="600"), fails(401), says("", finish_reason="stop")],
    ids=["down", "rate-limited", "unauthorized", "empty"],
)
def test_a_failing_llm_gives_the_section_without_ai(live: LiveSystem, answer: Answer) -> None:
    tenant = live.add_tenant(language_model=LanguageModelChoice(model=f"model-{id(answer)}"))
    live.llm.by_model[f"model-{id(answer)}"] = answer
    ticket_id = live.new_ticket("Mail does not arrive", "<p>Since Monday</p>")
    row = enhance(live, tenant, ticket_id)
    assert (row["status"], row["generated_without_ai"], row["llm_model"]) == ("completed", True, None)
    assert SECTION_WITHOUT_AI in live.description(ticket_id)
    assert sections(live, ticket_id) == 1


def test_a_service_desk_that_fails_marks_history_and_the_run_can_be_re_executed(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("Printer jams")
    faults = live.desk.simulator.faults
    refused = faults.add(Fault(kind=FaultKind.STATUS, method="PUT", ticket=ticket_id, status=400))
    row = enhance(live, tenant, ticket_id, "failed")
    assert "400" in row["error_message"] or "refuse" in row["error_message"].lower()
    assert sections(live, ticket_id) == 0
    writes = [call for call in live.desk.simulator.journal.calls(ticket_id=ticket_id) if call.method == "PUT"]
    assert len(writes) == 1, "what was refused is not repeated"
    faults.remove(refused)
    live.re_execute(row["dagster_run_id"])
    again = live.row(str(row["correlation_id"]), "completed")
    assert again["id"] == row["id"]
    assert again["attempt"] == row["attempt"] + 1
    assert sections(live, ticket_id) == 1


def test_a_service_desk_that_is_busy_is_asked_again_at_growing_intervals(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("Screen flickers")
    live.desk.simulator.faults.add(
        Fault(kind=FaultKind.STATUS, method="PUT", ticket=ticket_id, status=503, times=3)
    )
    row = enhance(live, tenant, ticket_id)
    assert row["status"] == "completed"
    calls = live.desk.simulator.journal.calls(ticket_id=ticket_id)
    moments = [call.seconds for call in calls if call.method == "PUT"]
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]
    assert len(moments) == 4
    assert gaps == sorted(gaps), "each pause is longer than the one before"
    assert sections(live, ticket_id) == 1


def test_a_write_that_was_applied_without_an_answer_is_looked_up_not_repeated(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("Door badge fails")
    live.desk.simulator.faults.add(
        Fault(kind=FaultKind.APPLIED_RESET, method="PUT", ticket=ticket_id, times=1)
    )
    assert enhance(live, tenant, ticket_id)["status"] == "completed"
    changed = list(live.desk.simulator.journal.calls(ticket_id=ticket_id, changed=True))
    assert len(changed) == 1
    assert sections(live, ticket_id) == 1


def test_a_tenant_that_wants_notes_gets_one_that_requesters_do_not_see(live: LiveSystem) -> None:
    tenant = live.add_tenant(write_back=WriteBack.NOTE)
    ticket_id = live.new_ticket("Laptop is slow", "<p>Very slow</p>")
    row = enhance(live, tenant, ticket_id)
    assert row["status"] == "completed"
    assert live.description(ticket_id) == "<p>Very slow</p>"
    (note,) = live.desk.simulator.desk.ticket(ticket_id).notes.values()
    assert note.show_to_requester is False
    assert str(row["correlation_id"]) in note.description


def test_our_own_edit_that_comes_back_as_a_webhook_starts_nothing(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("Scanner is offline", "<p>It was fine on Friday</p>")
    first = enhance(live, tenant, ticket_id)
    before = live.description(ticket_id)
    second = live.row(live.send(tenant, ticket_id).json()["correlation_id"], "completed")
    assert (first["skipped"], second["skipped"]) == (False, True)
    assert live.description(ticket_id) == before
    live.desk.simulator.edit_ticket(ticket_id, description=before + "<p>And now it smokes</p>")
    third = live.row(live.send(tenant, ticket_id).json()["correlation_id"], "completed")
    assert third["skipped"] is False
    assert sections(live, ticket_id) == 1
    assert "And now it smokes" in live.description(ticket_id)


@pytest.mark.parametrize("gone", ["deleted", "disabled key"])
def test_a_ticket_that_cannot_be_had_fails_in_words(live: LiveSystem, gone: str) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("Gone soon")
    if gone == "deleted":
        live.desk.simulator.desk.purge(ticket_id)
    else:
        desk = tenant.service_desk.model_copy(update={"api_key": SecretStr("wrong")})
        live.tenants.update(tenant.model_copy(update={"service_desk": desk}), "test")
    row = enhance(live, tenant, ticket_id)
    assert row["status"] == "failed"
    assert ticket_id in row["error_message"] or "key" in row["error_message"].lower()


def test_context_that_takes_too_long_leaves_an_empty_context_to_synthesis(open_folder: Path) -> None:
    with live_system(open_folder / "slow", context_timeout_seconds=0.001) as live:
        tenant = live.add_tenant()
        ticket_id = live.new_ticket("Anything", "<p>At all</p>")
        row = enhance(live, tenant, ticket_id)
    assert row["status"] == "completed"
    assert row["context_nodes_failed"] >= 3
    assert "context_gathering: Timeout" in row["enhancement"]


def test_history_that_is_cut_off_stops_no_ticket_and_has_the_row_later(open_folder: Path) -> None:
    folder = open_folder / "hist"
    with embedded_postgres(folder / "postgres") as server:
        url = server.create_database("enhancer").get_secret_value()
    proxy = UnixProxy(open_folder / "cut", server.socket)
    through_proxy = url.replace(quote(str(server.socket)), quote(str(open_folder / "cut")))
    with live_system(folder, history_database_url=through_proxy) as live:
        tenant = live.add_tenant()
        ticket_id = live.new_ticket("No history today")
        correlation_id = live.send(tenant, ticket_id).json()["correlation_id"]
        eventually(lambda: sections(live, ticket_id) == 1, "the section is on the ticket")
        assert not [row for row in live.history.rows() if str(row["correlation_id"]) == correlation_id]
        proxy.open = True
        assert live.row(correlation_id, "completed")["enhancement"]
    proxy.close()
