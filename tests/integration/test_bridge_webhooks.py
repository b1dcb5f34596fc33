"""The webhook door as a sender sees it."""

import gzip
import hashlib
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from uuid import UUID, uuid4

import httpx
import psycopg
import pytest
from pydantic import SecretStr

from enhancer_dagster.bridge import transitions
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.bridge_server import (
    KnownTenants,
    RunningBridge,
    body,
    eventually,
    running_bridge,
    shared_bridge,
    signed,
    standard,
)
from tests.factories import make_tenant

STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
GENEROUS = {"webhook_rate_per_address": 1e6, "webhook_burst_per_address": 1e6}


@pytest.fixture(scope="module")
def tenants() -> KnownTenants:
    rotating = (SecretStr("new-secret"), SecretStr("old-secret"))
    return KnownTenants(
        [
            make_tenant(),
            make_tenant("standard", webhook_secrets=(SecretStr(STANDARD_SECRET),)),
            make_tenant("rotating", webhook_secrets=rotating),
            make_tenant("static", static_token_allowed=True),
            make_tenant("disabled", active=False),
        ]
    )


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres, tenants: KnownTenants) -> Iterator[RunningBridge]:
    with shared_bridge(postgres, tenants) as bridge:
        yield bridge


@pytest.fixture
def bridge(running: RunningBridge) -> RunningBridge:
    return running.empty()


def test_a_signed_webhook_is_in_the_queue_when_it_is_answered(bridge: RunningBridge) -> None:
    answer = bridge.send(ticket_id=123456789012345678, subject="Mail", priority="high", event="created")
    assert answer.status_code == 202
    assert answer.json()["status"] == "queued"
    job = bridge.job(answer.json()["job_id"])
    assert (job["tenant_id"], job["ticket_id"], job["state"]) == ("acme", "123456789012345678", "queued")
    assert (job["subject"], job["priority_rank"], job["event"]) == ("Mail", 2, "created")
    assert str(job["correlation_id"]) == answer.json()["correlation_id"]
    assert UUID(answer.json()["correlation_id"]).version == 4


def test_the_tenant_may_stand_in_a_header(bridge: RunningBridge) -> None:
    raw = body()
    headers = signed(raw) | {"X-Tenant-ID": "acme"}
    assert bridge.http.post("/webhook/servicedesk", content=raw, headers=headers).status_code == 202
    assert bridge.http.post("/webhook/servicedesk", content=raw, headers=signed(raw)).status_code == 401
    two = [*headers.items(), ("X-Tenant-ID", "acme")]
    assert bridge.http.post("/webhook/servicedesk", content=raw, headers=two).status_code == 401


@pytest.mark.parametrize("secret", ["new-secret", "old-secret"])
def test_every_secret_of_a_rotation_is_valid(bridge: RunningBridge, secret: str) -> None:
    assert bridge.send("rotating", secret).status_code == 202


def test_standard_webhooks_of_the_reference_library(bridge: RunningBridge) -> None:
    raw = body(description="Grüße, 你好")
    headers = standard(raw, STANDARD_SECRET, "msg_1")
    assert bridge.post(raw, headers, "standard").status_code == 202
    assert bridge.post(raw, headers, "standard").json()["status"] == "duplicate"
    later = bridge.post(raw, standard(raw, STANDARD_SECRET, "msg_2"), "standard")
    assert later.json()["status"] == "queued"


def test_a_static_token_only_where_the_tenant_allows_it(bridge: RunningBridge) -> None:
    headers = {"X-ServiceDesk-Token": "hook-secret"}
    assert bridge.post(body(), headers, "static").status_code == 202
    assert bridge.post(body(), headers, "acme").status_code == 401


def test_strangers_learn_nothing(bridge: RunningBridge) -> None:
    raw = body()
    answers = [
        bridge.post(raw, signed(raw), "nobody"),
        bridge.post(raw, signed(raw), "disabled"),
        bridge.post(raw, signed(raw, "wrong"), "acme"),
        bridge.post(raw, {}, "acme"),
        bridge.post(raw, {}, "no such%00tenant"),
        bridge.post(b"not json", signed(b"not json", "wrong"), "acme"),
    ]
    for answer in answers:
        answer.headers.pop("date")
    assert {(a.status_code, a.content, str(sorted(a.headers.items()))) for a in answers} == {
        (401, answers[0].content, str(sorted(answers[0].headers.items())))
    }
    assert bridge.count("jobs") == bridge.count("quarantine") == 0


def test_an_answer_bears_the_time_at_which_it_was_given(bridge: RunningBridge) -> None:
    dates = []
    for pause in (0.0, 2.2):
        time.sleep(pause)
        dates.append(parsedate_to_datetime(bridge.send().headers["date"]))
    assert abs(datetime.now(UTC) - dates[1]) < timedelta(seconds=3)
    assert dates[0] < dates[1]


@pytest.mark.parametrize(
    "headers",
    [
        [("X-ServiceDesk-Signature", "sha256=00"), ("X-ServiceDesk-Signature", "sha256=00")],
        [("X-ServiceDesk-Signature", b"sha256=\xff\xfe")],
        [("X-ServiceDesk-Signature", "sha256=zz"), ("X-ServiceDesk-Timestamp", "1e9")],
        [("webhook-id", "a"), ("webhook-timestamp", "0"), ("webhook-signature", "v1,%%% v1, ,,")],
        [("webhook-id", b"\xc3\xbc"), ("webhook-timestamp", b"\xb2"), ("webhook-signature", "v1,====")],
        [("X-ServiceDesk-Token", b"\x80")],
    ],
)
def test_malformed_proofs_are_just_wrong(
    bridge: RunningBridge, headers: list[tuple[str, str | bytes]]
) -> None:
    raw_headers = [(name.encode(), v.encode() if isinstance(v, str) else v) for name, v in headers]
    answer = bridge.http.post("/webhook/servicedesk/acme", content=body(), headers=raw_headers)
    assert answer.status_code == 401


def test_a_doubled_signature_is_refused_although_it_is_right(bridge: RunningBridge) -> None:
    raw = body()
    headers = [*signed(raw).items(), *signed(raw).items()]
    assert bridge.http.post("/webhook/servicedesk/acme", content=raw, headers=headers).status_code == 401


def test_a_timestamp_is_good_for_five_minutes_both_ways(bridge: RunningBridge) -> None:
    now = int(time.time())
    codes = [bridge.send(timestamp=now + off, ticket_id=str(off)).status_code for off in (-290, 290)]
    assert codes == [202, 202]
    codes = [bridge.send(timestamp=now + off).status_code for off in (-310, 310)]
    assert codes == [401, 401]


def test_the_same_delivery_again_is_a_duplicate(bridge: RunningBridge) -> None:
    first = bridge.send(timestamp=None).json()
    raw = body()
    headers = signed(raw)
    answers = [bridge.post(raw, headers).json() for _ in range(2)]
    assert [answer["status"] for answer in answers] == ["queued", "duplicate"]
    assert answers[1]["job_id"] == answers[0]["job_id"] == first["job_id"]
    assert answers[1]["correlation_id"] == answers[0]["correlation_id"]


def test_an_unsigned_webhook_id_does_not_make_a_repeat_new(bridge: RunningBridge) -> None:
    raw = body()
    answers = [bridge.post(raw, signed(raw) | {"webhook-id": str(n)}).json()["status"] for n in range(2)]
    assert answers == ["queued", "duplicate"]


def test_a_body_without_id_and_timestamp_is_remembered_for_ten_minutes(bridge: RunningBridge) -> None:
    raw = body()
    bridge.post(raw, signed(raw))
    (kept,) = bridge.sql("SELECT extract(epoch FROM expires_at - received_at) AS s FROM bridge.deliveries")
    assert kept["s"] == 600
    bridge.sql("UPDATE bridge.deliveries SET expires_at = now()")
    claim = bridge.claim_one()
    again = bridge.post(raw, signed(raw))
    assert again.json()["status"] == "queued"
    assert again.json()["job_id"] != str(claim.job.job_id)
    bridge.send()
    (kept,) = bridge.sql(
        "SELECT max(extract(epoch FROM expires_at - received_at)) AS s FROM bridge.deliveries"
    )
    assert kept["s"] == 30 * 86400


def test_racing_duplicates_make_one_job(bridge: RunningBridge) -> None:
    raw = body(ticket_id="77")
    headers = signed(raw)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: bridge.post(raw, headers), range(40)))
    assert sorted(answer.status_code for answer in answers) == [200] * 39 + [202]
    assert len({answer.json()["job_id"] for answer in answers}) == 1
    assert bridge.count("jobs") == 1


def test_duplicates_racing_through_two_bridges_make_one_job(
    bridge: RunningBridge, tenants: KnownTenants
) -> None:
    with running_bridge(bridge.database_url, tenants) as other, ThreadPoolExecutor(8) as threads:
        for ticket in range(25):
            raw = body(ticket_id=str(ticket), correlation_id=str(uuid4()))
            headers = signed(raw)
            both = (bridge, other) * 4
            answers = list(threads.map(lambda one: one.post(raw, headers), both))  # noqa: B023
            assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
    assert bridge.count("jobs") == 25
    assert bridge.count("deliveries") == 25
    assert bridge.count("deliveries", "job_id NOT IN (SELECT job_id FROM bridge.jobs)") == 0


def test_a_delivery_that_another_bridge_is_just_storing_is_a_duplicate(bridge: RunningBridge) -> None:
    raw = body(ticket_id="5")
    job_id, correlation_id = uuid4(), uuid4()
    row = {
        "position": 0, "tenant_id": "acme", "ticket_id": "5", "job_id": str(job_id), "event": "",
        "correlation_id": str(correlation_id), "delivery_id": "sha256:" + hashlib.sha256(raw).hexdigest(),
        "remember_seconds": 600, "priority": "", "priority_rank": 0, "asked_again": False,
    }  # fmt: skip
    with (
        ThreadPoolExecutor(1) as threads,
        psycopg.connect(bridge.database_url.get_secret_value()) as other_bridge,
    ):
        other_bridge.execute(transitions.ACCEPT, {"batch": json.dumps([row])})
        answer = threads.submit(bridge.post, raw, signed(raw))
        eventually(lambda: bridge.sql("SELECT 1 FROM pg_locks WHERE NOT granted"))
        other_bridge.commit()
        assert answer.result().json() == {
            "status": "duplicate",
            "job_id": str(job_id),
            "correlation_id": str(correlation_id),
        }
    assert (bridge.count("jobs"), bridge.count("deliveries")) == (1, 1)


def test_a_second_change_is_merged_into_the_waiting_job(bridge: RunningBridge) -> None:
    first = bridge.send(description="first", priority="Urgent").json()
    second = bridge.send(description="second", priority="Low", subject="s").json()
    assert (second["status"], second["job_id"]) == ("queued", first["job_id"])
    assert second["correlation_id"] == first["correlation_id"]
    claim = bridge.claim_one()
    assert (claim.job.description, claim.job.priority, claim.subject) == ("second", "Urgent", "s")
    assert bridge.job(first["job_id"])["priority_rank"] == 3
    kept = bridge.sql("SELECT job_id FROM bridge.deliveries")
    assert [str(row["job_id"]) for row in kept] == [first["job_id"]] * 2


def test_a_change_during_a_claim_gets_a_job_of_its_own(bridge: RunningBridge) -> None:
    first = bridge.send().json()
    bridge.claim_one()
    second = bridge.send(description="new").json()
    assert second["job_id"] != first["job_id"]
    assert bridge.queue.claim(5, 0) == []


def test_the_senders_correlation_id_is_taken_where_it_is_free(bridge: RunningBridge) -> None:
    wished = str(uuid4())
    assert bridge.send(correlation_id=wished).json()["correlation_id"] == wished
    other = bridge.send(ticket_id="2", correlation_id=wished)
    assert other.status_code == 202
    assert other.json()["correlation_id"] != wished
    assert bridge.send(ticket_id="3", correlation_id="").status_code == 202


def test_one_correlation_id_sent_for_many_tickets_at_once(bridge: RunningBridge) -> None:
    wished = str(uuid4())
    with ThreadPoolExecutor(16) as threads:
        answers = list(
            threads.map(lambda n: bridge.send(ticket_id=str(n), correlation_id=wished).json(), range(32))
        )
    assert len({answer["correlation_id"] for answer in answers}) == 32
    assert wished in {answer["correlation_id"] for answer in answers}


@pytest.mark.parametrize(
    ("raw", "fields"),
    [
        (b"not json", ["body"]),
        (b"", ["body"]),
        (b"\xff\xfe{}", ["body"]),
        (b"[1]", ["body"]),
        (b"[" * 100_000, ["body"]),
        (b'{"ticket_id": ' + b"9" * 5000 + b"}", ["body"]),
        (gzip.compress(body()), ["body"]),
        (body(ticket_id="x" * 300), ["ticket_id"]),
        (body(ticket_id=""), ["ticket_id"]),
        (body(ticket_id=None), ["ticket_id"]),
        (body(ticket_id="1'; DROP TABLE bridge.jobs"), ["ticket_id"]),
        (body(ticket_id="\ud800"), ["ticket_id"]),
        (body(description={"a": 1}), ["description"]),
        (body(priority="x" * 300, correlation_id="no uuid"), ["priority", "correlation_id"]),
        (b'{"ticket_id": "1"}', ["description", "priority", "created_at"]),
    ],
)
def test_what_cannot_be_read_is_named_and_kept(bridge: RunningBridge, raw: bytes, fields: list[str]) -> None:
    answer = bridge.post(raw, signed(raw))
    assert answer.status_code == 422
    assert answer.json()["fields"] == fields
    (entry,) = bridge.sql("SELECT * FROM bridge.quarantine")
    assert (bytes(entry["body"]), entry["fields"]) == (raw, fields)
    assert answer.json()["quarantine_id"] == entry["quarantine_id"]
    assert bridge.post(raw, signed(raw)).json()["quarantine_id"] == entry["quarantine_id"]
    assert bridge.count("jobs") == 0


@pytest.mark.parametrize(
    ("fields", "description"),
    [
        ({"description": ""}, ""),
        ({"description": None, "priority": None, "created_at": None}, ""),
        ({"description": "<script>alert(1)</script><p>hi"}, "<script>alert(1)</script><p>hi"),
        (
            {"description": "nul \x00, lone \ud800 surrogate, emoji \U0001f600"},
            "nul �, lone � surrogate, emoji 😀",
        ),
        ({"description": "x", "created_at": "Nov 2, 2026 03:30 PM"}, "x"),
        ({"description": "x", "created_at": "0001-01-01T00:00:00+14:00"}, "x"),
        ({"description": "x", "created_at": 1e308}, "x"),
        ({"description": "x", "unknown": [{}], "webhook": None}, "x"),
    ],
)
def test_unusual_content_is_taken_in(
    bridge: RunningBridge, fields: dict[str, object], description: str
) -> None:
    assert bridge.send(**fields).status_code == 202
    assert bridge.claim_one().job.description == description


def test_a_body_of_five_megabytes_is_refused_whatever_its_headers_say(bridge: RunningBridge) -> None:
    raw = body(description="x" * 5_000_000)
    assert bridge.post(raw, signed(raw)).status_code == 413

    def pieces() -> Iterator[bytes]:
        yield from (raw[i : i + 65536] for i in range(0, len(raw), 65536))

    chunked = bridge.http.post("/webhook/servicedesk/acme", content=pieces(), headers=signed(raw))
    assert chunked.status_code == 413
    unknown = bridge.http.post("/webhook/servicedesk/nobody", content=pieces())
    assert unknown.status_code == 413
    assert bridge.send().status_code == 202


def test_a_body_just_within_the_limit_is_taken_in(bridge: RunningBridge) -> None:
    raw = body(description="x" * (2**20 - len(body(description=""))))
    assert len(raw) == 2**20
    assert bridge.post(raw, signed(raw)).status_code == 202
    raw += b" "
    assert bridge.post(raw, signed(raw)).status_code == 413


def test_a_tenants_limit_counts_its_own_deliveries_only(database_url: SecretStr) -> None:
    settings = GENEROUS | {"webhook_rate_per_tenant": 0.01, "webhook_burst_per_tenant": 3}
    tenants = KnownTenants([make_tenant(), make_tenant("other")])
    with running_bridge(database_url, tenants, **settings) as bridge:
        assert {bridge.send(secret="wrong").status_code for _ in range(20)} == {401}
        answers = [bridge.send(ticket_id=str(n)) for n in range(5)]
        assert [answer.status_code for answer in answers] == [202] * 3 + [429] * 2
        assert 1 <= int(answers[-1].headers["Retry-After"]) <= 100
        assert bridge.send("other").status_code == 202


def test_an_address_is_limited_before_anything_is_verified(database_url: SecretStr) -> None:
    settings = {"webhook_rate_per_address": 0.01, "webhook_burst_per_address": 2}
    with running_bridge(database_url, **settings) as bridge:
        codes = [bridge.send(secret="wrong").status_code for _ in range(3)]
        assert codes == [401, 401, 429]
        answer = bridge.send()
        assert (answer.status_code, int(answer.headers["Retry-After"]) >= 1) == (429, True)
        forged = bridge.http.post(
            "/webhook/servicedesk/acme", content=b"", headers={"X-Forwarded-For": "203.0.113.9"}
        )
        assert forged.status_code == 429


def test_behind_a_trusted_proxy_the_senders_own_address_counts(database_url: SecretStr) -> None:
    settings = {
        "webhook_rate_per_address": 0.01,
        "webhook_burst_per_address": 1,
        "webhook_trusted_proxies": "127.0.0.1",
    }
    with running_bridge(database_url, **settings) as bridge:
        codes = [
            bridge.post(b"", {"X-Forwarded-For": f"198.51.100.1, {sender}"}).status_code
            for sender in ("203.0.113.9", "203.0.113.8", "203.0.113.9")
        ]
    assert codes == [401, 401, 429]


def test_a_new_tenant_is_known_at_once_and_a_disabled_one_no_more(database_url: SecretStr) -> None:
    tenants = KnownTenants([make_tenant()])
    with running_bridge(database_url, tenants) as bridge:
        assert bridge.send("late").status_code == 401
        tenants.tenants = [make_tenant("late"), make_tenant(active=False)]
        bridge.sql("SELECT pg_notify('registry_changed', 'late')")
        eventually(lambda: bridge.send("late").status_code == 202)
        assert bridge.send("acme").status_code == 401


def test_the_documents_describe_both_listeners(bridge: RunningBridge) -> None:
    public = bridge.http.get("/openapi.json").json()
    webhook = public["paths"]["/webhook/servicedesk/{tenant_id}"]["post"]
    assert set(webhook["responses"]) >= {"200", "202", "401", "408", "413", "422", "429", "503"}
    assert "ticket_id" in json.dumps(webhook["requestBody"])
    claims = httpx.get(f"http://127.0.0.1:{bridge.claim_port}/openapi.json").json()
    assert {"/v1/claims", "/v1/jobs/{job_id}/start", "/v1/jobs/{job_id}/finish", "/v1/jobs"} <= set(
        claims["paths"]
    )
    assert not [path for path in public["paths"] if path.startswith("/v1")]


def test_health(bridge: RunningBridge) -> None:
    assert bridge.http.get("/healthz").json() == {"status": "alive"}
    assert bridge.http.get("/readyz").json() == {"status": "ready"}
