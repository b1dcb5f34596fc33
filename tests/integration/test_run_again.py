"""What failed, or was done without AI, is run again: over the UI's API, and from the shell."""

from typing import Any

import pytest

from enhancer_dagster.domain.tenants import LanguageModelChoice, Tenant
from enhancer_dagster.simulator.faults import Fault, FaultKind
from tests.live import LiveSystem
from tests.llm_server import fails, says
from tests.shell import enhancer, refused

pytestmark = pytest.mark.xdist_group("live")

OPS = ["gather_context", "record_outcome", "synthesize_enhancement", "update_ticket"]


def add_tenant(live: LiveSystem, model: str, opinion: str = "Ask a colleague") -> Tenant:
    """A tenant whose model says `opinion` until it is told otherwise."""
    live.llm.by_model[model] = says(opinion_of(opinion))
    return live.add_tenant(language_model=LanguageModelChoice(model=model))


def opinion_of(text: str) -> str:
    return f"### Recommended Next Steps\n1. {text}."


def refuse_writes(live: LiveSystem, ticket_id: str, times: int | None = None) -> int:
    fault = Fault(kind=FaultKind.STATUS, method="PUT", ticket=ticket_id, status=400, times=times)
    return live.desk.simulator.faults.add(fault)


def enhance(live: LiveSystem, tenant: Tenant, ticket_id: str, status: str) -> dict[str, Any]:
    return live.row(live.send(tenant, ticket_id).json()["correlation_id"], status)


def require_one_section(live: LiveSystem, row: dict[str, Any]) -> None:
    description = live.description(row["ticket_id"])
    assert description.count("Correlation ID:") == description.count(str(row["correlation_id"])) == 1


def steps_of(run: dict[str, Any]) -> list[str]:
    return sorted(step["stepKey"] for step in run["stepStats"] if step["status"] == "SUCCESS")


def tag(run: dict[str, Any], key: str) -> str | None:
    return next((one["value"] for one in run["tags"] if one["key"] == key), None)


def test_from_failure_only_what_failed_is_repeated_with_the_stored_answer(live: LiveSystem) -> None:
    tenant = add_tenant(live, "again-failure")
    ticket_id = live.new_ticket("Badge printer is out of ribbon", "<p>Reception</p>")
    refuse_writes(live, ticket_id, times=2)
    first = enhance(live, tenant, ticket_id, "failed")
    asked = len(live.llm.asked)
    live.llm.by_model["again-failure"] = says(opinion_of("Never asked"))

    second = live.finished_run(live.re_execute(first["dagster_run_id"]))
    assert second["status"] == "FAILURE", "the service desk refuses once more"
    live.row(str(first["correlation_id"]), "failed")
    third_id = live.re_execute(run_id_of(live, first))
    third = live.finished_run(third_id)

    assert (third["status"], steps_of(third)) == ("SUCCESS", ["record_outcome", "update_ticket"])
    assert tag(third, "correlation_id") == str(first["correlation_id"])
    row = live.row(str(first["correlation_id"]), "completed")
    assert (row["id"], row["attempt"], row["dagster_run_id"]) == (first["id"], first["attempt"] + 2, third_id)
    assert len(live.llm.asked) == asked
    assert "Ask a colleague" in live.description(ticket_id)
    require_one_section(live, row)
    job = live.job(str(first["correlation_id"]))
    assert (job.state, job.attempt, job.run_id) == ("completed", row["attempt"], third_id)


def run_id_of(live: LiveSystem, row: dict[str, Any]) -> str:
    """The run that its job had last."""
    return live.job(str(row["correlation_id"])).run_id or ""


@pytest.mark.parametrize("status", ["failed", "completed"])
def test_all_of_a_run_is_repeated_and_its_section_replaced(live: LiveSystem, status: str) -> None:
    model = f"again-all-{status}"
    tenant = add_tenant(live, model)
    ticket_id = live.new_ticket("Badge printer jams", "<p>Reception</p>")
    if status == "failed":
        refuse_writes(live, ticket_id, times=1)
    first = enhance(live, tenant, ticket_id, status)
    live.llm.by_model[model] = says(opinion_of("Buy a new one"))

    run_id = live.re_execute(first["dagster_run_id"], "ALL_STEPS")
    run = live.finished_run(run_id)

    assert (run["status"], steps_of(run)) == ("SUCCESS", OPS)
    row = live.row(str(first["correlation_id"]), "completed")
    assert (row["id"], row["attempt"], row["dagster_run_id"]) == (first["id"], first["attempt"] + 1, run_id)
    assert "Buy a new one" in live.description(ticket_id)
    assert "Ask a colleague" not in live.description(ticket_id)
    assert live.description(ticket_id).startswith("<p>Reception</p>")
    require_one_section(live, row)
    job = live.job(str(first["correlation_id"]))
    assert (job.state, job.attempt, job.run_id) == ("completed", row["attempt"], run_id)


def test_fifty_failed_runs_are_run_again_from_failure_one_after_another(live: LiveSystem) -> None:
    tenant = add_tenant(live, "again-bulk")
    tickets = [live.new_ticket(f"Locker {number} does not open") for number in range(50)]
    for ticket_id in tickets:
        refuse_writes(live, ticket_id, times=1)
    sent = [live.send(tenant, ticket_id).json()["correlation_id"] for ticket_id in tickets]
    failed = [live.row(correlation_id, "failed") for correlation_id in sent]
    asked = len(live.llm.asked)
    # The UI does it so for the runs that are selected: one call after another, from the browser.
    runs = [live.re_execute(row["dagster_run_id"]) for row in failed]
    assert {live.finished_run(run_id)["status"] for run_id in runs} == {"SUCCESS"}
    for row, run_id in zip(failed, runs, strict=True):
        again = live.row(str(row["correlation_id"]), "completed")
        assert (again["id"], again["attempt"], again["dagster_run_id"]) == (
            row["id"],
            row["attempt"] + 1,
            run_id,
        )
        assert live.job(str(row["correlation_id"])).state == "completed"
        require_one_section(live, again)
    assert len(live.llm.asked) == asked


def test_the_shell_puts_back_what_failed_of_one_tenant(live: LiveSystem) -> None:
    tenant, other = add_tenant(live, "again-shell"), add_tenant(live, "again-other")
    tickets = [live.new_ticket(f"Desk {number} has no power") for number in range(3)]
    refusals = [refuse_writes(live, ticket_id) for ticket_id in tickets]
    failed = [enhance(live, tenant, ticket_id, "failed") for ticket_id in tickets[:2]]
    left = enhance(live, other, tickets[2], "failed")
    for refusal in refusals:
        live.desk.simulator.faults.remove(refusal)
    mine = ("retry", "--tenant", tenant.tenant_id)
    assert "0 of 0 jobs" in enhancer(live, *mine, "--state", "dead")
    assert "0 of 0 jobs" in enhancer(live, *mine, "--since", "2999-01-01")
    assert "2 of 2 jobs are queued again" in enhancer(live, *mine, "--since", "1h")
    for row in failed:
        again = live.row(str(row["correlation_id"]), "completed")
        assert (again["id"], again["attempt"]) == (row["id"], row["attempt"] + 1)
        require_one_section(live, again)
    assert "0 of 0 jobs" in enhancer(live, *mine)
    assert live.job(str(left["correlation_id"])).state == "failed"


def test_sections_written_without_ai_are_upgraded_once_the_llm_is_back(live: LiveSystem) -> None:
    tenant = add_tenant(live, "again-llm")
    live.llm.by_model["again-llm"] = fails(503)
    ticket_id = live.new_ticket("Desk lamp flickers", "<p>Third floor</p>")
    without = enhance(live, tenant, ticket_id, "completed")
    assert "Generated Without AI" in live.description(ticket_id)
    live.llm.by_model["again-llm"] = says(opinion_of("Change the bulb"))
    upgrade = ("retry", "--tenant", tenant.tenant_id, "--generated-without-ai")
    assert "1 of 1 jobs are queued again" in enhancer(live, *upgrade)
    live.finished_attempt(str(without["correlation_id"]), without["attempt"] + 1)
    assert "Change the bulb" in live.description(ticket_id)
    assert "Generated Without AI" not in live.description(ticket_id)
    require_one_section(live, without)
    assert "0 of 0 jobs" in enhancer(live, *upgrade)


def test_a_retry_that_cannot_be_is_refused_in_words(live: LiveSystem) -> None:
    assert "there is no tenant" in refused(live, "retry", "--tenant", "nobody")
    wrong_moment = refused(live, "retry", "--since", "yesterday", status=2)
    assert "90m" in wrong_moment
    assert "give one" in refused(live, "retry", "--state", "dead", "--generated-without-ai", status=2)
    away = refused(live, "retry", ENHANCER_CLAIM_URL="http://127.0.0.1:9")
    assert "enhancer up" in away
