"""The owner's tests, by their names, and the complete pipeline on the real daemon."""

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import ValidationError

from enhancer_dagster.domain.context import IpInfo, KbArticle, NodeError, SimilarTicket, WorkflowState
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import DeadlineExceededError
from enhancer_dagster.domain.fallback import format_without_ai
from enhancer_dagster.domain.gathering import gather_nodes
from enhancer_dagster.domain.outcomes import HistoryStatus
from enhancer_dagster.domain.steps.values import TicketRun
from enhancer_dagster.domain.tenants import LanguageModelChoice
from enhancer_dagster.domain.tickets import EnhancementJob
from tests.live import LiveSystem
from tests.llm_server import says

STATE = WorkflowState(
    similar_tickets=(
        SimilarTicket(
            ticket_id="TKT-11111",
            similarity_score=0.91,
            subject="Outlook asks for a password",
            resolution="Removed the stale credential",
        ),
    ),
    kb_articles=(KbArticle(article_id="KB-7", relevance_score=0.8, title="Resetting credentials"),),
    ip_info=(IpInfo(ip="10.0.1.100", hostname="server-prod-01", role="web-server"),),
)


@pytest.mark.xdist_group("live")
def test_correlation_id_generation(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    answers = [live.send(tenant, live.new_ticket("VPN drops")).json() for _ in range(3)]
    ids = [UUID(answer["correlation_id"]) for answer in answers]
    assert all(one.version == 4 and len(str(one)) == 36 for one in ids)
    assert len(set(ids)) == len(ids)


def test_job_data_validation() -> None:
    job = EnhancementJob.model_validate(
        {
            "job_id": str(uuid4()),
            "ticket_id": 216826000006463013,
            "tenant_id": "acme",
            "description": "a NUL \x00 and a lone surrogate \ud800",
            "priority": "High",
            "timestamp": "2025-11-02T15:30:45Z",
            "created_at": "2025-11-02T15:30:00Z",
        }
    )
    assert job.ticket_id == "216826000006463013"
    assert set(job.model_dump()) == {
        "job_id", "ticket_id", "tenant_id", "description", "priority", "timestamp", "created_at"
    }  # fmt: skip
    job.model_dump_json().encode()
    assert "\x00" not in job.description
    whole = job.model_dump()
    for wrong in ({"ticket_id": "9" * 300}, {"tenant_id": "../etc"}, {"job_id": "7"}, {"timestamp": "noon"}):
        with pytest.raises(ValidationError):
            EnhancementJob.model_validate(whole | wrong)


def test_workflow_state_structure() -> None:
    dumped = STATE.model_dump(mode="json")
    assert set(dumped) == {"similar_tickets", "kb_articles", "ip_info", "errors"}
    assert {"ticket_id", "similarity_score"} <= set(dumped["similar_tickets"][0])
    assert "relevance_score" in dumped["kb_articles"][0]
    assert set(dumped["ip_info"][0]) == {"ip", "hostname", "role", "last_seen"}
    assert WorkflowState.model_validate(dumped) == STATE


def test_fallback_context_formatting_standalone() -> None:
    state = STATE.model_copy(
        update={"errors": (NodeError(node_name="kb_search", message="Timeout after 10s"),)}
    )
    text = format_without_ai(state)
    for expected in (
        "### Similar Tickets (1)",
        "- **TKT-11111**: Outlook asks for a password, Removed the stale credential",
        "### Knowledge Base Articles (1)",
        "- **KB-7**: Resetting credentials",
        "### IP Cross-Reference (1)",
        "- server-prod-01 (10.0.1.100) [web-server role]",
        "### Errors (1)",
        "- kb_search: Timeout after 10s",
    ):
        assert expected in text.splitlines()


def test_performance_latency_calculation() -> None:
    started = datetime(2025, 11, 2, 15, 30, 0, tzinfo=UTC)
    run = TicketRun(
        job_id=uuid4(),
        tenant_id="acme",
        ticket_id="1",
        correlation_id=uuid4(),
        attempt=1,
        run_id="r",
        received_at=started,
        started_at=started,
    )
    phases = {"context": 450, "llm": 1500, "ticket_update": 300, "database": 150}
    ended = started + timedelta(milliseconds=sum(phases.values()))
    record = run.record(HistoryStatus.COMPLETED, ended)
    assert record.processing_time_ms == 2400
    assert record.processing_time_ms < 3_000 < 60_000
    assert run.record(HistoryStatus.PENDING).processing_time_ms is None


def test_partial_context_with_errors() -> None:
    now = [0.0]

    def fails(_: Deadline) -> object:
        raise DeadlineExceededError("no time left for kb_search")

    gathered = gather_nodes(
        {"similar_tickets": lambda _: STATE.similar_tickets, "kb_search": fails, "ip_lookup": lambda _: ()},
        node_seconds=10,
        total=Deadline.after(30, clock=lambda: now[0]),
    )
    state = WorkflowState(similar_tickets=gathered.found["similar_tickets"], errors=gathered.errors)
    assert state.similar_tickets == STATE.similar_tickets
    assert [error.node_name for error in state.errors] == ["kb_search"]
    assert (state.nodes_success, state.nodes_failed) == (3, 1)


ANSWER = """### Similar Tickets
The same printer failed before and a new fuser solved it [TKT-99999].

### Recommended Next Steps
1. Look up the host first [IP-10.0.1.100].
2. Restart the spooler.
"""


@pytest.mark.xdist_group("live")
def test_complete_pipeline(live: LiveSystem) -> None:
    live.llm.by_model["pipeline-model"] = says(ANSWER)
    tenant = live.add_tenant(language_model=LanguageModelChoice(model="pipeline-model"))
    ticket_id = live.new_ticket("Printer on 10.0.1.100 is dead", "<p>See <b>10.0.1.100</b></p>")
    answer = live.send(tenant, ticket_id)
    assert answer.status_code == 202
    correlation_id = answer.json()["correlation_id"]
    row = live.row(correlation_id, "completed", "failed")
    assert row["status"] == "completed", row["error_message"]
    assert row["processing_time_ms"] < 60_000
    assert row["context_nodes_success"] + row["context_nodes_failed"] == 4
    assert (row["tenant_id"], row["ticket_id"]) == (tenant.tenant_id, ticket_id)

    description = live.description(ticket_id)
    assert description.startswith("<p>See <b>10.0.1.100</b></p>")
    assert description.count(correlation_id) == 1
    assert "TKT-99999" not in description, "a source that does not exist is never cited"

    calls = live.desk.simulator.journal.calls(ticket_id=ticket_id)
    assert {call.correlation_id for call in calls} == {correlation_id}
    asked = [one for one in live.llm.asked if one.model == "pipeline-model"]
    assert len(asked) == 1
    assert asked[0].headers["x-correlation-id"] == correlation_id

    run = live.finished_run(row["dagster_run_id"])
    assert run["status"] == "SUCCESS"
    tags = {tag["key"]: tag["value"] for tag in run["tags"]}
    assert tags["correlation_id"] == correlation_id
    assert (tags["tenant_id"], tags["ticket_id"], tags["attempt"]) == (tenant.tenant_id, ticket_id, "1")
