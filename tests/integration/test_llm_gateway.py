"""The gateway against a real HTTP server that misbehaves as it is told."""

import subprocess
import sys
import traceback
from collections.abc import Iterator
from uuid import uuid4

import pytest
from pydantic import SecretStr
from starlette.responses import JSONResponse, Response

from enhancer_dagster.adapters.llm import OpenAiGateway, preload
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import (
    ConfigurationError,
    LanguageModelRefusedError,
    LanguageModelUnavailableError,
)
from enhancer_dagster.domain.ports import Completion, Prompt
from tests.factories import ON_LOOPBACK
from tests.llm_server import Answer, LlmServer, drips, fails, hangs_up, llm_server, raw, says, silent

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
    preload()
    prices = {"big": (30.0, 60.0)}
    return OpenAiGateway(
        server.url, SecretStr(KEY), "test", prices, destinations=ON_LOOPBACK, sleep=pauses.append
    )


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
        raw('{"choices": [{"message": {"content": null}, "finish_reason": "stop"}]}'),
        raw('{"choices": [{"message": {"content": ["x"]}}]}'),
        raw('{"choices": [{"message": {"content": "\\ud800"}}]}'),
        raw('{"choices": ' + "[" * 50_000),
        raw('{"choices": [{"message": {"content": "' + "x" * 2_000_000 + '"}}]}'),
        raw('{"error": {"message": "upstream", "code": 502}}'),
        raw('{"error": {"message": "upstream", "code": "what?"}}'),
        says(" \n"),
        hangs_up(),
        fails(500),
        fails(503),
        fails(429, retry_after="Wed, 21 Oct 2099 07:28:00 GMT"),
        fails(429, retry_after="soon"),
        fails(503, content_encoding="gzip"),
    ],
    ids=[
        *(
            "html",
            "empty",
            "no choices",
            "no message",
            "a list",
            "no text",
            "text in parts",
            "lone surrogate",
        ),
        *("deep", "huge", "an error as 200", "an odd error as 200", "white space", "half an answer", "500"),
        *("503", "429 until a date", "429 until some time", "compressed"),
    ],
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
    assert ask(gateway, "slow", "big", seconds=6).text == "ok"
    assert [asked.model for asked in server.asked] == ["slow", "big"]
    with pytest.raises(LanguageModelUnavailableError, match="no answer within"):
        ask(gateway, "slow", seconds=0.5)


def test_nobody_listening_is_a_typed_error() -> None:
    gateway = OpenAiGateway(
        "http://127.0.0.1:1/v1", SecretStr(KEY), "test", {}, destinations=ON_LOOPBACK, sleep=lambda _: None
    )
    with pytest.raises(LanguageModelUnavailableError):
        ask(gateway)


def test_plain_http_has_to_be_allowed() -> None:
    with pytest.raises(ConfigurationError, match="https"):
        OpenAiGateway("http://example.com/v1", SecretStr(KEY), "test", {})


@pytest.mark.parametrize(
    "usage",
    [
        '{"prompt_tokens": "many"}',
        '{"prompt_tokens": -1}',
        '{"completion_tokens": 1e300}',
        '{"cost": "NaN"}',
        "[]",
        "7",
    ],
)
def test_an_answer_does_not_fall_with_its_figures(
    gateway: OpenAiGateway, server: LlmServer, usage: str
) -> None:
    server.answer = raw('{"choices": [{"message": {"content": "x"}}], "usage": ' + usage + "}")
    completion = ask(gateway)
    assert completion.text == "x"
    assert (completion.usage.prompt_tokens, completion.usage.cost_usd) == (None, None)
    assert completion.usage.model == "big"


def test_a_cut_off_answer_comes_back_as_such(gateway: OpenAiGateway, server: LlmServer) -> None:
    server.answer = says("half", finish_reason="length")
    assert ask(gateway).finish_reason == "length"


def test_the_model_that_served_is_named_in_a_length_that_history_takes(
    gateway: OpenAiGateway, server: LlmServer
) -> None:
    server.answer = raw('{"model": "' + "m" * 500 + '", "choices": [{"message": {"content": "x"}}]}')
    usage = ask(gateway).usage
    assert usage.model is not None
    assert len(usage.model) <= 100


def test_only_openrouter_is_asked_for_its_figures(server: LlmServer) -> None:
    for provider in ("openrouter", "llama"):
        ask(OpenAiGateway(server.url, SecretStr(KEY), provider, {}, destinations=ON_LOOPBACK))
    first, second = (asked.body for asked in server.asked)
    assert first["usage"] == {"include": True}
    assert "usage" not in second


def test_what_the_environment_says_of_openai_goes_to_no_other_gateway(
    server: LlmServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "project-canary")
    ask(OpenAiGateway(server.url, SecretStr("another-key"), "test", {}, destinations=ON_LOOPBACK))
    assert "canary" not in str(server.asked[0].headers)


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 429, 500])
def test_a_key_that_the_gateway_repeats_is_in_no_error(
    gateway: OpenAiGateway, server: LlmServer, status: int
) -> None:
    server.answer = lambda _: JSONResponse(
        {"error": {"message": f"wrong key {KEY}"}}, status, headers={"location": f"http://127.0.0.1:1/{KEY}"}
    )
    with pytest.raises((LanguageModelRefusedError, LanguageModelUnavailableError)) as error:
        ask(gateway)
    assert KEY not in "".join(traceback.format_exception(error.value))


def test_a_redirect_is_not_followed(gateway: OpenAiGateway, server: LlmServer) -> None:
    with llm_server() as elsewhere:
        target = f"{elsewhere.url}/chat/completions"
        server.answer = lambda _: Response(status_code=307, headers={"location": target})
        with pytest.raises(LanguageModelRefusedError):
            ask(gateway)
        assert elsewhere.asked == []


@pytest.mark.parametrize("key", ["schl\u00fcssel", "line\nend"])
def test_a_malformed_key_is_a_typed_error_without_the_key(server: LlmServer, key: str) -> None:
    gateway = OpenAiGateway(
        server.url, SecretStr(key), "test", {}, destinations=ON_LOOPBACK, sleep=lambda _: None
    )
    with pytest.raises((LanguageModelRefusedError, LanguageModelUnavailableError)) as error:
        ask(gateway)
    assert key not in "".join(traceback.format_exception(error.value))


def test_every_failure_is_named_and_one_that_may_pass_makes_the_whole_so(
    gateway: OpenAiGateway, server: LlmServer
) -> None:
    server.by_model = {"gone": fails(404), "busy": fails(429, retry_after="600"), "broken": fails(500)}
    with pytest.raises(
        LanguageModelUnavailableError, match=r"gone: .*404.*; busy: .*429.*; broken: .*500"
    ) as error:
        ask(gateway, "gone", "busy", "broken")
    assert error.value.retry_after == 600
    with pytest.raises(LanguageModelRefusedError, match="404"):
        ask(gateway, "gone")


def test_without_models_or_time_nothing_is_asked(gateway: OpenAiGateway, server: LlmServer) -> None:
    with pytest.raises(LanguageModelRefusedError):
        gateway.complete(PROMPT, [], uuid4(), Deadline.after(20))
    with pytest.raises(LanguageModelUnavailableError, match="no time"):
        ask(gateway, seconds=0)
    assert server.asked == []


def test_a_forked_worker_has_connections_of_its_own(server: LlmServer) -> None:
    program = f"""
import os
from uuid import uuid4
from pydantic import SecretStr
from enhancer_dagster.adapters.llm import OpenAiGateway, preload
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.ports import Prompt
from tests.factories import ON_LOOPBACK

def ask():
    gateway = OpenAiGateway({server.url!r}, SecretStr("k"), "test", {{}}, destinations=ON_LOOPBACK)
    return gateway.complete(Prompt("s", "u", 10), ["m"], uuid4(), Deadline.after(20)).text

preload()
assert ask() == "ok"
if child := os.fork():
    assert os.waitpid(child, 0)[1] == 0
    assert ask() == "ok"
else:
    os._exit(0 if ask() == "ok" else 1)
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert len(server.asked) == 3


def test_importing_the_adapter_does_not_import_the_openai_package() -> None:
    program = "import sys, enhancer_dagster.adapters.llm; sys.exit('openai' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_after_preloading_a_first_call_imports_nothing_of_the_packages_behind_it(server: LlmServer) -> None:
    program = f"""
import sys, threading
from uuid import uuid4
from pydantic import SecretStr
from enhancer_dagster.adapters.llm import OpenAiGateway, preload
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.ports import Prompt
from tests.factories import ON_LOOPBACK

preload()
assert threading.active_count() == 1
before = set(sys.modules)
gateway = OpenAiGateway({server.url!r}, SecretStr("k"), "test", {{}}, destinations=ON_LOOPBACK)
gateway.complete(Prompt("s", "u", 10), ["m"], uuid4(), Deadline.after(20))
late = sorted(name for name in set(sys.modules) - before if name.split(".")[0] in ("openai", "httpcore2"))
assert not late, late
"""
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
