"""The queue as the pipeline sees it: claims, the fence, the end of a job, and running it again."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.bridge_client import BridgeClient
from enhancer_dagster.domain.errors import BridgeUnavailableError, ConfigurationError, FenceClosedError
from enhancer_dagster.domain.outcomes import HistoryStatus
from enhancer_dagster.domain.tickets import Claim
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.bridge_server import KnownTenants, RunningBridge, eventually, running_bridge, shared_bridge
from tests.factories import make_tenant

TENANTS = KnownTenants([make_tenant("acme"), make_tenant("beta"), make_tenant("gamma", active=False)])


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres) -> Iterator[RunningBridge]:
    with shared_bridge(postgres, TENANTS, lease_seconds=30, run_hard_limit_seconds=120) as bridge:
        yield bridge


@pytest.fixture
def bridge(running: RunningBridge) -> RunningBridge:
    return running.empty()


def test_a_claim_carries_the_job_and_a_lease(bridge: RunningBridge) -> None:
    sent = bridge.send(ticket_id="7", subject="Mail", event="edited", priority="High").json()
    claim = bridge.claim_one()
    assert str(claim.job.job_id) == sent["job_id"]
    assert str(claim.correlation_id) == sent["correlation_id"]
    assert (claim.job.tenant_id, claim.job.ticket_id, claim.attempt) == ("acme", "7", 1)
    assert (claim.subject, claim.event, claim.job.priority) == ("Mail", "edited", "High")
    assert claim.job.created_at == datetime(2026, 11, 2, 15, 30, 45, tzinfo=UTC)
    assert timedelta(seconds=25) < claim.lease_expires_at - datetime.now(UTC) < timedelta(seconds=31)
    assert bridge.queue.claim(5, 0) == []


def test_a_waiting_claim_is_woken_by_a_webhook(bridge: RunningBridge) -> None:
    with ThreadPoolExecutor(3) as lanes:
        waiting = [lanes.submit(bridge.queue.claim, 1, 4) for _ in range(3)]
        first = bridge.send(ticket_id="1").json()["job_id"]
        eventually(lambda: any(lane.done() for lane in waiting))
        second = bridge.send(ticket_id="2").json()["job_id"]
        got = [str(claim.job.job_id) for lane in waiting for claim in lane.result()]
    assert sorted(got) == sorted([first, second])


def test_a_webhook_at_one_bridge_wakes_a_claim_at_another(bridge: RunningBridge) -> None:
    with running_bridge(bridge.database_url, TENANTS) as other, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(other.queue.claim, 1, 30)
        eventually(lambda: bridge.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
        bridge.send()
        assert len(waiting.result(20)) == 1


def test_many_claimers_never_get_the_same_job(bridge: RunningBridge) -> None:
    for number in range(60):
        bridge.send("beta" if number % 2 else "acme", ticket_id=str(number))
    with running_bridge(bridge.database_url, TENANTS) as other, ThreadPoolExecutor(6) as threads:
        queues = [bridge.queue, other.queue] * 12
        batches = list(threads.map(lambda queue: queue.claim(3, 0), queues))
    jobs = [claim.job.job_id for batch in batches for claim in batch]
    assert len(jobs) == len(set(jobs)) == 60


def test_urgent_before_old(bridge: RunningBridge) -> None:
    for ticket, priority in (("1", "Low"), ("2", "Medium"), ("3", "normal"), ("4", "Urgent"), ("5", "high")):
        bridge.send(ticket_id=ticket, priority=priority)
    assert [bridge.claim_one().job.ticket_id for _ in range(5)] == ["4", "5", "2", "3", "1"]


def test_a_tenant_with_many_tickets_does_not_keep_others_waiting(bridge: RunningBridge) -> None:
    for number in range(20):
        bridge.send("acme", ticket_id=str(number), priority="Urgent")
    for number in range(3):
        bridge.send("beta", ticket_id=str(number), priority="Low")
    together = Counter(claim.job.tenant_id for claim in bridge.queue.claim(6, 0))
    assert together == {"acme": 3, "beta": 3}


def test_tenants_take_turns_on_a_single_slot(bridge: RunningBridge) -> None:
    for number in range(4):
        bridge.send("acme", ticket_id=str(number))
    for number in range(4):
        bridge.send("beta", ticket_id=str(number))
    order = []
    for number in range(6):
        claim = bridge.claim_one()
        order.append(claim.job.tenant_id)
        bridge.finish(claim, f"run-{number}")
    assert order == ["acme", "beta"] * 3


def test_one_job_of_a_ticket_at_a_time(bridge: RunningBridge) -> None:
    bridge.send(description="first")
    first = bridge.claim_one()
    bridge.send(description="second")
    assert bridge.queue.claim(5, 0) == []
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(bridge.queue.claim, 5, 20)
        bridge.queue.start(first.job.job_id, 1, "r1", None)
        bridge.finish(first, "r1")
        (second,) = waiting.result()
    assert second.job.description == "second"
    assert second.job.job_id != first.job.job_id


def test_the_fence_lets_the_run_of_this_attempt_in_again_and_again(bridge: RunningBridge) -> None:
    bridge.send()
    claim = bridge.claim_one()
    starts = [bridge.queue.start(claim.job.job_id, 1, "r1", None) for _ in range(3)]
    assert [start.attempt for start in starts] == [1, 1, 1]
    assert starts[-1].lease_expires_at - datetime.now(UTC) > timedelta(seconds=120)
    with pytest.raises(FenceClosedError, match="running"):
        bridge.queue.start(claim.job.job_id, 1, "another", None)
    assert bridge.job(claim.job.job_id)["run_id"] == "r1"


def test_the_fence_names_the_runs_whose_work_this_one_may_go_on_with(bridge: RunningBridge) -> None:
    bridge.send()
    for attempt, expected in ((1, ()), (2, ("r1",))):
        claim = bridge.claim_one()
        start = bridge.queue.start(claim.job.job_id, attempt, f"r{attempt}", None)
        assert start.earlier_runs == expected
        bridge.end_leases()
    third = bridge.claim_one()
    assert bridge.queue.start(third.job.job_id, 3, "r3", None).earlier_runs == ("r2", "r1")
    bridge.finish(third, "r3")
    asked = bridge.queue.start(third.job.job_id, 3, "r4", "r3")
    assert (asked.attempt, asked.earlier_runs) == (4, ()), "a person asked: it is made anew"
    bridge.end_leases()
    fifth = bridge.claim_one()
    assert bridge.queue.start(third.job.job_id, 5, "r5", None).earlier_runs == ("r4",)
    bridge.finish(fifth, "r5")
    bridge.queue.retry(third.job.job_id)
    sixth = bridge.claim_one()
    assert bridge.queue.start(third.job.job_id, sixth.attempt, "r6", None).earlier_runs == ()


def test_a_run_of_an_older_attempt_is_not_let_in(bridge: RunningBridge) -> None:
    bridge.send()
    old = bridge.claim_one()
    bridge.end_leases()
    new = bridge.claim_one()
    assert (new.job.job_id, new.attempt) == (old.job.job_id, 2)
    with pytest.raises(FenceClosedError):
        bridge.queue.start(old.job.job_id, 1, "r1", None)
    assert bridge.queue.start(new.job.job_id, 2, "r2", None).attempt == 2
    with pytest.raises(FenceClosedError):
        bridge.finish(old, "r1")


def test_a_run_whose_lease_is_over_is_out_even_before_anyone_else_is_in(bridge: RunningBridge) -> None:
    bridge.send()
    claim = bridge.claim_one()
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    bridge.end_leases()
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, 1, "r1", None)
    with pytest.raises(FenceClosedError):
        bridge.finish(claim, "r1", "failed")
    assert bridge.job(claim.job.job_id)["state"] == "queued"
    assert bridge.claim_one().attempt == 2


def given_up(bridge: RunningBridge, times: int) -> Claim:
    """The last claim of a job whose runs r1, r2, ... were let in and outlived their leases."""
    bridge.send()
    for attempt in range(1, times + 1):
        claim = bridge.claim_one()
        bridge.queue.start(claim.job.job_id, attempt, f"r{attempt}", None)
        bridge.end_leases()
    comes_too_late(bridge, claim)
    return claim


def comes_too_late(bridge: RunningBridge, claim: Claim) -> None:
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, claim.attempt, f"r{claim.attempt}", None)


@pytest.mark.parametrize(("times", "state"), [(1, "queued"), (3, "dead")])
def test_a_run_that_was_given_up_may_still_say_that_it_had_completed(
    bridge: RunningBridge, times: int, state: str
) -> None:
    claim = given_up(bridge, times)
    assert bridge.job(claim.job.job_id)["state"] == state
    for _ in range(2):
        bridge.finish(claim, f"r{times}")
    job = bridge.job(claim.job.job_id)
    assert (job["state"], job["run_id"], job["error"]) == ("completed", f"r{times}", None)
    (record,) = bridge.queue.unwritten_history()
    assert (record.status, record.attempt) == (HistoryStatus.COMPLETED, times)
    assert bridge.queue.claim(5, 0) == []


def a_claim(bridge: RunningBridge, claim: Claim) -> None:
    bridge.claim_one()


def a_claim_that_came_to_nothing(bridge: RunningBridge, claim: Claim) -> None:
    second = bridge.claim_one()
    bridge.end_leases()
    comes_too_late(bridge, second)


def a_change(bridge: RunningBridge, claim: Claim) -> None:
    assert bridge.send(description="changed").json()["job_id"] == str(claim.job.job_id)


def a_person(bridge: RunningBridge, claim: Claim) -> None:
    bridge.queue.retry(claim.job.job_id)


@pytest.mark.parametrize("since", [a_claim, a_claim_that_came_to_nothing, a_change, a_person])
def test_a_run_that_was_given_up_says_nothing_about_what_came_after_it(
    bridge: RunningBridge, since: Callable[[RunningBridge, Claim], None]
) -> None:
    claim = given_up(bridge, 1)
    since(bridge, claim)
    before = bridge.job(claim.job.job_id)["state"]
    with pytest.raises(FenceClosedError):
        bridge.finish(claim, "r1")
    assert bridge.job(claim.job.job_id)["state"] == before


def test_of_a_dead_job_only_the_last_run_may_say_that_it_had_completed(bridge: RunningBridge) -> None:
    claim = given_up(bridge, 3)
    for run_id, outcome in (("r2", "completed"), ("r3", "failed"), ("r3", "retry")):
        with pytest.raises(FenceClosedError):
            bridge.finish(claim, run_id, outcome)
    bridge.queue.retry(claim.job.job_id)
    with pytest.raises(FenceClosedError):
        bridge.finish(claim, "r3")
    assert bridge.claim_one().attempt == 4


def test_the_fence_of_an_unknown_job_is_closed(bridge: RunningBridge) -> None:
    with pytest.raises(FenceClosedError, match="there is no job"):
        bridge.queue.start(uuid4(), 1, "r1", None)


def test_a_poison_ticket_is_dead_after_three_and_harms_no_other(bridge: RunningBridge) -> None:
    bridge.send(ticket_id="poison")
    for attempt in (1, 2, 3):
        claim = bridge.claim_one()
        assert claim.attempt == attempt
        bridge.queue.start(claim.job.job_id, attempt, f"r{attempt}", None)
        bridge.end_leases()
    bridge.send(ticket_id="well")
    assert [one.job.ticket_id for one in bridge.queue.claim(5, 0)] == ["well"]
    job = bridge.job(claim.job.job_id)
    assert job["state"] == "dead"
    assert "run r3 vanished" in job["error"]
    assert "lease 3 of 3" in job["error"]
    (record,) = bridge.queue.unwritten_history()
    assert (record.job_id, record.status, record.attempt) == (claim.job.job_id, HistoryStatus.FAILED, 3)
    assert (record.dagster_run_id, record.error_message) == ("r3", job["error"])
    assert record.started_at <= (record.completed_at or record.started_at)


def unstarted(bridge: RunningBridge, times: int) -> Claim:
    for _ in range(times):
        claim = bridge.claim_one()
        bridge.end_leases()
    return claim


def test_claims_that_came_to_nothing_do_not_count_towards_poison(bridge: RunningBridge) -> None:
    bridge.send()
    claim = unstarted(bridge, 5)
    assert claim.attempt == 5, "each has a number of its own, as its run's key"
    for attempt in (6, 7):
        claim = bridge.claim_one()
        bridge.queue.start(claim.job.job_id, attempt, f"r{attempt}", None)
        bridge.end_leases()
    claim = bridge.claim_one()
    assert (claim.attempt, bridge.job(claim.job.job_id)["expiries"]) == (8, 2)


def test_a_ticket_whose_claims_always_come_to_nothing_is_dead_in_the_end(bridge: RunningBridge) -> None:
    bridge.send(ticket_id="kills-the-sensor")
    claim = unstarted(bridge, 10)
    bridge.send(ticket_id="well")
    assert [one.job.ticket_id for one in bridge.queue.claim(5, 0)] == ["well"]
    job = bridge.job(claim.job.job_id)
    assert job["state"] == "dead"
    assert "no run started in time; lease 10 of 10" in job["error"]
    bridge.queue.retry(claim.job.job_id)
    assert bridge.job(claim.job.job_id)["excused"] == 0


def test_a_run_that_was_let_in_before_the_bridge_started_is_not_held_against_its_ticket(
    database_url: SecretStr,
) -> None:
    with running_bridge(database_url, TENANTS) as before:
        before.send()
        claim = before.claim_one()
        before.queue.start(claim.job.job_id, 1, "r1", None)
    with running_bridge(database_url, TENANTS) as bridge:
        bridge.end_leases()
        second = bridge.claim_one()
        job = bridge.job(second.job.job_id)
        assert (second.attempt, job["expiries"], job["excused"]) == (2, 0, 1)
        assert "run r1 vanished" in job["error"]
        assert "no fault of the ticket" in job["error"]
        bridge.queue.start(second.job.job_id, 2, "r2", None)
        bridge.end_leases()
        third = bridge.claim_one()
        assert bridge.job(third.job.job_id)["expiries"] == 1, "this one vanished by itself"


def test_expired_leases_are_swept_while_nobody_claims(database_url: SecretStr) -> None:
    with running_bridge(database_url, TENANTS) as bridge:
        sent = bridge.send().json()
        bridge.claim_one()
        bridge.end_leases()
        eventually(lambda: bridge.job(sent["job_id"])["state"] == "queued")


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_finishing_keeps_the_whole_outcome_for_history(bridge: RunningBridge, outcome: str) -> None:
    bridge.send()
    claim = bridge.claim_one()
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    bridge.finish(claim, "r1", outcome, error="why" if outcome == "failed" else None)
    job = bridge.job(claim.job.job_id)
    assert (job["state"], job["history_written"]) == (outcome, False)
    bridge.finish(claim, "r1", outcome)
    with pytest.raises(FenceClosedError):
        bridge.finish(claim, "r2", outcome)
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, 1, "r1", None)
    (record,) = bridge.queue.unwritten_history()
    assert record.status == outcome
    assert record.job_id == claim.job.job_id


def test_history_acknowledged_is_not_listed_again(bridge: RunningBridge) -> None:
    for ticket in ("1", "2"):
        bridge.send(ticket_id=ticket)
        claim = bridge.claim_one()
        bridge.finish(claim, f"r{ticket}", history_written=ticket == "2")
    (record,) = bridge.queue.unwritten_history()
    stale = record.model_copy(update={"attempt": 2})
    assert bridge.queue.acknowledge_history([stale]) == 0
    assert bridge.queue.acknowledge_history([record]) == 1
    assert bridge.queue.unwritten_history() == []


def test_an_outcome_is_listed_under_the_jobs_own_attempt(bridge: RunningBridge) -> None:
    bridge.send()
    claim = bridge.claim_one()
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    bridge.queue.start(claim.job.job_id, 1, "r2", "r1")
    bridge.finish(claim, "r2", "failed")
    (record,) = bridge.queue.unwritten_history()
    assert record.attempt == 2
    assert bridge.queue.acknowledge_history([record]) == 1


def test_a_run_that_fails_before_the_fence_can_be_ended(bridge: RunningBridge) -> None:
    bridge.send()
    claim = bridge.claim_one()
    bridge.finish(claim, "r1", "failed", error="could not even start")
    assert bridge.job(claim.job.job_id)["state"] == "failed"
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, 1, "r1", None)


@pytest.mark.parametrize("outcome", ["completed", "failed"])
def test_a_re_execution_of_an_ended_job_is_let_in(bridge: RunningBridge, outcome: str) -> None:
    bridge.send()
    claim = bridge.claim_one()
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    bridge.finish(claim, "r1", outcome)
    again = bridge.queue.start(claim.job.job_id, 1, "r2", "r1")
    assert (again.attempt, again.asked_again, again.correlation_id) == (2, True, claim.correlation_id)
    assert bridge.queue.start(claim.job.job_id, 1, "r2", "r1").attempt == 2
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, 1, "r3", "r1")
    bridge.finish(again, "r2")
    assert bridge.job(claim.job.job_id)["state"] == "completed"
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, 1, "r2", "r1")
    grandchild = bridge.queue.start(claim.job.job_id, 1, "r4", "r2")
    assert grandchild.attempt == 3


def test_a_re_execution_takes_over_from_the_run_that_was_its_parent(bridge: RunningBridge) -> None:
    bridge.send()
    claim = bridge.claim_one()
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    assert bridge.queue.start(claim.job.job_id, 1, "r2", "r1").attempt == 2
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, 1, "r1", None)
    with pytest.raises(FenceClosedError):
        bridge.finish(claim, "r1", "failed")
    bridge.finish(claim, "r2")


def test_a_superseded_run_never_comes_back_as_a_re_execution(bridge: RunningBridge) -> None:
    bridge.send()
    claim = bridge.claim_one()
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    bridge.queue.start(claim.job.job_id, 1, "r2", "r1")
    bridge.queue.start(claim.job.job_id, 1, "r3", "r2")
    bridge.finish(claim, "r3")
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, 1, "r2", "r1")


def test_a_dead_job_and_one_that_was_put_back_can_be_re_executed(bridge: RunningBridge) -> None:
    bridge.send()
    for attempt in (1, 2, 3):
        claim = bridge.claim_one()
        bridge.queue.start(claim.job.job_id, attempt, f"r{attempt}", None)
        bridge.end_leases()
    assert bridge.queue.start(claim.job.job_id, 3, "r4", "r3").attempt == 4
    bridge.end_leases()
    assert bridge.queue.start(claim.job.job_id, 3, "r5", "r4").attempt == 5
    assert bridge.queue.claim(5, 0) == []


def test_a_re_execution_is_refused_for_good_while_another_job_of_the_ticket_is_worked_on(
    bridge: RunningBridge,
) -> None:
    bridge.send()
    first = bridge.claim_one()
    bridge.queue.start(first.job.job_id, 1, "r1", None)
    bridge.finish(first, "r1", "failed")
    bridge.send(description="newer")
    second = bridge.claim_one()
    with pytest.raises(FenceClosedError):
        bridge.queue.start(first.job.job_id, 1, "r2", "r1")
    bridge.finish(second, "s1")
    with pytest.raises(FenceClosedError):
        bridge.queue.start(first.job.job_id, 1, "r2", "r1")
    assert bridge.queue.start(first.job.job_id, 1, "r3", "r2").attempt == 2


def test_racing_re_executions_let_one_in(bridge: RunningBridge) -> None:
    bridge.send()
    claim = bridge.claim_one()
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    bridge.finish(claim, "r1", "failed")

    def enter(run_id: str) -> bool:
        try:
            bridge.queue.start(claim.job.job_id, 1, run_id, "r1")
        except FenceClosedError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(enter, [f"child-{n}" for n in range(16)])) == 1
    assert bridge.job(claim.job.job_id)["attempt"] == 2


@pytest.mark.parametrize("end", ["completed", "failed", "dead"])
def test_a_person_puts_an_ended_job_back(bridge: RunningBridge, end: str) -> None:
    bridge.send()
    claim = bridge.claim_one()
    with pytest.raises(FenceClosedError, match="being worked on"):
        bridge.queue.retry(claim.job.job_id)
    if end == "dead":
        for _ in range(10):
            bridge.end_leases()
            bridge.queue.claim(1, 0)
    else:
        bridge.finish(claim, "r1", end)
    assert bridge.job(claim.job.job_id)["state"] == end
    assert bridge.queue.retry(claim.job.job_id) == "queued"
    assert bridge.queue.retry(claim.job.job_id) == "queued"
    again = bridge.claim_one()
    assert (again.job.job_id, again.asked_again) == (claim.job.job_id, True)
    assert again.attempt > claim.attempt
    with pytest.raises(FenceClosedError):
        bridge.queue.retry(uuid4())


def test_a_change_is_merged_into_a_job_that_was_put_back(bridge: RunningBridge) -> None:
    first = bridge.send(description="first").json()
    claim = bridge.claim_one()
    bridge.end_leases()
    with pytest.raises(FenceClosedError):
        bridge.queue.start(claim.job.job_id, 1, "r1", None)
    assert bridge.send(description="second").json()["job_id"] == first["job_id"]
    assert bridge.claim_one().job.description == "second"


def test_two_waiting_jobs_of_a_ticket_go_one_after_the_other(bridge: RunningBridge) -> None:
    old = bridge.send(description="old").json()["job_id"]
    bridge.claim_one()
    new = bridge.send(description="new").json()["job_id"]
    bridge.end_leases()
    (first,) = bridge.queue.claim(5, 0)
    assert str(first.job.job_id) == old
    assert bridge.send(description="newest").json()["job_id"] == new
    bridge.finish(first, "r1")
    (second,) = bridge.queue.claim(5, 0)
    assert (str(second.job.job_id), second.job.description) == (new, "newest")


def test_a_ticket_found_by_polling(bridge: RunningBridge) -> None:
    changed_at = datetime.now(UTC) - timedelta(minutes=5)
    found = bridge.queue.enqueue("acme", "5", changed_at=changed_at, priority="High")
    assert found.status == "queued"
    assert bridge.queue.enqueue("acme", "5", changed_at=changed_at).status == "known"
    claim = bridge.claim_one()
    assert (claim.job.job_id, claim.job.priority, claim.job.description) == (found.job_id, "High", "")
    later = bridge.queue.enqueue("acme", "5", changed_at=datetime.now(UTC) + timedelta(seconds=5))
    assert later.status == "queued"
    assert later.job_id != found.job_id


def test_a_ticket_by_webhook_and_by_polling_is_one_job(bridge: RunningBridge) -> None:
    changed_at = datetime.now(UTC) - timedelta(seconds=1)
    sent = bridge.send(ticket_id="5", description="from the webhook").json()
    assert str(bridge.queue.enqueue("acme", "5", changed_at=changed_at).job_id) == sent["job_id"]
    merged = bridge.queue.enqueue("acme", "5", changed_at=datetime.now(UTC) + timedelta(seconds=5))
    assert (merged.status, str(merged.job_id)) == ("queued", sent["job_id"])
    claim = bridge.claim_one()
    assert claim.job.description == "from the webhook"
    bridge.finish(claim, "r1")
    assert bridge.queue.enqueue("acme", "5", changed_at=changed_at).status == "known"
    asked = bridge.queue.enqueue("acme", "5", asked_again=True)
    assert asked.job_id != claim.job.job_id
    assert bridge.claim_one().asked_again


def test_only_active_tenants_tickets_are_enqueued(bridge: RunningBridge) -> None:
    for tenant in ("gamma", "nobody"):
        with pytest.raises(Exception, match="there is no active tenant"):
            bridge.queue.enqueue(tenant, "5")


def test_jobs_are_listed_by_what_is_asked_for(bridge: RunningBridge) -> None:
    for number in range(5):
        bridge.send("acme" if number < 3 else "beta", ticket_id=str(number))
    claim = bridge.queue.claim(1, 0)[0]
    bridge.queue.start(claim.job.job_id, 1, "r1", None)
    bridge.queue.start(claim.job.job_id, 1, "r2", "r1")
    queue = bridge.queue
    assert [job.ticket_id for job in queue.jobs()] == ["4", "3", "2", "1", "0"]
    assert {job.tenant_id for job in queue.jobs(tenant_id="beta")} == {"beta"}
    assert [job.job_id for job in queue.jobs(states=["claimed", "running"])] == [claim.job.job_id]
    assert [job.run_id for job in queue.jobs(run_id="r1")] == ["r2"]
    assert [job.ticket_id for job in queue.jobs(correlation_ids=[claim.correlation_id])] == ["0"]
    assert list(queue.jobs(since=datetime.now(UTC) + timedelta(minutes=1))) == []
    assert len(list(queue.jobs(since=datetime.now(UTC) - timedelta(minutes=10), ticket_id="1"))) == 1
    assert queue.counts()["acme"]["jobs"] == {"queued": 2, "running": 1}


def test_lists_go_on_page_by_page(bridge: RunningBridge) -> None:
    bridge.sql(
        "INSERT INTO bridge.jobs (job_id, tenant_id, ticket_id, correlation_id) "
        "SELECT gen_random_uuid(), 'acme', 't' || n, gen_random_uuid() FROM generate_series(1, 1203) n"
    )
    assert len({job.job_id for job in bridge.queue.jobs()}) == 1203


def test_correlation_ids_belong_to_one_tenant_and_ticket(bridge: RunningBridge) -> None:
    bridge.send("acme", ticket_id="1")
    bridge.send("beta", ticket_id="1")
    (mine,) = (claim for claim in bridge.queue.claim(2, 0) if claim.job.tenant_id == "acme")
    asked = [mine.correlation_id, uuid4()]
    assert bridge.queue.owned_correlation_ids("acme", "1", asked) == {mine.correlation_id}
    assert bridge.queue.owned_correlation_ids("beta", "1", asked) == frozenset()
    assert bridge.queue.owned_correlation_ids("acme", "2", asked) == frozenset()
    assert bridge.queue.owned_correlation_ids("acme", "1", []) == frozenset()


def test_a_hundred_thousand_waiting_jobs_do_not_slow_the_claims(bridge: RunningBridge) -> None:
    bridge.sql(
        "INSERT INTO bridge.jobs (job_id, tenant_id, ticket_id, correlation_id, priority_rank, description) "
        "SELECT gen_random_uuid(), 't' || n % 20, n, gen_random_uuid(), n % 4, repeat('x', 200) "
        "FROM generate_series(1, 100000) n"
    )
    for _ in range(3):
        assert len(bridge.queue.claim(24, 0)) == 24
    rows_read = "SELECT seq_tup_read + idx_tup_fetch AS n FROM pg_stat_user_tables WHERE relname = 'jobs'"
    before = bridge.sql(rows_read)[0]["n"]
    assert len(bridge.queue.claim(24, 0)) == 24
    eventually(lambda: bridge.sql(rows_read)[0]["n"] > before)
    assert bridge.sql(rows_read)[0]["n"] - before < 10_000


def test_without_the_token_nothing_is_told(bridge: RunningBridge) -> None:
    base = f"http://127.0.0.1:{bridge.claim_port}"
    with pytest.raises(ConfigurationError, match="ENHANCER_CLAIM_TOKEN"):
        BridgeClient(base, SecretStr("wrong")).claim(1, 0)
    for path in ("/v1/jobs", "/v1/nothing", "/v1/quarantine/1"):
        assert httpx.get(base + path).status_code == 401
    twice = [("Authorization", "Bearer claim-token")] * 2
    assert httpx.get(f"{base}/v1/jobs", headers=twice).status_code == 401
    assert httpx.get(f"{base}/v1/jobs", headers={"Authorization": b"Bearer \xff"}).status_code == 401
    assert bridge.http.get("/v1/jobs", headers=dict(twice)).status_code == 404


NO_JOB = "00000000-0000-4000-8000-000000000000"
"""Fixed, since it is part of test names, which all workers of pytest-xdist must agree on."""


@pytest.mark.parametrize(
    ("method", "path", "request_body"),
    [
        ("GET", "/v1/jobs?ticket=%00", None),
        ("GET", "/v1/jobs?since=0001-01-01T00:00:00%2B14:00", None),
        ("GET", "/v1/jobs?limit=99999999999999999999", None),
        ("GET", "/v1/jobs?state=%00&run_id=%27", None),
        ("GET", "/v1/quarantine/99999999999999999999", None),
        ("POST", "/v1/claims", b'{"limit": 1e400}'),
        ("POST", "/v1/claims", b'{"limit": NaN, "wait_seconds": "\\ud800"}'),
        ("GET", "/v1/jobs?state=%00", None),
        ("POST", "/v1/claims", b"\xff"),
        ("POST", f"/v1/jobs/{NO_JOB}/start", b'{"attempt": 1, "run_id": "a\\u0000b"}'),
        ("POST", f"/v1/jobs/{NO_JOB}/finish", b'{"attempt": 1, "run_id": "a"}'),
        (
            "POST",
            "/v1/correlation-ids",
            b'{"tenant_id": "a", "ticket_id": "\\ud800", "correlation_ids": [1]}',
        ),
    ],
)
def test_nonsense_on_the_inner_door_is_refused_in_words(
    bridge: RunningBridge, method: str, path: str, request_body: bytes | None
) -> None:
    headers = {"Authorization": "Bearer claim-token", "Content-Type": "application/json"}
    url = f"http://127.0.0.1:{bridge.claim_port}{path}"
    answer = httpx.request(method, url, content=request_body, headers=headers)
    assert answer.status_code in (200, 400, 422)
    assert answer.json()


def test_a_caller_who_hung_up_gets_no_job(bridge: RunningBridge) -> None:
    impatient = BridgeClient(
        f"http://127.0.0.1:{bridge.claim_port}", SecretStr("claim-token"), transport=_Impatient()
    )
    with pytest.raises(BridgeUnavailableError):
        impatient.claim(1, 20)
    sent = bridge.send().json()
    threading.Event().wait(0.3)
    assert bridge.job(sent["job_id"])["state"] == "queued"


class _Impatient(httpx.HTTPTransport):
    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.extensions["timeout"] = {"connect": 5, "read": 0.2, "write": 5, "pool": 5}
        return super().handle_request(request)
