"""The gateway against a real HTTP server that misbehaves as it is told."""

from collections.abc import Iterator
from uuid import uuid4

import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.llm import OpenAiGateway
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    ConfigurationError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
)
from enhancer_dagster.domain.ports import Completion, Prompt
from tests.llm_server import Answer, LlmServer, drips, fails, llm_server, raw, says, silent

PROMPT = Prompt("You answer.", "What is wrong?", max_answer_tokens=100)
KEY = "canary-key"


@pytest.fixture
def server() -> Iterator[LlmServer]:
    with llm_server() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def gateway(server: LlmServer, pauses: list[float]) -> OpenAiGateway:
    prices = {"big": (30.0, 60.0)}
    return OpenAiGateway(server.url, SecretStr(KEY), "test", prices, allow_http=True, sleep=pauses.append)


def ask(gateway: OpenAiGateway, *models: str, seconds: float = 20) -> Completion:
    return gateway.complete(PROMPT, models or ("big",), uuid4(), Deadline.after(seconds))


def test_text_tokens_model_and_price_come_back(gateway: OpenAiGateway, server: LlmServer) -> None:
    server.answer = says("Restart it.")
    completion = ask(gateway)
    assert (completion.text, completion.finish_reason) == ("Restart it.", "stop")
    usage = completion.usage
    assert (usage.provider, usage.model) == ("test", "big")
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cost_usd) == (1000, 200, 0.042)


def test_the_gateways_own_cost_goes_before_the_table(gateway: OpenAiGateway, server: LlmServer) -> None:
    server.answer = says("ok", cost=0.5)
    assert ask(gateway).usage.cost_usd == 0.5


def test_a_model_without_a_price_has_no_cost(gateway: OpenAiGateway) -> None:
    assert ask(gateway, "unknown").usage.cost_usd is None


def test_the_correlation_id_and_the_key_are_sent(gateway: OpenAiGateway, server: LlmServer) -> None:
    correlation_id = uuid4()
    gateway.complete(PROMPT, ["big"], correlation_id, Deadline.after(20))
    headers = server.asked[0].headers
    assert headers["x-correlation-id"] == str(correlation_id)
    assert headers["authorization"] == f"Bearer {KEY}"


def test_a_rate_limit_is_waited_for_once_and_then_left_for_the_next_model(
    gateway: OpenAiGateway, server: LlmServer, pauses: list[float]
) -> None:
    server.by_model = {"first": fails(429, retry_after="1"), "second": says("from the second")}
    assert ask(gateway, "first", "second").text == "from the second"
    assert [asked.model for asked in server.asked] == ["first", "first", "second"]
    assert pauses == [1.0]


def test_a_long_retry_after_is_not_waited_for(
    gateway: OpenAiGateway, server: LlmServer, pauses: list[float]
) -> None:
    server.answer = fails(429, retry_after="600")
    with pytest.raises(LanguageModelUnavailableError) as error:
        ask(gateway)
    assert error.value.retry_after == 600
    assert (len(server.asked), pauses) == (1, [])


def test_an_unauthorized_key_ends_it_at_once_and_is_not_shown(
    gateway: OpenAiGateway, server: LlmServer
) -> None:
    server.answer = fails(401)
    with pytest.raises(LanguageModelRefusedError) as error:
        ask(gateway, "first", "second")
    assert len(server.asked) == 1
    assert KEY not in str(error.value) + repr(error.value.__cause__) + repr(gateway)


def test_a_model_that_does_not_exist_leaves_it_to_the_next(gateway: OpenAiGateway, server: LlmServer) -> None:
    server.by_model = {"gone": fails(404)}
    assert ask(gateway, "gone", "big").text == "ok"


@pytest.mark.parametrize(
    "answer",
    [
        raw("<html>login</html>", "text/html"),
        raw("{}"),
        raw('{"choices": []}'),
        raw('{"choices": [{"message": null}]}'),
        raw("[1, 2]"),
        raw('{"choices": [{"message": {"content": "x"}}], "usage": {"prompt_tokens": "many"}}'),
        fails(500),
        fails(503),
    ],
    ids=["html", "empty", "no choices", "no message", "a list", "bad usage", "500", "503"],
)
def test_what_is_no_answer_is_a_typed_error(
    gateway: OpenAiGateway, server: LlmServer, answer: Answer
) -> None:
    server.answer = answer
    with pytest.raises(LanguageModelUnavailableError):
        ask(gateway)


@pytest.mark.parametrize("answer", [drips(), silent()], ids=["a byte a second", "silent"])
def test_a_slow_server_is_cut_off_and_the_next_model_has_its_share(
    gateway: OpenAiGateway, server: LlmServer, answer: Answer
) -> None:
    server.by_model = {"slow": answer}
    assert ask(gateway, "slow", "big", seconds=3).text == "ok"
    with pytest.raises(LanguageModelUnavailableError, match="no answer within"):
        ask(gateway, "slow", seconds=0.5)


def test_nobody_listening_is_a_typed_error() -> None:
    gateway = OpenAiGateway(
        "http://127.0.0.1:1/v1", SecretStr(KEY), "test", {}, allow_http=True, sleep=lambda _: None
    )
    with pytest.raises(LanguageModelUnavailableError):
        ask(gateway)


def test_plain_http_has_to_be_allowed() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        OpenAiGateway("http://example.com/v1", SecretStr(KEY), "test", {})
