"""What could not be read, and what a person does with it."""

from collections.abc import Iterator

import pytest

from enhancer_dagster.domain.errors import PermanentError
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.bridge_server import KnownTenants, RunningBridge, body, shared_bridge, signed
from tests.factories import make_tenant


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres) -> Iterator[RunningBridge]:
    with shared_bridge(postgres, KnownTenants([make_tenant(), make_tenant("beta")])) as bridge:
        yield bridge


@pytest.fixture
def bridge(running: RunningBridge) -> RunningBridge:
    return running.empty()


def quarantined(bridge: RunningBridge, raw: bytes, tenant: str = "acme") -> int:
    answer = bridge.post(raw, signed(raw), tenant)
    assert answer.status_code == 422
    return answer.json()["quarantine_id"]


def test_entries_are_listed_and_shown_with_their_bytes(bridge: RunningBridge) -> None:
    first = quarantined(bridge, b"\xff\x00 broken")
    second = quarantined(bridge, b"{}", "beta")
    entries = bridge.queue.quarantine()
    assert [entry.quarantine_id for entry in entries] == [second, first]
    assert [entry.tenant_id for entry in bridge.queue.quarantine(tenant_id="beta")] == ["beta"]
    shown = bridge.queue.quarantined(first)
    assert (shown.body, shown.size, shown.state) == ("\ufffd\x00 broken", 9, "waiting")
    assert shown.reason == "the body is not UTF-8"
    with pytest.raises(PermanentError, match="no quarantine entry"):
        bridge.queue.quarantined(first + 1000)


def test_a_corrected_body_is_taken_in_and_its_delivery_remembered(bridge: RunningBridge) -> None:
    raw = body(ticket_id="no such id!")
    number = quarantined(bridge, raw)
    with pytest.raises(PermanentError, match="ticket_id"):
        bridge.queue.replay(number)
    assert bridge.queue.quarantined(number).state == "waiting"
    accepted = bridge.queue.replay(number, body(ticket_id="9").decode())
    claim = bridge.claim_one()
    assert (claim.job.job_id, claim.job.ticket_id) == (accepted.job_id, "9")
    entry = bridge.queue.quarantined(number)
    assert (entry.state, entry.job_id) == ("replayed", accepted.job_id)
    with pytest.raises(PermanentError, match="replayed before"):
        bridge.queue.replay(number, body(ticket_id="9").decode())


def test_what_is_discarded_stays_discarded(bridge: RunningBridge) -> None:
    number = quarantined(bridge, b"junk")
    bridge.queue.discard(number)
    assert bridge.queue.quarantined(number).state == "discarded"
    assert bridge.queue.quarantine(state="waiting") == []
    for again in (bridge.queue.discard, bridge.queue.replay):
        with pytest.raises(PermanentError, match="discarded before"):
            again(number)
    assert bridge.count("jobs") == 0


def test_a_static_token_is_not_kept_with_the_body(bridge: RunningBridge) -> None:
    quarantined(bridge, b"junk")
    (entry,) = bridge.sql("SELECT quarantine::text AS everything FROM bridge.quarantine")
    assert "hook-secret" not in entry["everything"]
