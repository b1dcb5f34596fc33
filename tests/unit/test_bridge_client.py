"""What the pipeline's side makes of the bridge's answers."""

import json
import traceback
from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.bridge_client import ATTEMPTS, BridgeClient
from enhancer_dagster.domain.errors import (
    BridgeUnavailableError,
    ConfigurationError,
    FenceClosedError,
    PermanentError,
)
from enhancer_dagster.domain.outcomes import JobOutcome
from enhancer_dagster.domain.ports import Finish, JobQueue
from tests.factories import make_record

TOKEN = SecretStr("very-secret-token")


class Bridge:
    """Answers in turn, the last one for ever, and keeps what was asked."""

    def __init__(self, *answers: httpx.Response | Exception) -> None:
        self.answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.slept: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def client(self) -> BridgeClient:
        return BridgeClient(
            "http://bridge.test", TOKEN, transport=httpx.MockTransport(self), sleep=self.slept.append
        )


DOWN = httpx.Response(503, json={"detail": "temporarily unavailable"})
FENCE = httpx.Response(409, json={"detail": "job is running: run r9 is not its current one"})


def finish(queue: JobQueue) -> None:
    queue.finish(uuid4(), 1, "r1", Finish(JobOutcome.COMPLETED, make_record()))


def start(queue: JobQueue) -> None:
    queue.start(uuid4(), 1, "r1", None)


def owned(queue: JobQueue) -> None:
    queue.owned_correlation_ids("acme", "1", [uuid4()])


def test_a_short_outage_is_waited_out_with_growing_pauses() -> None:
    bridge = Bridge(DOWN, httpx.ConnectError("refused"), httpx.Response(200, json={"state": "completed"}))
    finish(bridge.client())
    assert len(bridge.requests) == 3
    assert len({request.content for request in bridge.requests}) == 1
    assert 0.25 <= bridge.slept[0] < bridge.slept[1] <= 0.7


@pytest.mark.parametrize("call", [start, finish, owned])
def test_a_long_outage_is_transient(call: Callable[[JobQueue], None]) -> None:
    bridge = Bridge(DOWN)
    with pytest.raises(BridgeUnavailableError, match="503"):
        call(bridge.client())
    assert len(bridge.requests) == ATTEMPTS
    assert sum(bridge.slept) < 10


def test_a_claim_is_never_repeated_by_itself() -> None:
    bridge = Bridge(httpx.ReadTimeout("slow"))
    with pytest.raises(BridgeUnavailableError):
        bridge.client().claim(5, 19.4)
    (request,) = bridge.requests
    assert json.loads(request.content) == {"limit": 5, "wait_seconds": 19.4}
    assert request.extensions["timeout"]["read"] > 19.4


@pytest.mark.parametrize("call", [start, finish])
@pytest.mark.parametrize("answer", [FENCE, httpx.Response(404, json={"detail": "there is no job"})])
def test_a_closed_fence_is_final(call: Callable[[JobQueue], None], answer: httpx.Response) -> None:
    bridge = Bridge(answer)
    with pytest.raises(FenceClosedError):
        call(bridge.client())
    assert len(bridge.requests) == 1


def test_a_wrong_token_is_a_matter_of_configuration() -> None:
    bridge = Bridge(httpx.Response(401, json={"detail": "no"}))
    with pytest.raises(ConfigurationError, match="ENHANCER_CLAIM_TOKEN"):
        start(bridge.client())
    assert bridge.requests[0].headers["Authorization"] == "Bearer very-secret-token"


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json={"jobs": [{}]}),
        httpx.Response(200, json={}),
        httpx.Response(502, text="<html>"),
    ],
)
def test_an_answer_that_is_none_counts_as_no_answer(answer: httpx.Response) -> None:
    with pytest.raises(BridgeUnavailableError):
        Bridge(answer).client().claim(1, 0)


def test_an_answer_that_cannot_be_read_is_not_quoted() -> None:
    claim = {"job": {"description": "My password is Canary!1n-Answer"}, "attempt": "Canary!1n-Answer"}
    with pytest.raises(BridgeUnavailableError, match=r"0\.attempt") as failed:
        Bridge(httpx.Response(200, json={"jobs": [claim]})).client().claim(1, 0)
    shown = "".join(traceback.format_exception(failed.value))
    assert "Canary!1n-Answer" not in shown


def test_what_the_bridge_finds_wrong_is_said() -> None:
    bridge = Bridge(httpx.Response(422, json={"detail": "wrong or missing: body.limit", "fields": []}))
    with pytest.raises(PermanentError, match=r"body\.limit"):
        bridge.client().claim(0, 0)


def test_the_token_shows_nowhere() -> None:
    client = Bridge(httpx.ConnectError("refused")).client()
    with pytest.raises(BridgeUnavailableError) as failed:
        client.claim(1, 0)
    for text in (repr(client), str(vars(client)), str(failed.value), repr(failed.value.__cause__)):
        assert TOKEN.get_secret_value() not in text
