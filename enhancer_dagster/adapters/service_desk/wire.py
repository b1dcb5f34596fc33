"""One HTTP exchange, limited as a whole, over pooled connections. The only module that knows httpx.

httpx limits each read, so that a server which sends one byte a second would hold a call for ever. Only
cancellation ends a call at a point in time; therefore the exchanges run on an event loop of their own, in one
daemon thread a process, and the caller waits for the result. Thread and connections belong to the process
that opened them: they are made at the first call, so after a fork.
"""

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Coroutine, Mapping
from dataclasses import dataclass, field
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.parse import urlencode

import httpx
from pydantic import SecretStr

from enhancer_dagster.adapters.guarded_loop import GuardedEventLoop, refusal_behind
from enhancer_dagster.adapters.service_desk.words import quotable
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.destinations import Destinations
from enhancer_dagster.domain.errors import (
    ConfigurationError,
    ServiceDeskRefusedError,
    ServiceDeskUnavailableError,
    WriteOutcomeUnknownError,
)

MAX_ANSWER_BYTES = 10 * 1024 * 1024
CONNECT_SECONDS = 5.0
SILENCE_SECONDS = 20.0
"""Longest wait between two pieces of an answer."""

# Tomcat, on which SDP runs, closes an idle connection after 20 s: be the first to.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=15)


@dataclass(frozen=True)
class Exchange:
    """What is sent.

    Attributes:
        name: What messages call it: "GET requests/42".
        log_in: The headers that are secret.
        query: Parameters of the URL.
        form: Fields of the body.
    """

    name: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    log_in: Mapping[str, SecretStr] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    form: Mapping[str, str] | None = None
    verify_tls: bool = True

    @property
    def is_write(self) -> bool:
        """Whether the other side may have changed something once it has the body."""
        return self.form is not None


@dataclass(frozen=True)
class Answer:
    """What came back, whole."""

    status: int
    body: bytes
    retry_after: str | None = None
    location: str | None = None


class _Form:
    """A form body that knows whether any of it was handed to the socket."""

    def __init__(self, fields: Mapping[str, str]) -> None:
        self.body = urlencode(fields).encode()
        self.sent = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.sent = True
        yield self.body


class _AnswerTooLargeError(Exception):
    """The answer exceeds `MAX_ANSWER_BYTES`."""


class Wire:
    """The connections of one process. Get it by `process_wire`."""

    def __init__(self, destinations: Destinations) -> None:
        self._loop = GuardedEventLoop(destinations)
        self._clients: dict[bool, httpx.AsyncClient] = {}
        threading.Thread(target=self._loop.run_forever, name="service-desk-wire", daemon=True).start()

    def send(self, exchange: Exchange, deadline: Deadline) -> Answer:
        """Exchange one request and answer before `deadline`, whatever the other side does.

        Redirects are not followed: the answer is returned as it is.

        Raises:
            ConfigurationError: The host is at an address to which no connection is made.
            ServiceDeskUnavailableError: No answer, and nothing can have been changed.
            WriteOutcomeUnknownError: A write was sent and no usable answer came.
            ServiceDeskRefusedError: The answer to a read is larger than `MAX_ANSWER_BYTES`.
        """
        deadline.check(exchange.name)
        form = _Form(exchange.form) if exchange.form is not None else None
        try:
            return self._wait(self._exchange(exchange, form, deadline.remaining()))
        except httpx.LocalProtocolError:
            # Its text and its cause hold the header that cannot be sent.
            raise ServiceDeskRefusedError(f"{exchange.name} cannot be sent: it is no valid HTTP") from None
        except (httpx.HTTPError, httpx.InvalidURL, TimeoutError, _AnswerTooLargeError) as error:
            # Nor is this one's cause shown: it may quote what is no HTTP in an answer.
            raise _as_domain_error(error, exchange, form) from None

    def _wait(self, exchange: Coroutine[Any, Any, Answer]) -> Answer:
        future = asyncio.run_coroutine_threadsafe(exchange, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _exchange(self, exchange: Exchange, form: _Form | None, limit: float) -> Answer:
        async with asyncio.timeout(limit):
            client = self._client(exchange.verify_tls)
            request = client.build_request(
                exchange.method,
                exchange.url,
                params=exchange.query or None,
                headers=_plain_headers(exchange, form),
                content=form,
            )
            response = await client.send(request, stream=True)
            try:
                body = await _read(response)
            finally:
                await response.aclose()
        headers = response.headers
        return Answer(response.status_code, body, headers.get("retry-after"), headers.get("location"))

    def _client(self, verify_tls: bool) -> httpx.AsyncClient:
        if verify_tls not in self._clients:
            # Cookies are refused: with a session's cookie SDP would ask writes for a CSRF token.
            self._clients[verify_tls] = httpx.AsyncClient(
                verify=verify_tls,
                cookies=CookieJar(DefaultCookiePolicy(allowed_domains=())),
                follow_redirects=False,
                timeout=httpx.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
                limits=_LIMITS,
                headers={"User-Agent": "enhancer-dagster", "Accept-Encoding": "gzip"},
            )
        return self._clients[verify_tls]


_locks: dict[int, threading.Lock] = {}
_wires: dict[tuple[int, Destinations], Wire] = {}


def process_wire(destinations: Destinations) -> Wire:
    """The connections of this process to where `destinations` lets them go, opened at the first call."""
    key = (os.getpid(), destinations)
    with _locks.setdefault(key[0], threading.Lock()):
        if key not in _wires:
            _wires[key] = Wire(destinations)
        return _wires[key]


def _plain_headers(exchange: Exchange, form: _Form | None) -> dict[str, str]:
    headers = dict(exchange.headers)
    headers.update((name, value.get_secret_value()) for name, value in exchange.log_in.items())
    if form is not None:
        headers["Content-Type"] = "application/x-www-form-urlencoded"
        headers["Content-Length"] = str(len(form.body))
    return headers


async def _read(response: httpx.Response) -> bytes:
    body = bytearray()
    async for piece in response.aiter_bytes():
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise _AnswerTooLargeError(f"the answer is larger than {MAX_ANSWER_BYTES // 1024**2} MiB")
    return bytes(body)


def _as_domain_error(error: Exception, exchange: Exchange, form: _Form | None) -> Exception:
    refusal = refusal_behind(error)
    if refusal is not None:
        return ConfigurationError(f"{exchange.name}: {refusal}")
    reason = _reason(error)
    if form is not None and form.sent:
        return WriteOutcomeUnknownError(f"{exchange.name} was sent, what became of it is not known: {reason}")
    if isinstance(error, _AnswerTooLargeError):
        return ServiceDeskRefusedError(f"{exchange.name}: {reason}")
    return ServiceDeskUnavailableError(f"{exchange.name}: {reason}")


def _reason(error: Exception) -> str:
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:.0f} s"
    if isinstance(error, TimeoutError | httpx.TimeoutException):
        return "no complete answer in time"
    return quotable(str(error)) or "the connection broke"
