"""What each kind of answer is translated to, and in which words."""

from datetime import UTC, datetime

import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.service_desk.answers import MissingRecordError, payload_of, seconds_to_wait
from enhancer_dagster.adapters.service_desk.wire import Answer, Exchange
from enhancer_dagster.domain.errors import (
    EnhancerError,
    ServiceDeskRefusedError,
    ServiceDeskThrottledError,
    ServiceDeskUnauthorizedError,
    ServiceDeskUnavailableError,
    TransientError,
    WriteOutcomeUnknownError,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
READ = Exchange("GET requests/42", "GET", "https://desk.example.org/api/v3/requests/42")
ADD = Exchange("POST requests/42/notes", "POST", "https://desk.example.org/", form={"input_data": "{}"})
CHANGE = Exchange("PUT requests/42", "PUT", "https://desk.example.org/", form={"input_data": "{}"})
THROTTLED = b"URL blocked as maximum access limit for the page is exceeded. Please try after sometime."


def said(status: int, code: int, message: str, kind: str = "failed") -> Answer:
    body = (
        '{"response_status":{"status_code":4000,"messages":[{"status_code":%d,"type":"failed",'
        '"message":"%s"}],"status":"%s"}}'
    )
    return Answer(status, (body % (code, message, kind)).encode())


@pytest.mark.parametrize(
    ("answer", "exchange", "error"),
    [
        (Answer(429, b""), READ, ServiceDeskThrottledError),
        (said(400, 4015, "API Rate Limit reached"), READ, ServiceDeskThrottledError),
        (Answer(400, THROTTLED), READ, ServiceDeskThrottledError),
        (said(400, 4001, THROTTLED.decode()), CHANGE, ServiceDeskThrottledError),
        (Answer(500, b""), READ, ServiceDeskUnavailableError),
        (Answer(503, b"<html>"), CHANGE, ServiceDeskUnavailableError),
        (Answer(503, b"<html>"), ADD, ServiceDeskUnavailableError),
        (Answer(504, b"<html>"), CHANGE, ServiceDeskUnavailableError),
        (Answer(502, b"<html>"), ADD, WriteOutcomeUnknownError),
        (Answer(504, b"<html>"), ADD, WriteOutcomeUnknownError),
        (Answer(401, b"{}"), READ, ServiceDeskUnauthorizedError),
        (said(403, 4002, "User does not have this permission"), READ, ServiceDeskUnauthorizedError),
        (said(404, 4007, "Invalid URL"), READ, MissingRecordError),
        (Answer(200, b'{"response_status": '), READ, ServiceDeskUnavailableError),
        (Answer(200, b'{"response_status": '), CHANGE, WriteOutcomeUnknownError),
        (Answer(200, b"[]"), READ, ServiceDeskUnavailableError),
        (Answer(200, b"[" * 100_000), READ, ServiceDeskUnavailableError),
    ],
)
def test_answers_that_mean_an_error(answer: Answer, exchange: Exchange, error: type[EnhancerError]) -> None:
    with pytest.raises(error) as caught:
        payload_of(answer, exchange, NOW)
    assert type(caught.value) is error
    assert str(caught.value).startswith(exchange.name)


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (said(400, 4001, "Invalid Input"), "HTTP 400, Invalid Input [4001]"),
        (Answer(404, b"Not Found"), "HTTP 404"),
        (said(200, 4003, "Mandatory", kind="warning"), "HTTP 200, Mandatory [4003]"),
        (Answer(200, b"{}"), "no response_status"),
        (Answer(200, b"\n <!DOCTYPE html><title>Log in</title>"), "a web page instead of JSON"),
        (
            Answer(302, b"", location="https://login.example.org/?token=s3cret"),
            "redirected to login.example.org",
        ),
        (
            Answer(302, b"", location="https://someone:s3cret@login.example.org/"),
            "redirected to login.example.org",
        ),
        (Answer(302, b"", location="https://[half"), "redirected to another page"),
        (Answer(302, b"", location="/j_security_check"), "redirected to another page"),
    ],
)
def test_refusals_say_why(answer: Answer, words: str) -> None:
    with pytest.raises(ServiceDeskRefusedError) as caught:
        payload_of(answer, READ, NOW)
    assert type(caught.value) is ServiceDeskRefusedError
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_refusal_names_the_fields_without_a_message() -> None:
    body = (
        b'{"response_status":{"status":"warning","status_code":3000,"messages":'
        b'[{"fields":["technician","resolution"],"status_code":4003,"type":"warning"}]}}'
    )
    with pytest.raises(ServiceDeskRefusedError, match=r"fields?: technician, resolution.*4003"):
        payload_of(Answer(200, body), CHANGE, NOW)


def test_one_failure_in_a_list_of_statuses_is_a_refusal() -> None:
    body = b'{"response_status":[{"status":"success","status_code":2000},{"status":"failed"}],"requests":[]}'
    with pytest.raises(ServiceDeskRefusedError):
        payload_of(Answer(200, body), READ, NOW)


def test_a_secret_that_the_answer_repeats_is_not_repeated() -> None:
    key = SecretStr("6F2A-THE-KEY")
    exchange = Exchange("GET requests", "GET", "https://desk.example.org/", log_in={"authtoken": key})
    with pytest.raises(ServiceDeskUnauthorizedError) as caught:
        payload_of(said(401, 4002, "Key 6F2A-THE-KEY is unknown"), exchange, NOW)
    assert "6F2A" not in str(caught.value)
    assert "is unknown" in str(caught.value)
    assert "6F2A" not in repr(exchange)


def test_a_credential_that_the_answer_quotes_is_not_repeated() -> None:
    with pytest.raises(ServiceDeskRefusedError) as caught:
        payload_of(said(400, 4001, "the text 'My password is Canary!1n-Error' is not valid"), READ, NOW)
    assert "the text 'My password is [PASSWORD]' is not valid" in str(caught.value)


def test_very_long_words_are_cut() -> None:
    with pytest.raises(ServiceDeskRefusedError) as caught:
        payload_of(said(400, 4001, "word " * 5000), READ, NOW)
    assert len(str(caught.value)) < 700


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("0", 0.0),
        ("-5", 0.0),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("soon", None),
        ("nan", None),
        ("inf", None),
        (None, None),
    ],
)
def test_retry_after_in_seconds_or_as_a_date(header: str | None, seconds: float | None) -> None:
    assert seconds_to_wait(header, NOW) == seconds


@pytest.mark.parametrize("status", [429, 503])
def test_the_error_carries_retry_after(status: int) -> None:
    with pytest.raises(TransientError) as caught:
        payload_of(Answer(status, b"", retry_after="12"), READ, NOW)
    assert caught.value.retry_after == 12.0
