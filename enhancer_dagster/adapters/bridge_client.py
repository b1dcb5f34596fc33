"""The bridge's claim listener, from the pipeline's side, over plain httpx."""

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any
from uuid import UUID

import httpx
from pydantic import SecretStr, TypeAdapter, ValidationError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential_jitter

from enhancer_dagster.domain.errors import (
    BridgeUnavailableError,
    ConfigurationError,
    FenceClosedError,
    PermanentError,
)
from enhancer_dagster.domain.outcomes import HistoryRecord
from enhancer_dagster.domain.ports import Enqueued, Finish, JobRow
from enhancer_dagster.domain.tickets import Claim

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 10.0
ATTEMPTS = 6
"""A bridge or database that restarts is back after a few seconds: 0.25 + 0.5 + 1 + 2 + 2 s between them."""

PAGE = 500


@dataclass(frozen=True)
class QuarantineEntry:
    """A webhook that could not be read. `body` is None in lists; its bad bytes show as U+FFFD."""

    quarantine_id: int
    tenant_id: str
    delivery_id: str
    received_at: datetime
    state: str
    reason: str
    fields: tuple[str, ...]
    size: int
    job_id: UUID | None = None
    body: str | None = None


_CLAIMS = TypeAdapter(list[Claim])
_RECORDS = TypeAdapter(list[HistoryRecord])
_ENTRIES = TypeAdapter(list[QuarantineEntry])
_IDS = TypeAdapter(frozenset[UUID])
_ENQUEUED = TypeAdapter(Enqueued)
_JOB = TypeAdapter(JobRow)
_JOB_FIELDS = {field.name for field in fields(JobRow)}


class BridgeClient:
    """Implements `JobQueue`, `TicketIntake` and `QueueLedger` of `domain.ports`, and what the shell needs.

    Every method raises `BridgeUnavailableError` where the bridge cannot be reached or answers 5xx, after
    trying for some seconds where repeating is harmless, and `ConfigurationError` where it does not accept
    the token. It may be shared by threads, and used on both sides of a fork.

    Args:
        base_url: `Settings.claim_api`.
        token: `Settings.claim_token`.
        transport: Replaces the network in tests.
        sleep: Waits between attempts; injected by tests.
    """

    def __init__(
        self,
        base_url: str,
        token: SecretStr,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._base_url = base_url
        self._token = token
        self._transport = transport
        self._sleep = sleep
        self._by_process: dict[int, httpx.Client] = {}

    def claim(self, limit: int, wait_seconds: float) -> Sequence[Claim]:
        """Lease up to `limit` jobs, waiting up to `wait_seconds` for the first; never repeated by itself."""
        timeout = httpx.Timeout(wait_seconds + ANSWER_SECONDS, connect=CONNECT_SECONDS)
        wanted = {"limit": limit, "wait_seconds": wait_seconds}
        return _read(_CLAIMS, self._once("POST", "/v1/claims", json=wanted, timeout=timeout), "jobs")

    def start(self, job_id: UUID, attempt: int, run_id: str, parent_run_id: str | None) -> Claim:
        """Pass the fence; the answer holds the job's current attempt.

        Raises:
            FenceClosedError: This run is not the job's current one.
        """
        run = {"attempt": attempt, "run_id": run_id, "parent_run_id": parent_run_id}
        return _read(TypeAdapter(Claim), self._at_fence(f"/v1/jobs/{job_id}/start", run))

    def finish(self, job_id: UUID, attempt: int, run_id: str, finish: Finish) -> None:
        """End the job, or give it back; idempotent for one run id.

        Raises:
            FenceClosedError: This run is not the job's current one.
        """
        end = {
            "attempt": attempt,
            "run_id": run_id,
            "outcome": finish.outcome.value,
            "not_before": finish.not_before.isoformat() if finish.not_before else None,
            "error": finish.error,
            "record": finish.record.model_dump(mode="json"),
            "history_written": finish.history_written,
        }
        self._at_fence(f"/v1/jobs/{job_id}/finish", end)

    def owned_correlation_ids(
        self, tenant_id: str, ticket_id: str, correlation_ids: Iterable[UUID]
    ) -> frozenset[UUID]:
        """Those of `correlation_ids` that the queue knows for this tenant and ticket."""
        asked = [str(one) for one in correlation_ids]
        body = {"tenant_id": tenant_id, "ticket_id": ticket_id, "correlation_ids": asked}
        return _read(_IDS, self._call("POST", "/v1/correlation-ids", json=body), "owned")

    def enqueue(
        self,
        tenant_id: str,
        ticket_id: str,
        *,
        subject: str | None = None,
        description: str | None = None,
        priority: str = "",
        event: str = "",
        created_at: datetime | None = None,
        changed_at: datetime | None = None,
        asked_again: bool = False,
    ) -> Enqueued:
        """Report a ticket whose webhook never came, or that a person wants enhanced.

        Args:
            tenant_id: Whose ticket.
            ticket_id: Which one.
            subject: None where it is not known; a waiting job keeps what it has then.
            description: Likewise.
            priority: The service desk's name of it.
            event: What happened, for the log.
            created_at: When the ticket was created.
            changed_at: When it was changed last: nothing is enqueued where a job covers that already.
            asked_again: A person asked: due even if the text is as it was.
        """
        found = {
            "tenant_id": tenant_id,
            "ticket_id": ticket_id,
            "subject": subject,
            "description": description,
            "priority": priority,
            "event": event,
            "created_at": created_at.isoformat() if created_at else None,
            "changed_at": changed_at.isoformat() if changed_at else None,
            "asked_again": asked_again,
        }
        return _read(_ENQUEUED, self._call("POST", "/v1/jobs", json=found))

    def retry(self, job_id: UUID) -> str:
        """Put an ended job back because a person asked; returns its state.

        Raises:
            FenceClosedError: It is being worked on, or there is none.
        """
        return str(self._at_fence(f"/v1/jobs/{job_id}/retry", None)["state"])

    def jobs(
        self,
        *,
        tenant_id: str | None = None,
        ticket_id: str | None = None,
        states: Iterable[str] = (),
        since: datetime | None = None,
        newest: bool = False,
        correlation_ids: Iterable[UUID] = (),
        run_id: str | None = None,
        run_given_up: bool = False,
    ) -> Iterator[JobRow]:
        """Jobs, newest first, page by page; what is left out does not matter.

        Args:
            tenant_id: Of this tenant.
            ticket_id: Of this ticket.
            states: In one of these states.
            since: Received at or after this moment.
            newest: Only jobs that are the last of their ticket.
            correlation_ids: Under one of these ids.
            run_id: That this run ever worked on.
            run_given_up: Only jobs whose last run was given up, its lease having run out.
        """
        wanted = {
            "tenant": tenant_id,
            "ticket": ticket_id,
            "state": list(states),
            "since": since.isoformat() if since else None,
            "newest": newest,
            "correlation_id": [str(one) for one in correlation_ids],
            "run_id": run_id,
            "run_given_up": run_given_up,
            "limit": PAGE,
        }
        before: str | None = None
        while True:
            given = {name: value for name, value in (wanted | {"before": before}).items() if value}
            page = self._call("GET", "/v1/jobs", params=given)
            yield from map(_job, page["jobs"])
            before = page["next"]
            if before is None:
                return

    def counts(self) -> dict[str, dict[str, Any]]:
        """For each tenant `{"jobs": {state: count}}`, with `"pause"` where its claims pause."""
        return self._call("GET", "/v1/counts")["tenants"]

    def unwritten_history(self, limit: int = 100) -> Sequence[HistoryRecord]:
        """Outcomes that history has not acknowledged, oldest first."""
        return _read(_RECORDS, self._call("GET", "/v1/history/unwritten", params={"limit": limit}), "records")

    def acknowledge_history(self, records: Iterable[HistoryRecord]) -> int:
        """History has these now; returns for how many jobs that was news."""
        written = [{"job_id": str(one.job_id), "attempt": one.attempt} for one in records]
        return self._call("POST", "/v1/history/written", json={"written": written})["acknowledged"]

    def quarantine(
        self, *, tenant_id: str | None = None, state: str | None = None, limit: int = 100
    ) -> Sequence[QuarantineEntry]:
        """The newest quarantined webhooks; `state` is "waiting", "replayed" or "discarded"."""
        wanted = {"tenant": tenant_id, "state": state, "limit": limit}
        given = {name: value for name, value in wanted.items() if value}
        return _read(_ENTRIES, self._call("GET", "/v1/quarantine", params=given), "entries")

    def quarantined(self, quarantine_id: int) -> QuarantineEntry:
        """One of them, with its body."""
        return _read(TypeAdapter(QuarantineEntry), self._call("GET", f"/v1/quarantine/{quarantine_id}"))

    def replay(self, quarantine_id: int, body: str | None = None) -> Enqueued:
        """Take it in after all, with a corrected body where one is given.

        Raises:
            PermanentError: It still cannot be read, or was settled before.
        """
        answer = self._call("POST", f"/v1/quarantine/{quarantine_id}/replay", json={"body": body})
        return _read(_ENQUEUED, answer)

    def discard(self, quarantine_id: int) -> None:
        """Mark it as not wanted.

        Raises:
            PermanentError: It was settled before.
        """
        self._call("POST", f"/v1/quarantine/{quarantine_id}/discard")

    def _at_fence(self, path: str, body: dict[str, Any] | None) -> dict[str, Any]:
        try:
            return self._call("POST", path, json=body)
        except _RefusedError as error:
            if error.status in (404, 409):
                raise FenceClosedError(str(error)) from error
            raise

    def _call(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        """An exchange that does no harm when it is repeated."""
        attempts = Retrying(
            retry=retry_if_exception_type(BridgeUnavailableError),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential_jitter(multiplier=0.25, max=2, jitter=0.1),
            sleep=self._sleep,
            reraise=True,
        )
        return attempts(self._once, method, path, **request)

    def _once(self, method: str, path: str, **request: Any) -> dict[str, Any]:
        try:
            answer = self._http().request(method, path, **request)
            content = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise BridgeUnavailableError(f"the bridge at {self._base_url}: {reason}") from error
        if answer.is_success:
            return content
        detail = str(content.get("detail", content)) if isinstance(content, dict) else str(content)
        raise _error(answer.status_code, detail)

    def _http(self) -> httpx.Client:
        client = self._by_process.get(os.getpid())
        if client is None:
            client = httpx.Client(
                base_url=self._base_url,
                headers={"Authorization": f"Bearer {self._token.get_secret_value()}"},
                timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
                transport=self._transport,
                trust_env=False,
            )
            self._by_process = {os.getpid(): client}
        return client


class _RefusedError(PermanentError):
    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"the bridge refused with {status}: {detail}")
        self.status = status


def _error(status: int, detail: str) -> Exception:
    if status == 401:
        return ConfigurationError(
            "the bridge does not accept ENHANCER_CLAIM_TOKEN: give the pipeline the bridge's"
        )
    if status >= 500 or status == 429:
        return BridgeUnavailableError(f"the bridge answered {status}: {detail}")
    return _RefusedError(status, detail)


def _read(adapter: TypeAdapter[Any], content: dict[str, Any], key: str | None = None) -> Any:
    try:
        return adapter.validate_python(content[key] if key else content)
    except ValidationError as error:
        # The values, which its words and a cause would show, are a ticket's text.
        fields = ", ".join(".".join(str(part) for part in one["loc"]) for one in error.errors())
        raise BridgeUnavailableError(f"the bridge's answer cannot be read: {fields}") from None
    except KeyError as error:
        raise BridgeUnavailableError(f"the bridge's answer cannot be read: it lacks {error}") from error


def _job(row: dict[str, Any]) -> JobRow:
    known = {name: value for name, value in row.items() if name in _JOB_FIELDS}
    extra = {name: value for name, value in row.items() if name not in _JOB_FIELDS}
    return _read(_JOB, known | {"extra": extra})
