"""The log of calls: what came in, what was answered, what it changed."""

from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from enhancer_dagster.simulator.answers import Json

KEPT_CALLS = 200_000


@dataclass(slots=True)
class CallRecord:
    """One call.

    Attributes:
        number: Counts from 1.
        seconds: When it came in, epoch seconds.
        ticket_id: The ticket it is about.
        status: HTTP status of the answer; None where there was none.
        correlation_id: Header `X-Correlation-ID`.
        changed: Whether it changed anything.
        text: What a write set: the description, note or resolution as stored.
        fault: The fault that it met.
    """

    number: int
    seconds: float
    method: str
    path: str
    ticket_id: str | None = None
    status: int | None = None
    correlation_id: str | None = None
    changed: bool = False
    text: str | None = None
    fault: str | None = None

    def wrote(self, ticket_id: str | None, text: str | None = None) -> None:
        """Note that the call changed something."""
        self.changed = True
        self.ticket_id = ticket_id or self.ticket_id
        self.text = text

    def as_json(self) -> Json:
        """The record as the admin API shows it."""
        shown = {name: getattr(self, name) for name in self.__slots__}
        return shown | {"time": datetime.fromtimestamp(self.seconds, UTC).isoformat()}


class Journal:
    """All calls since the last reset, oldest first, at most 200,000."""

    def __init__(self) -> None:
        self._calls: deque[CallRecord] = deque(maxlen=KEPT_CALLS)
        self._count = 0

    def begin(self, seconds: float, method: str, path: str, correlation_id: str | None) -> CallRecord:
        """Open the record of a call."""
        self._count += 1
        record = CallRecord(self._count, seconds, method, path, correlation_id=correlation_id)
        self._calls.append(record)
        return record

    def calls(
        self,
        *,
        ticket_id: str | None = None,
        method: str | None = None,
        path: str | None = None,
        changed: bool | None = None,
    ) -> list[CallRecord]:
        """The calls that fit all that is given; `path` is a part of the path."""
        return [
            call
            for call in list(self._calls)
            if ticket_id in (None, call.ticket_id)
            and method in (None, call.method)
            and changed in (None, call.changed)
            and (path is None or path in call.path)
        ]

    def clear(self) -> None:
        """Forget all calls."""
        self._calls.clear()
        self._count = 0
