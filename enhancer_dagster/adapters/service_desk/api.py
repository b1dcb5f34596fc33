"""Calls to one tenant's API: log-in, retries, log lines, and rows picked from the answers."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from http import HTTPStatus
from typing import Any, Protocol
from uuid import UUID

from loguru import logger
from pydantic import SecretStr

from enhancer_dagster.adapters.service_desk.answers import Payload, payload_of
from enhancer_dagster.adapters.service_desk.retries import retrying
from enhancer_dagster.adapters.service_desk.wire import Answer, Exchange, process_wire
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.destinations import Destinations
from enhancer_dagster.domain.errors import ServiceDeskRefusedError, WriteOutcomeUnknownError

ACCEPT = "application/vnd.manageengine.sdp.v3+json"
Row = Mapping[str, Any]
Keys = Sequence[str]
LogIn = Mapping[str, SecretStr]


class Credentials(Protocol):
    """The log-in of a tenant, as headers."""

    def headers(self, deadline: Deadline) -> LogIn:
        """The headers that log a call in."""
        ...

    def renewed(self, rejected: LogIn, deadline: Deadline) -> LogIn | None:
        """Other headers after `rejected` were answered with 401; None where there are none."""
        ...


@dataclass(frozen=True)
class ApiKey:
    """On premises: a technician's key, in the header this build wants. There is only one."""

    header: str
    key: SecretStr

    def headers(self, deadline: Deadline) -> LogIn:
        """The key."""
        return {self.header: self.key}

    def renewed(self, rejected: LogIn, deadline: Deadline) -> None:
        """None: a key that is not accepted is wrong."""


@dataclass(frozen=True)
class Rows:
    """The rows of a list answer, and whether SDP has more."""

    rows: Sequence[Row]
    has_more: bool


class Api:
    """The REST API v3 of one tenant, under one correlation id.

    Args:
        base_url: Up to and with `/api/v3`.
        correlation_id: Sent as `X-Correlation-ID` with every call.
        destinations: Where connections may go.
        clock: The time of day, UTC.
        sleep: Waits so many seconds between attempts.
    """

    def __init__(
        self,
        *,
        tenant_id: str,
        base_url: str,
        credentials: Credentials,
        correlation_id: UUID | None,
        verify_tls: bool,
        destinations: Destinations,
        clock: Callable[[], datetime],
        sleep: Callable[[float], None],
    ) -> None:
        self._base_url = base_url
        self._credentials = credentials
        self._verify_tls = verify_tls
        self._destinations = destinations
        self._clock = clock
        self._sleep = sleep
        self._headers = {"Accept": ACCEPT}
        self._log = logger.bind(tenant_id=tenant_id)
        if correlation_id is not None:
            self._headers["X-Correlation-ID"] = str(correlation_id)
            self._log = self._log.bind(correlation_id=str(correlation_id))

    def get(self, path: str, keys: Keys, deadline: Deadline) -> Row:
        """The record that `GET path` answers with under one of `keys`."""
        record = _under(keys, self._call("GET", path, None, deadline))
        if not isinstance(record, dict):
            raise ServiceDeskRefusedError(f"GET {path}: the answer has no '{keys[0]}'")
        return record

    def rows(self, path: str, keys: Keys, list_info: Mapping[str, object], deadline: Deadline) -> Rows:
        """The rows that `GET path` answers with under one of `keys`."""
        payload = self._call("GET", path, {"list_info": list_info}, deadline)
        rows = _under(keys, payload)
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise ServiceDeskRefusedError(f"GET {path}: the answer has no list '{keys[0]}'")
        about = payload.get("list_info")
        return Rows(rows, isinstance(about, dict) and about.get("has_more_rows") is True)

    def post(self, path: str, keys: Keys, record: Row, deadline: Deadline) -> Row:
        """Add `record`, named by the first of `keys`; returns what SDP made of it, named by any of them."""
        added = _under(keys, self._call("POST", path, {keys[0]: record}, deadline))
        if not isinstance(added, dict) or not added.get("id"):
            raise WriteOutcomeUnknownError(f"POST {path}: the answer does not say what was added")
        return added

    def put(self, path: str, key: str, record: Row, deadline: Deadline) -> None:
        """Change the fields in `record`, named `key`, of what is at `path`."""
        self._call("PUT", path, {key: record}, deadline)

    def _call(self, method: str, path: str, data: Row | None, deadline: Deadline) -> Payload:
        deadline.check(f"{method} {path}")
        retry = retrying(f"{method} {path}", deadline, self._sleep, self._log.warning)
        return retry(self._attempt, method, path, data, deadline)

    def _attempt(self, method: str, path: str, data: Row | None, deadline: Deadline) -> Payload:
        log_in = self._credentials.headers(deadline)
        exchange = self._exchange(method, path, data, log_in)
        answer = self._send(exchange, deadline)
        if answer.status == HTTPStatus.UNAUTHORIZED:
            other_log_in = self._credentials.renewed(log_in, deadline)
            if other_log_in is not None:
                exchange = self._exchange(method, path, data, other_log_in)
                answer = self._send(exchange, deadline)
        return payload_of(answer, exchange, self._clock())

    def _exchange(self, method: str, path: str, data: Row | None, log_in: LogIn) -> Exchange:
        # SDP takes `input_data` from the query on a read, from a form field on a write.
        input_data = {} if data is None else {"input_data": json.dumps(data)}
        is_read = method == "GET"
        return Exchange(
            name=f"{method} {path}",
            method=method,
            url=f"{self._base_url}/{path}",
            headers=self._headers,
            log_in=log_in,
            query=input_data if is_read else {},
            form=None if is_read else input_data,
            verify_tls=self._verify_tls,
        )

    def _send(self, exchange: Exchange, deadline: Deadline) -> Answer:
        started = time.monotonic()
        answer = process_wire(self._destinations).send(exchange, deadline)
        took = (time.monotonic() - started) * 1000
        self._log.info("ServiceDesk Plus: {} answered {} in {:.0f} ms", exchange.name, answer.status, took)
        return answer


def _under(keys: Keys, payload: Payload) -> object:
    return next((payload[key] for key in keys if key in payload), None)
