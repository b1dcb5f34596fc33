"""Dagster's events in PostgreSQL: those of a step's machinery in one INSERT, all others at once.

A step has some eight events, and to store each by itself was the largest part of a short run's CPU time. The
process that executes a run therefore holds back what only describes a step's mechanics (`HELD_BACK`), for
`HOLD_SECONDS` at most, and stores it with the next event that is not held back: the start of the next step,
a failure, a retry, a materialisation, a message of the user's code, the end of the run. So the order stays:

- When the code of a step begins, everything until its start is stored. A worker that is killed loses at most
  `HOLD_SECONDS` of the mechanics of its last step, never which step it was in or how the one before ended.
- Whoever reads through this object finds everything, since a connection is handed out only after what is
  held back has been stored.
- What changes the state of a run or other tables than the log, or comes from a process that does not execute
  the run, is never held back.
"""

import threading
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

from dagster import DagsterEventType
from dagster._core.events import ASSET_CHECK_EVENTS, ASSET_EVENTS
from dagster._core.events.log import EventLogEntry
from dagster._core.storage.event_log import SqlEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.utils import DagsterPostgresException
from loguru import logger
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, SQLAlchemyError

if TYPE_CHECKING:
    from dagster_postgres.auth import PgTokenProvider

HOLD_SECONDS = 0.25

HELD_BACK = frozenset(
    {
        DagsterEventType.ENGINE_EVENT,
        DagsterEventType.HANDLED_OUTPUT,
        DagsterEventType.HOOK_COMPLETED,
        DagsterEventType.HOOK_SKIPPED,
        DagsterEventType.LOADED_INPUT,
        DagsterEventType.LOGS_CAPTURED,
        DagsterEventType.RESOURCE_INIT_STARTED,
        DagsterEventType.RESOURCE_INIT_SUCCESS,
        DagsterEventType.STEP_INPUT,
        DagsterEventType.STEP_OUTPUT,
        DagsterEventType.STEP_SKIPPED,
        DagsterEventType.STEP_SUCCESS,
    }
)
"""Nothing but rows of the event log. After STEP_SUCCESS another event follows before any more code runs."""

WITH_OTHER_TABLES = frozenset({*ASSET_EVENTS, *ASSET_CHECK_EVENTS})

RUN_ENDS = frozenset(
    {DagsterEventType.RUN_SUCCESS, DagsterEventType.RUN_FAILURE, DagsterEventType.RUN_CANCELED}
)


class BatchingEventLogStorage(PostgresEventLogStorage):
    """`PostgresEventLogStorage` with few INSERTs and no NOTIFY. Threads may share it."""

    def __init__(self, postgres_url: str, token_provider: "PgTokenProvider | None") -> None:
        super().__init__(postgres_url, should_autocreate_tables=False, token_provider=token_provider)
        self._held: list[dict[str, Any]] = []
        self._executed_here: set[str] = set()
        # Held while rows are stored, so that no later row overtakes them.
        self._storing = threading.RLock()
        self._something_held = threading.Event()
        self._clock: threading.Thread | None = None

    def store_event(self, event: EventLogEntry) -> None:
        """Store an event, or hold it back.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: It, or what was held back before it, cannot be stored.
        """
        kind = event.dagster_event.event_type if event.dagster_event else None
        with self._storing:
            if kind in HELD_BACK and event.run_id in self._executed_here:
                self._hold_back(event)
            elif kind in WITH_OTHER_TABLES:
                SqlEventLogStorage.store_event(self, event)
            else:
                self._store(self._event_to_row(event))
            if kind is DagsterEventType.RUN_START:  # sent by the process that executes the run, and no other
                self._executed_here.add(event.run_id)
            elif kind in RUN_ENDS:
                self._executed_here.discard(event.run_id)

    def flush(self) -> None:
        """Store what is held back.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: It cannot be stored now; it is still held.
        """
        with self._storing:
            if self._held:
                self._store()

    def _store(self, *rows: dict[str, Any]) -> None:
        """Store what is held back and then `rows`, in one statement."""
        held = len(self._held)
        try:
            with super()._connect() as connection:
                connection.execute(SqlEventLogStorageTable.insert(), [*self._held, *rows])
        except DataError:
            # What PostgreSQL refuses as it stands it will refuse for ever, and with it all that follows.
            del self._held[:held]
            raise
        del self._held[:held]

    def dispose(self) -> None:
        """Store what is held back, and stop looking for new events."""
        self.flush()
        super().dispose()

    def _connect(self) -> AbstractContextManager[Connection]:
        self.flush()
        return super()._connect()

    def _hold_back(self, event: EventLogEntry) -> None:
        self._held.append(self._event_to_row(event))
        if self._clock is None:
            self._clock = threading.Thread(target=self._flush_in_time, name="event-batches", daemon=True)
            self._clock.start()
        self._something_held.set()

    def _flush_in_time(self) -> None:
        pause = threading.Event()
        while True:
            self._something_held.wait()
            self._something_held.clear()
            pause.wait(HOLD_SECONDS)
            try:
                self.flush()
            except (SQLAlchemyError, DagsterPostgresException) as error:
                logger.warning("{} events are not stored yet: {}", len(self._held), type(error).__name__)
                self._something_held.set()
