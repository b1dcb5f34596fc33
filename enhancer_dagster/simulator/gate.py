"""Everything that happens to a call before and after the API proper: log, delay, limits, faults, access."""

import asyncio
import re
import socket
import struct
import time
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enhancer_dagster.simulator import oauth
from enhancer_dagster.simulator.answers import Answer, Refusal
from enhancer_dagster.simulator.answers import warning as warning_answer
from enhancer_dagster.simulator.api.call import response_of
from enhancer_dagster.simulator.faults import (
    DRIP_SECONDS,
    HEADER,
    Fault,
    FaultKind,
    fault_of_header,
    refusal_answer,
    throttled,
)
from enhancer_dagster.simulator.journal import CallRecord
from enhancer_dagster.simulator.simulator import Simulator

ADMIN_PREFIX = "/_admin"
TRANSPORT_EXTENSION = "simulator.transport"
_TICKET = re.compile(r"/requests/([^/]+)")
_REFUSING = {FaultKind.STATUS, FaultKind.THROTTLE, FaultKind.WARNING}
_UNANSWERED = {FaultKind.TIMEOUT, FaultKind.APPLIED_TIMEOUT, FaultKind.RESET, FaultKind.APPLIED_RESET}
_APPLIED = {FaultKind.APPLIED_TIMEOUT, FaultKind.APPLIED_RESET}
_RESETTING = {FaultKind.RESET, FaultKind.APPLIED_RESET}


@dataclass(frozen=True, slots=True)
class _Exchange:
    """One call on its way through, its body read."""

    scope: Scope
    body: bytes
    receive: Receive
    send: Send
    record: CallRecord

    async def replay(self) -> Message:
        return {"type": "http.request", "body": self.body, "more_body": False}

    async def answer(self, answer: Answer) -> None:
        await response_of(answer)(self.scope, self.receive, self.send)


class Gate:
    """The ASGI app around the API.

    Args:
        app: The API proper.
        simulator: The state.
    """

    def __init__(self, app: ASGIApp, simulator: Simulator) -> None:
        self._app = app
        self._simulator = simulator

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a call through, or not."""
        if scope["type"] != "http" or scope["path"].startswith(ADMIN_PREFIX):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        method, path = scope["method"], scope["path"]
        record = self._simulator.journal.begin(time.time(), method, path, headers.get("x-correlation-id"))
        found = _TICKET.search(path)
        record.ticket_id = found[1] if found else None
        scope["simulator.record"] = record
        body = await Request(scope, receive).body()
        await self._serve(_Exchange(scope, body, receive, _noting_status(send, record), record), headers)

    async def _serve(self, exchange: _Exchange, headers: Headers) -> None:
        simulator, record = self._simulator, exchange.record
        if simulator.options.delay_seconds:
            await asyncio.sleep(simulator.options.delay_seconds)
        if not simulator.calls.admit(simulator.options.calls_per_minute):
            record.fault = FaultKind.THROTTLE
            await exchange.answer(throttled(simulator.options.edition))
            return
        try:
            fault = self._fault(record, headers.get(HEADER))
        except ValueError as error:
            await exchange.answer(Answer(400, {"simulator": f"header {HEADER}: {error}"}))
            return
        if fault is None:
            await self._carry_out(exchange, exchange.send)
            return
        record.fault = fault.kind
        await self._strike(exchange, fault)

    def _fault(self, record: CallRecord, header: str | None) -> Fault | None:
        if header is not None:
            return fault_of_header(header)
        return self._simulator.faults.strike(record.method, record.path, record.ticket_id)

    async def _strike(self, exchange: _Exchange, fault: Fault) -> None:
        if fault.kind in _REFUSING:
            is_warning = fault.kind is FaultKind.WARNING
            answer = refusal_answer(fault, self._simulator.options.edition)
            await exchange.answer(warning_answer(*fault.fields) if is_warning else answer)
        elif fault.kind is FaultKind.SLOW:
            await asyncio.sleep(fault.hold_seconds)
            await self._carry_out(exchange, exchange.send)
        elif fault.kind is FaultKind.DRIP:
            pause = DRIP_SECONDS if fault.seconds is None else fault.seconds
            await self._carry_out(exchange, _dripping(exchange, pause))
        elif fault.kind in _UNANSWERED:
            if fault.kind in _APPLIED:
                await self._carry_out(exchange, _swallow)
            if fault.kind not in _RESETTING:
                await _hold(exchange.receive, fault.hold_seconds)
            await _cut(exchange)

    async def _carry_out(self, exchange: _Exchange, send: Send) -> None:
        simulator, scope = self._simulator, exchange.scope
        if scope["path"] == oauth.TOKEN_PATH:
            answer = oauth.issue_token(simulator, scope["query_string"], exchange.body)
            await response_of(answer)(scope, exchange.receive, send)
            return
        try:
            oauth.check_access(simulator, scope["method"], Headers(scope=scope))
        except Refusal as refusal:
            await response_of(refusal.answer())(scope, exchange.receive, send)
            return
        await self._app(scope, exchange.replay, send)


def _noting_status(send: Send, record: CallRecord) -> Send:
    async def note(message: Message) -> None:
        if message["type"] == "http.response.start":
            record.status = message["status"]
        await send(message)

    return note


async def _swallow(message: Message) -> None:
    """An answer that nobody gets."""


def _dripping(exchange: _Exchange, pause: float) -> Send:
    async def drip(message: Message) -> None:
        if message["type"] != "http.response.body":
            await exchange.send(message)
            return
        for byte in message.get("body", b""):
            if await _hold(exchange.receive, pause):
                return
            await exchange.send({"type": "http.response.body", "body": bytes([byte]), "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b"", "more_body": False})

    return drip


async def _hold(receive: Receive, seconds: float) -> bool:
    """Wait for `seconds`, or until the client gives up; whether it did."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True


async def _cut(exchange: _Exchange) -> None:
    """End the connection without an answer, as a TCP reset.

    Raises:
        ConnectionResetError: There is no connection, because the app was called in process.
    """
    transport = exchange.scope.get("extensions", {}).get(TRANSPORT_EXTENSION)
    if transport is None:
        raise ConnectionResetError("the simulator cut the connection")
    connection = transport.get_extra_info("socket")
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
    await _hold(exchange.receive, 1.0)
