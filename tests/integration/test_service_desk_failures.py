"""Everything that can go wrong between us and SDP, with a server that really does it."""

import traceback
from collections.abc import Iterator
from pathlib import Path

import pytest
from loguru import logger

from enhancer_dagster.adapters.service_desk import ServiceDeskConnector
from enhancer_dagster.adapters.service_desk.client import ServiceDeskPlus
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.destinations import LOOPBACK, Destinations
from enhancer_dagster.domain.errors import (
    ConfigurationError,
    EnhancerError,
    ServiceDeskRefusedError,
    ServiceDeskThrottledError,
    ServiceDeskUnauthorizedError,
    ServiceDeskUnavailableError,
    WriteOutcomeUnknownError,
)
from tests.certificates import self_signed, server_context
from tests.factories import ON_LOOPBACK
from tests.service_desk_server import (
    KEY,
    MemoryStore,
    Reply,
    ScriptedServer,
    onprem_tenant,
    record,
    refused,
    scripted_server,
)

BLOCKED = "URL blocked as maximum access limit for the page is exceeded"


class Pauses(list[float]):
    """A sleep that does not wait, and a clock that it moves."""

    def sleep(self, seconds: float) -> None:
        self.append(seconds)

    def clock(self) -> float:
        return sum(self)


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with scripted_server() as script:
        yield script


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def desk(server: ScriptedServer, pauses: Pauses) -> ServiceDeskPlus:
    connector = ServiceDeskConnector(tokens=MemoryStore(), destinations=ON_LOOPBACK, sleep=pauses.sleep)
    return connector.connect(onprem_tenant(server.url))


@pytest.fixture
def deadline(pauses: Pauses) -> Deadline:
    """Thirty seconds of the clock that only pauses move."""
    return Deadline.after(30, pauses.clock)


@pytest.mark.parametrize("failure", [Reply(500), Reply(503), Reply(reset=True)])
def test_a_read_is_tried_five_times_at_growing_distance(
    server: ScriptedServer, desk: ServiceDeskPlus, pauses: Pauses, deadline: Deadline, failure: Reply
) -> None:
    server.on("GET", "requests/42", failure)
    with pytest.raises(ServiceDeskUnavailableError, match="GET requests/42"):
        desk.ticket("42", deadline)
    assert len(server.seen) == 5
    for pause, least in zip(pauses, [0.5, 1, 2, 4], strict=True):
        assert least <= pause <= least + 0.5


def test_a_read_goes_on_when_the_failure_ends(
    server: ScriptedServer, desk: ServiceDeskPlus, pauses: Pauses, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", Reply(503), Reply(reset=True), record("request", id="42"))
    assert desk.ticket("42", deadline).ticket_id == "42"
    assert len(pauses) == 2


@pytest.mark.parametrize("throttle", [refused(400, 4001, BLOCKED), refused(429, 4015, "API Rate Limit")])
def test_a_throttled_write_is_repeated_more_slowly(
    server: ScriptedServer, desk: ServiceDeskPlus, pauses: Pauses, deadline: Deadline, throttle: Reply
) -> None:
    server.on("PUT", "requests/42", throttle, throttle, record("request", id="42"))
    desk.replace_description("42", "x", deadline)
    assert len(server.seen) == 3
    assert 2 <= pauses[0] <= 3
    assert 4 <= pauses[1] <= 5


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(
    server: ScriptedServer, desk: ServiceDeskPlus, pauses: Pauses, deadline: Deadline, status: int
) -> None:
    wait = Reply(status, headers={"Retry-After": "7"})
    server.on("POST", "requests/42/notes", wait, record("note", id="1"))
    assert desk.add_note("42", "x", deadline) == "1"
    assert pauses == [7.0]


def test_a_retry_after_beyond_the_deadline_is_not_waited_for(
    server: ScriptedServer, desk: ServiceDeskPlus, pauses: Pauses, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", Reply(429, headers={"Retry-After": "31"}))
    with pytest.raises(ServiceDeskThrottledError) as caught:
        desk.ticket("42", deadline)
    assert caught.value.retry_after == 31
    assert pauses == []
    assert len(server.seen) == 1


def test_no_attempt_is_made_for_which_no_time_is_left(
    server: ScriptedServer, desk: ServiceDeskPlus, pauses: Pauses
) -> None:
    server.on("GET", "requests/42", Reply(500))
    with pytest.raises(ServiceDeskUnavailableError):
        desk.ticket("42", Deadline.after(3, pauses.clock))
    assert len(server.seen) == 3
    assert sum(pauses) < 3


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (Reply(401), ServiceDeskUnauthorizedError),
        (refused(403, 4002, "No permission"), ServiceDeskUnauthorizedError),
        (refused(400, 4001, "Invalid Input", field="level"), ServiceDeskRefusedError),
        (refused(200, 4001, "Request is already closed"), ServiceDeskRefusedError),
        (Reply(200, b"<html><form action='j_security_check'></form></html>"), ServiceDeskRefusedError),
        (Reply(200, {"request": {}, "response_status": {"status": "warning"}}), ServiceDeskRefusedError),
    ],
)
@pytest.mark.parametrize("verb", ["ticket", "replace_description"])
def test_a_refusal_is_final(
    server: ScriptedServer,
    desk: ServiceDeskPlus,
    deadline: Deadline,
    reply: Reply,
    error: type[EnhancerError],
    verb: str,
) -> None:
    server.on("GET", "requests/42", reply)
    server.on("PUT", "requests/42", reply)
    with pytest.raises(error) as caught:
        desk.ticket("42", deadline) if verb == "ticket" else desk.replace_description("42", "x", deadline)
    assert type(caught.value) is error
    assert len(server.seen) == 1


@pytest.mark.parametrize("reply", [Reply(reset=True), Reply(hang=True), Reply(200, b"{"), Reply(504)])
def test_a_write_without_an_answer_is_never_repeated(
    server: ScriptedServer, desk: ServiceDeskPlus, reply: Reply
) -> None:
    server.on("POST", "requests/42/notes", reply)
    with pytest.raises(WriteOutcomeUnknownError, match="POST requests/42/notes"):
        desk.add_note("42", "x", Deadline.after(1))
    assert len(server.seen) == 1


def test_a_write_that_never_left_is_repeated(pauses: Pauses, port: int, deadline: Deadline) -> None:
    connector = ServiceDeskConnector(tokens=MemoryStore(), destinations=ON_LOOPBACK, sleep=pauses.sleep)
    desk = connector.connect(onprem_tenant(f"http://127.0.0.1:{port}"))
    with pytest.raises(ServiceDeskUnavailableError):
        desk.replace_description("42", "x", deadline)
    assert len(pauses) == 4


@pytest.mark.parametrize("verb", ["ticket", "add_note"])
def test_a_server_that_sends_byte_by_byte_is_cut_off_at_the_deadline(
    server: ScriptedServer, desk: ServiceDeskPlus, verb: str
) -> None:
    answer = record("request", id="42", subject="x" * 5000)
    answer.drip = 0.02
    server.on("GET", "requests/42", answer)
    server.on("POST", "requests/42/notes", answer)
    limit = Deadline.after(0.7)
    if verb == "ticket":
        with pytest.raises(ServiceDeskUnavailableError, match="no complete answer"):
            desk.ticket("42", limit)
    else:
        with pytest.raises(WriteOutcomeUnknownError):
            desk.add_note("42", "x", limit)
    assert limit.remaining() == 0
    assert 0 < server.bytes_dripped < 500


def test_a_server_that_never_answers_is_cut_off_at_the_deadline(
    server: ScriptedServer, desk: ServiceDeskPlus
) -> None:
    server.on("GET", "requests/42", Reply(hang=True))
    with pytest.raises(ServiceDeskUnavailableError):
        desk.ticket("42", Deadline.after(0.3))


def test_a_flood_is_cut_off(server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline) -> None:
    flood = record("request", id="42", description="x" * (11 * 1024 * 1024))
    server.on("GET", "requests/42", flood)
    server.on("PUT", "requests/42", flood)
    with pytest.raises(ServiceDeskRefusedError, match="10 MiB"):
        desk.ticket("42", deadline)
    with pytest.raises(WriteOutcomeUnknownError):
        desk.replace_description("42", "x", deadline)


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline, status: int
) -> None:
    with scripted_server() as other:
        other.on("GET", "requests/42", record("request", id="42"))
        target = f"http://localhost:{other.port}/api/v3/requests/42"
        server.on("GET", "requests/42", Reply(status, headers={"Location": target}))
        with pytest.raises(ServiceDeskRefusedError, match=f"localhost:{other.port}"):
            desk.ticket("42", deadline)
        assert other.seen == []


def test_a_self_signed_certificate_is_accepted_only_where_the_tenant_says_so(
    tmp_path: Path, pauses: Pauses, deadline: Deadline
) -> None:
    with scripted_server(server_context(self_signed(tmp_path))) as server:
        server.on("GET", "requests/42", record("request", id="42"))
        private = Destinations(private_networks=LOOPBACK)
        connector = ServiceDeskConnector(tokens=MemoryStore(), destinations=private, sleep=pauses.sleep)
        with pytest.raises(ServiceDeskUnavailableError, match="certificate"):
            connector.connect(onprem_tenant(server.url)).ticket("42", deadline)
        assert server.seen == []
        trusting = connector.connect(onprem_tenant(server.url, verify_tls=False))
        assert trusting.ticket("42", deadline).ticket_id == "42"


@pytest.mark.parametrize("bad", ["0DFF\n5B4E", "schlüssel", " 0DFF", "0DFF\t"])
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(bad: str) -> None:
    connector = ServiceDeskConnector(tokens=MemoryStore(), destinations=ON_LOOPBACK)
    with pytest.raises(ConfigurationError, match="api_key") as caught:
        connector.connect(onprem_tenant("http://127.0.0.1:1", api_key=bad))
    assert bad not in str(caught.value)


def test_no_secret_in_errors_logs_and_reprs(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    lines: list[str] = []
    sink = logger.add(lines.append, level="TRACE", backtrace=True, diagnose=False)
    try:
        server.on("GET", "requests/42", Reply(reset=True))
        server.on("PUT", "requests/42", refused(403, 4002, f"The key {KEY} may not"))
        texts = [repr(desk), repr(vars(desk)), repr(vars(desk._api))]
        for call in (
            lambda: desk.ticket("42", deadline),
            lambda: desk.replace_description("42", "x", deadline),
        ):
            with pytest.raises(EnhancerError) as caught:
                call()
            texts += ["".join(traceback.format_exception(caught.value)), repr(caught.value)]
    finally:
        logger.remove(sink)
    assert lines
    assert server.seen[0].headers["authtoken"] == KEY
    assert all(KEY not in text for text in [*texts, *lines])


def test_what_is_no_http_in_an_answer_is_not_quoted_with_its_credentials(
    server: ScriptedServer, desk: ServiceDeskPlus, deadline: Deadline
) -> None:
    server.on("GET", "requests/42", Reply(headers={"My password is Canary!1n-Header": "x"}))
    with pytest.raises(ServiceDeskUnavailableError, match="header") as caught:
        desk.ticket("42", deadline)
    assert "Canary!1n-Header" not in "".join(traceback.format_exception(caught.value))
