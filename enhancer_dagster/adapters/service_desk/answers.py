"""What an answer of ServiceDesk Plus means: its JSON, or one of the domain's errors in SDP's own words.

The codes are those of the recorded answers: 4007 "Invalid URL" (no such record), 4015 (too many calls).
"""

import json
import math
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

from enhancer_dagster.adapters.service_desk.wire import Answer, Exchange
from enhancer_dagster.adapters.service_desk.words import quotable
from enhancer_dagster.domain.errors import (
    EnhancerError,
    ServiceDeskRefusedError,
    ServiceDeskThrottledError,
    ServiceDeskUnauthorizedError,
    ServiceDeskUnavailableError,
    WriteOutcomeUnknownError,
)

Payload = Mapping[str, Any]

_NO_SUCH_RECORD = 4007
_TOO_MANY_CALLS = 4015
_THROTTLED_ON_PREMISES = "maximum access limit for the page is exceeded"


class MissingRecordError(ServiceDeskRefusedError):
    """SDP has no record at this address; `client` says which one, so this never leaves the package."""


def payload_of(answer: Answer, exchange: Exchange, now: datetime) -> Payload:
    """The JSON object of an answer that says "success".

    Args:
        answer: What came back.
        exchange: What it answers.
        now: The time that an HTTP date in `Retry-After` is counted from.

    Raises:
        ServiceDeskThrottledError: 429, 4015, or the on-premises throttle that comes as 400.
        ServiceDeskUnauthorizedError: 401 or 403.
        MissingRecordError: 404 with 4007.
        ServiceDeskUnavailableError: 5xx, or a read answered with something that is no JSON.
        WriteOutcomeUnknownError: A write answered in a way that leaves open whether it was done.
        ServiceDeskRefusedError: Any other 3xx or 4xx, a web page, or 2xx with `warning` or `failed`.
    """
    payload = _json(answer.body)
    if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
        raise _refusal(answer, payload or {}, exchange, now)
    if payload is None:
        raise _unreadable(answer, exchange)
    statuses = [str(part.get("status", "")).lower() for part in _status_parts(payload)]
    if not statuses or any(status != "success" for status in statuses):
        said = _words(payload, exchange) or "no response_status"
        raise ServiceDeskRefusedError(_message(exchange, answer, said))
    return payload


def seconds_to_wait(header: str | None, now: datetime) -> float | None:
    """What a `Retry-After` header asks for (seconds, or an HTTP date), None where it says nothing usable."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - now).total_seconds()
        except (ValueError, TypeError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None


def _refusal(answer: Answer, payload: Payload, exchange: Exchange, now: datetime) -> EnhancerError:
    said = _message(exchange, answer, _words(payload, exchange))
    codes = _codes(payload)
    wait = seconds_to_wait(answer.retry_after, now)
    if _is_throttled(answer, codes):
        return ServiceDeskThrottledError(said, retry_after=wait)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return _failure(answer, exchange, said, wait)
    if answer.status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return ServiceDeskUnauthorizedError(said)
    if answer.status == HTTPStatus.NOT_FOUND and _NO_SUCH_RECORD in codes:
        return MissingRecordError(said)
    if answer.status < HTTPStatus.BAD_REQUEST:
        target = _host_of(answer.location or "") or "another page"
        return ServiceDeskRefusedError(f"{said}: redirected to {target}; check the service desk's address")
    return ServiceDeskRefusedError(said)


def _host_of(location: str) -> str:
    """The host that a redirect leads to, without a user's name and password before it."""
    try:
        return quotable(urlsplit(location).netloc.rpartition("@")[2])
    except ValueError:
        return ""


def _failure(answer: Answer, exchange: Exchange, said: str, wait: float | None) -> EnhancerError:
    if exchange.method == "POST" and answer.status in (HTTPStatus.BAD_GATEWAY, HTTPStatus.GATEWAY_TIMEOUT):
        # A proxy says so: SDP may well have added the record, and a repeat would add another.
        return WriteOutcomeUnknownError(said, retry_after=wait)
    return ServiceDeskUnavailableError(said, retry_after=wait)


def _is_throttled(answer: Answer, codes: frozenset[int]) -> bool:
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or _TOO_MANY_CALLS in codes:
        return True
    said = answer.body.decode(errors="replace").casefold()
    return answer.status == HTTPStatus.BAD_REQUEST and _THROTTLED_ON_PREMISES in said


def _unreadable(answer: Answer, exchange: Exchange) -> EnhancerError:
    if answer.body.lstrip()[:1] == b"<":
        said = "a web page instead of JSON, as a log-in page would be; check the address and the key"
        return ServiceDeskRefusedError(_message(exchange, answer, said))
    said = _message(exchange, answer, "the body is no JSON object")
    if exchange.is_write:
        return WriteOutcomeUnknownError(said)
    return ServiceDeskUnavailableError(said)


def _json(body: bytes) -> Payload | None:
    try:
        payload = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return payload if isinstance(payload, dict) else None


def _status_parts(payload: Payload) -> list[Payload]:
    status = payload.get("response_status")
    parts = status if isinstance(status, list) else [status]
    return [part for part in parts if isinstance(part, dict)]


def _messages(payload: Payload) -> list[Payload]:
    messages = (part.get("messages") for part in _status_parts(payload))
    return [m for group in messages if isinstance(group, list) for m in group if isinstance(m, dict)]


def _codes(payload: Payload) -> frozenset[int]:
    given = (m.get("status_code") for m in [*_status_parts(payload), *_messages(payload)])
    return frozenset(code for code in given if isinstance(code, int))


def _words(payload: Payload, exchange: Exchange) -> str:
    """SDP's messages with the fields they name and their codes, without any secret."""
    said = "; ".join(_sentence(message) for message in _messages(payload))
    if not said:
        said = ", ".join(str(part.get("status", "")) for part in _status_parts(payload))
    return quotable(said, exchange.log_in.values())


def _sentence(message: Payload) -> str:
    fields = message.get("fields", message.get("field"))
    named = ", ".join(str(field) for field in fields) if isinstance(fields, list) else fields
    text = str(message.get("message") or message.get("type") or "")
    about = f" (field: {named})" if named else ""
    code = f" [{message['status_code']}]" if "status_code" in message else ""
    return f"{text}{about}{code}"


def _message(exchange: Exchange, answer: Answer, said: str) -> str:
    return f"{exchange.name}: HTTP {answer.status}" + (f", {said}" if said else "")
