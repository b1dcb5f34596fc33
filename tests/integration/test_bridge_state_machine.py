"""The state table of docs/reliability.md, walked at random against the real queue.

Deliveries, claims, crashes, ends and re-executions come in any order. What a step may do is predicted from
the table, and after each step the promises of the queue are checked in the database.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from enhancer_dagster.domain.errors import FenceClosedError
from enhancer_dagster.domain.outcomes import HistoryStatus, JobOutcome
from enhancer_dagster.domain.ports import Finish
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.bridge_server import KnownTenants, RunningBridge, body, eventually, shared_bridge, signed
from tests.factories import make_record, make_tenant

TENANTS = ("acme", "beta")
TICKETS = ("1", "2")
SECONDS = float(os.environ.get("BRIDGE_STATE_MACHINE_SECONDS", "20"))
ENDED = ("completed", "failed", "dead")
ACTIVE = ("claimed", "running")
Jobs = dict[UUID, dict[str, Any]]


@dataclass(frozen=True)
class Delivery:
    tenant: str
    raw: bytes
    job_id: str


@dataclass
class Run:
    """A Dagster run: the number in its tag, and its parent."""

    job_id: UUID
    attempt: int
    parent: str | None = None
    run_id: str = field(default_factory=lambda: f"run-{uuid4().hex[:8]}")


class QueueMachine(RuleBasedStateMachine):
    bridge: RunningBridge
    deliveries = Bundle("deliveries")
    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        self.bridge.empty()
        self.sent: list[Delivery] = []
        self.attempts: dict[UUID, int] = {}
        self.refused: set[str] = set()

    @rule(
        target=deliveries,
        tenant=st.sampled_from(TENANTS),
        ticket=st.sampled_from(TICKETS),
        priority=st.sampled_from(["Low", "Urgent"]),
    )
    def deliver(self, tenant: str, ticket: str, priority: str) -> Delivery:
        raw = body(ticket_id=ticket, priority=priority, description=uuid4().hex)
        waiting = self.rows("tenant_id = %s AND ticket_id = %s AND accepts_changes", tenant, ticket)
        answer = self.bridge.post(raw, signed(raw), tenant)
        assert answer.status_code == 202
        job_id = answer.json()["job_id"]
        if waiting:
            assert job_id == str(waiting[0]["job_id"])
        self.sent.append(Delivery(tenant, raw, job_id))
        return self.sent[-1]

    @rule(delivery=deliveries)
    def deliver_again(self, delivery: Delivery) -> None:
        answer = self.bridge.post(delivery.raw, signed(delivery.raw), delivery.tenant)
        assert (answer.status_code, answer.json()["job_id"]) == (200, delivery.job_id)

    @rule(target=runs, limit=st.integers(1, 3))
    def claim(self, limit: int) -> Any:
        before = {row["job_id"]: row for row in self.rows("true")}
        claims = self.bridge.queue.claim(limit, 0)
        for one in claims:
            assert one.attempt == before[one.job.job_id]["attempt"] + 1
            assert before[one.job.job_id]["state"] not in ENDED
        return multiple(*(Run(one.job.job_id, one.attempt) for one in claims))

    @rule(target=runs, ticket=st.sampled_from(TICKETS))
    def deliver_claim_and_start(self, ticket: str) -> Any:
        self.deliver(TENANTS[0], ticket, "Low")
        started = self.claim(3).values
        for run in started:
            self.start(run)
        return multiple(*started)

    @rule(target=runs, parent=runs)
    def re_execute(self, parent: Run) -> Run:
        return Run(parent.job_id, parent.attempt, parent.run_id)

    @rule(target=runs, parent=runs)
    def re_execute_and_start(self, parent: Run) -> Run:
        run = Run(parent.job_id, parent.attempt, parent.run_id)
        self.start(run)
        return run

    @rule(run=runs)
    def start(self, run: Run) -> None:
        expected = self.may_start(run)
        with self.fence(run) as admitted:
            claim = self.bridge.queue.start(run.job_id, run.attempt, run.run_id, run.parent)
            job = self.job(run)
            assert (job["state"], job["run_id"], job["attempt"]) == ("running", run.run_id, claim.attempt)
        assert admitted == [expected]

    @rule(run=runs, outcome=st.sampled_from(list(JobOutcome)))
    def finish(self, run: Run, outcome: JobOutcome) -> None:
        before = self.job(run)
        status = HistoryStatus.COMPLETED if outcome is JobOutcome.COMPLETED else HistoryStatus.FAILED
        record = make_record(job_id=run.job_id, correlation_id=before["correlation_id"], status=status)
        current = before["state"] == "running" and before["run_id"] == run.run_id
        of_attempt = before["attempt"] == run.attempt
        unstarted = before["state"] == "claimed" and of_attempt
        done_before_given_up = (
            before["run_given_up"] and before["run_id"] == run.run_id and of_attempt
            and outcome is JobOutcome.COMPLETED
        )  # fmt: skip
        with self.fence(run) as admitted:
            self.bridge.queue.finish(run.job_id, run.attempt, run.run_id, Finish(outcome, record))
        after = self.job(run)
        may_end = current or unstarted or done_before_given_up
        if may_end and not (before["over"] and admitted == [False]):
            assert admitted == [True]
            assert after["state"] == ("queued" if outcome is JobOutcome.RETRY else outcome.value)
        else:
            # The bridge's own sweep may come in between.
            swept = before["over"] and after["state"] in ("queued", "dead")
            assert swept or after == before

    @rule()
    def leases_end(self) -> None:
        self.bridge.end_leases()

    @rule(run=runs, outcome=st.sampled_from(list(JobOutcome)))
    def finish_after_the_lease(self, run: Run, outcome: JobOutcome) -> None:
        self.leases_end()
        self.start(run)
        self.finish(run, outcome)

    @rule()
    def time_passes(self) -> None:
        self.bridge.sql("UPDATE bridge.tenants SET probe_at = now() WHERE probe_at IS NOT NULL")
        self.bridge.sql("UPDATE bridge.jobs SET available_at = now()")

    @rule(run=runs)
    def person_retries(self, run: Run) -> None:
        before = self.job(run)
        try:
            self.bridge.queue.retry(run.job_id)
        except FenceClosedError:
            assert before["state"] in ACTIVE
        else:
            job = self.job(run)
            assert (job["state"], job["asked_again"]) == ("queued", True)

    @rule(tenant=st.sampled_from(TENANTS), ticket=st.sampled_from(TICKETS))
    def person_asks_for_a_ticket(self, tenant: str, ticket: str) -> None:
        assert self.bridge.queue.enqueue(tenant, ticket, asked_again=True).status == "queued"

    @invariant()
    def promises_hold(self) -> None:
        jobs = {row["job_id"]: row for row in self.rows("true")}
        self.one_job_of_a_ticket_at_a_time(jobs)
        self.attempts_only_rise(jobs)
        self.no_run_that_was_refused_has_ended_a_job(jobs)
        self.nothing_has_happened_since_a_run_was_given_up(jobs)
        self.only_poison_is_dead(jobs)
        self.every_delivery_is_in_exactly_one_job(jobs)

    def one_job_of_a_ticket_at_a_time(self, jobs: Jobs) -> None:
        active = [(row["tenant_id"], row["ticket_id"]) for row in jobs.values() if row["state"] in ACTIVE]
        assert len(active) == len(set(active))

    def attempts_only_rise(self, jobs: Jobs) -> None:
        assert all(jobs[job_id]["attempt"] >= attempt for job_id, attempt in self.attempts.items())
        self.attempts = {job_id: row["attempt"] for job_id, row in jobs.items()}

    def no_run_that_was_refused_has_ended_a_job(self, jobs: Jobs) -> None:
        owners = {
            row["run_id"] for row in jobs.values() if row["state"] in ("running", "completed", "failed")
        }
        assert not owners & self.refused

    def nothing_has_happened_since_a_run_was_given_up(self, jobs: Jobs) -> None:
        let_in = {
            (row["run_id"], row["job_id"])
            for row in self.bridge.sql("SELECT * FROM bridge.runs WHERE let_in")
        }
        for row in jobs.values():
            if row["run_given_up"]:
                assert (row["run_id"], row["job_id"]) in let_in
                assert row["changed_at"] <= row["started_at"]
                assert row["fresh_since"] <= row["attempt"]

    def only_poison_is_dead(self, jobs: Jobs) -> None:
        counted = "SELECT job_id, count(*) AS runs FROM bridge.runs WHERE let_in GROUP BY job_id"
        let_in = {row["job_id"]: row["runs"] for row in self.bridge.sql(counted)}
        for job_id, row in jobs.items():
            assert row["expiries"] <= let_in.get(job_id, 0), "only a run that was let in counts"
            is_over = row["expiries"] == 3 or row["excused"] == 10
            assert is_over == (row["state"] == "dead") or row["state"] == "completed"

    def every_delivery_is_in_exactly_one_job(self, jobs: Jobs) -> None:
        sent = "SELECT job_id, tenant_id FROM bridge.deliveries WHERE delivery_id LIKE %s"
        kept = self.bridge.sql(sent, "sha256:%")
        assert sorted(str(row["job_id"]) for row in kept) == sorted(one.job_id for one in self.sent)
        assert all(jobs[row["job_id"]]["tenant_id"] == row["tenant_id"] for row in kept)

    def teardown(self) -> None:
        """Whatever happened, everything that is open can be brought to an end."""
        eventually(self.drained)
        assert self.rows("state NOT IN ('completed', 'failed', 'dead')") == []

    def drained(self) -> bool:
        self.time_passes()
        self.leases_end()
        for claim in self.bridge.queue.claim(50, 0):
            run = Run(claim.job.job_id, claim.attempt)
            self.bridge.queue.start(run.job_id, run.attempt, run.run_id, None)
            self.bridge.finish(claim, run.run_id)
        return not self.rows("state NOT IN ('completed', 'failed', 'dead')")

    def may_start(self, run: Run) -> bool:
        """What the state table says."""
        job = self.job(run)
        expired = job["lease_expires_at"] is not None and job["over"]
        state = job["state"]
        if state in ACTIVE and not expired:
            if state == "claimed" and job["attempt"] == run.attempt:
                return True
            if state == "running" and job["run_id"] == run.run_id:
                return True
        if run.parent is None or self.has_been_in(run):
            return False
        if state in ACTIVE and expired:
            count, most = ("excused", 10) if state == "claimed" else ("expiries", 3)
            state = "queued" if job[count] + 1 < most else "dead"
        follows = state in ENDED or (state in ("queued", "running") and job["run_id"] == run.parent)
        busy = self.rows(
            "tenant_id = %s AND ticket_id = %s AND job_id <> %s AND state IN ('claimed', 'running')",
            job["tenant_id"], job["ticket_id"], job["job_id"],
        )  # fmt: skip
        return follows and not busy

    def has_been_in(self, run: Run) -> bool:
        return bool(self.bridge.sql("SELECT 1 FROM bridge.runs WHERE run_id = %s", run.run_id))

    @contextmanager
    def fence(self, run: Run) -> Iterator[list[bool]]:
        admitted: list[bool] = []
        try:
            yield admitted
            admitted.append(True)
        except FenceClosedError:
            admitted.append(False)
            job = self.job(run)
            has_ended_it = job["state"] in ("completed", "failed")
            if job["run_id"] != run.run_id or not (has_ended_it or job["run_given_up"]):
                self.refused.add(run.run_id)

    def job(self, run: Run) -> dict[str, Any]:
        return self.rows("job_id = %s", run.job_id)[0]

    def rows(self, condition: str, *values: Any) -> list[dict[str, Any]]:
        return self.bridge.sql(
            f"SELECT *, lease_expires_at <= now() AS over FROM bridge.jobs WHERE {condition}", *values
        )


@pytest.fixture(scope="module")
def bridge(postgres: EmbeddedPostgres) -> Iterator[RunningBridge]:
    tenants = KnownTenants([make_tenant(tenant) for tenant in TENANTS])
    generous = {
        f"webhook_{what}_per_{whom}": 1e9 for what in ("rate", "burst") for whom in ("address", "tenant")
    }
    with shared_bridge(postgres, tenants, **generous) as running:
        yield running


def test_the_queue_keeps_its_promises_whatever_happens(bridge: RunningBridge) -> None:
    QueueMachine.bridge = bridge
    few = settings(
        max_examples=5,
        stateful_step_count=40,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        database=None,
    )
    enough = time.monotonic() + SECONDS
    while time.monotonic() < enough:
        run_state_machine_as_test(QueueMachine, settings=few)
