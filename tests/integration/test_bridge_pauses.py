"""A service desk that is away: the tenant's claims pause but for one probe, and others feel nothing."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from enhancer_dagster.domain.tickets import Claim
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.bridge_server import KnownTenants, RunningBridge, eventually, shared_bridge
from tests.factories import make_tenant

TENANTS = KnownTenants([make_tenant("acme"), make_tenant("beta")])


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres) -> Iterator[RunningBridge]:
    with shared_bridge(postgres, TENANTS) as bridge:
        yield bridge


@pytest.fixture
def bridge(running: RunningBridge) -> RunningBridge:
    return running.empty()


def send(bridge: RunningBridge, *tickets: str, tenant: str = "acme") -> None:
    for ticket in tickets:
        assert bridge.send(tenant, ticket_id=ticket).status_code == 202


def give_back(bridge: RunningBridge, claim: Claim, not_before: datetime | None = None) -> None:
    run_id = f"run-{claim.job.ticket_id}-{claim.attempt}"
    bridge.queue.start(claim.job.job_id, claim.attempt, run_id, None)
    bridge.finish(claim, run_id, "retry", error="the service desk is down", not_before=not_before)


def pause(bridge: RunningBridge) -> dict[str, float]:
    """Seconds from now until the next probe, and how often probes have failed."""
    (row,) = bridge.sql(
        "SELECT extract(epoch FROM probe_at - now())::float AS seconds, failures::float FROM bridge.tenants "
        "WHERE tenant_id = 'acme'"
    )
    return row


def let_time_pass(bridge: RunningBridge) -> None:
    """The pause is over; jobs that back off by themselves still do."""
    bridge.sql("UPDATE bridge.tenants SET probe_at = now() WHERE probe_at IS NOT NULL")


def test_the_tenant_pauses_and_others_do_not(bridge: RunningBridge) -> None:
    send(bridge, "1", "2", "3")
    give_back(bridge, bridge.claim_one())
    send(bridge, "4")
    assert bridge.queue.claim(10, 0) == []
    send(bridge, "1", "2", tenant="beta")
    assert [claim.job.tenant_id for claim in bridge.queue.claim(10, 0)] == ["beta", "beta"]
    assert bridge.queue.counts()["acme"]["pause"]["failures"] == 1


def test_one_probe_goes_and_when_it_gets_through_all_go(bridge: RunningBridge) -> None:
    send(bridge, "1", "2", "3")
    give_back(bridge, bridge.claim_one())
    let_time_pass(bridge)
    (probe,) = bridge.queue.claim(10, 0)
    assert probe.job.ticket_id == "2"
    assert bridge.queue.claim(10, 0) == []
    bridge.finish(probe, "probe")
    assert [claim.job.ticket_id for claim in bridge.queue.claim(10, 0)] == ["3"]
    assert "pause" not in bridge.queue.counts()["acme"]


def test_a_probe_that_is_refused_by_the_service_desk_shows_that_it_is_back(bridge: RunningBridge) -> None:
    send(bridge, "1", "2", "3")
    give_back(bridge, bridge.claim_one())
    let_time_pass(bridge)
    bridge.finish(bridge.claim_one(), "probe", "failed", error="403")
    assert len(bridge.queue.claim(10, 0)) == 1


def test_each_failed_probe_doubles_the_wait(bridge: RunningBridge) -> None:
    send(bridge, *(str(number) for number in range(12)))
    give_back(bridge, bridge.claim_one())
    waits = [pause(bridge)["seconds"]]
    for _ in range(8):
        let_time_pass(bridge)
        give_back(bridge, bridge.claim_one())
        waits.append(pause(bridge)["seconds"])
    expected = [15, 30, 60, 120, 240, 480, 600, 600, 600]
    assert waits == pytest.approx(expected, abs=5)


def test_runs_that_were_under_way_do_not_lengthen_the_pause(bridge: RunningBridge) -> None:
    send(bridge, *(str(number) for number in range(6)))
    for claim in bridge.queue.claim(5, 0):
        give_back(bridge, claim)
    assert pause(bridge) == pytest.approx({"seconds": 15, "failures": 1}, abs=5)


def test_after_an_outage_the_backlog_drains_by_itself_and_by_priority(bridge: RunningBridge) -> None:
    send(bridge, "1", "2")
    first, second = bridge.queue.claim(2, 0)
    bridge.send(ticket_id="3", priority="Urgent")
    give_back(bridge, first)
    give_back(bridge, second)
    let_time_pass(bridge)
    third = bridge.claim_one()
    assert third.job.ticket_id == "3"
    give_back(bridge, third)
    let_time_pass(bridge)
    # Nothing is left but jobs that back off: one of them is the probe all the same.
    probe = bridge.claim_one()
    give_back(bridge, probe)
    let_time_pass(bridge)
    bridge.finish(bridge.claim_one(), "probe")
    drained = bridge.queue.claim(10, 0)
    assert len(drained) == 2
    ranks = [bridge.job(claim.job.job_id)["priority_rank"] for claim in drained]
    assert ranks == sorted(ranks, reverse=True)


def test_one_ticket_that_always_fails_does_not_starve_its_tenant(bridge: RunningBridge) -> None:
    bridge.send(ticket_id="bad", priority="Urgent")
    send(bridge, *(str(number) for number in range(5)))
    done: list[str] = []
    for turn in range(12):
        let_time_pass(bridge)
        for claim in bridge.queue.claim(1, 0):
            if claim.job.ticket_id == "bad":
                give_back(bridge, claim)
            else:
                bridge.finish(claim, f"run-{turn}")
                done.append(claim.job.ticket_id)
    assert sorted(done) == ["0", "1", "2", "3", "4"]
    (job,) = bridge.sql("SELECT state, retries FROM bridge.jobs WHERE ticket_id = 'bad'")
    assert job["state"] in ("queued", "claimed")


def test_the_service_desks_own_moment_is_waited_for_up_to_a_day(bridge: RunningBridge) -> None:
    send(bridge, "1")
    claim = bridge.claim_one()
    give_back(bridge, claim, datetime.now(UTC) + timedelta(hours=2))
    assert pause(bridge)["seconds"] == pytest.approx(7200, abs=30)
    let_time_pass(bridge)
    assert bridge.queue.claim(1, 0) == []
    bridge.sql("UPDATE bridge.jobs SET not_before = now(), available_at = now()")
    again = bridge.claim_one()
    give_back(bridge, again, datetime.now(UTC) + timedelta(days=400))
    assert pause(bridge)["seconds"] == pytest.approx(86400, abs=30)
    (job,) = bridge.sql("SELECT extract(epoch FROM available_at - now())::float AS s FROM bridge.jobs")
    assert job["s"] == pytest.approx(86400, abs=30)


def test_giving_back_does_not_count_towards_poison(bridge: RunningBridge) -> None:
    send(bridge, "1")
    for _ in range(5):
        give_back(bridge, bridge.claim_one())
        bridge.sql("UPDATE bridge.jobs SET available_at = now()")
        let_time_pass(bridge)
    (job,) = bridge.sql("SELECT state, expiries, retries, attempt FROM bridge.jobs")
    assert job == {"state": "queued", "expiries": 0, "retries": 5, "attempt": 5}


def test_giving_back_twice_is_once(bridge: RunningBridge) -> None:
    send(bridge, "1")
    claim = bridge.claim_one()
    give_back(bridge, claim)
    bridge.finish(claim, "run-1-1", "retry")
    assert bridge.job(claim.job.job_id)["retries"] == 1


def test_a_probe_that_vanishes_makes_room_for_another(bridge: RunningBridge) -> None:
    send(bridge, "1", "2")
    give_back(bridge, bridge.claim_one())
    let_time_pass(bridge)
    probe = bridge.claim_one()
    assert bridge.queue.claim(1, 0) == []
    bridge.end_leases()
    eventually(lambda: bridge.queue.claim(1, 0))
    assert bridge.job(probe.job.job_id)["excused"] == 1


def test_a_change_of_a_ticket_that_waits_is_merged(bridge: RunningBridge) -> None:
    send(bridge, "1")
    claim = bridge.claim_one()
    give_back(bridge, claim)
    merged = bridge.send(ticket_id="1", description="newest").json()
    assert merged["job_id"] == str(claim.job.job_id)
