"""Dagster's PostgreSQL storage on pooled connections: one engine a process for runs, events and schedules.

The stock storage opens a connection for every statement, each with its own password exchange; it stores
every event by itself, and sends a NOTIFY after it, for which PostgreSQL serialises commits, though no part of
this Dagster listens any more; and it reads the names and columns of its tables from the catalogue several
times a run and a tick. What is written is the same; `event_batches` says when. In `dagster.yaml`::

    storage:
      custom:
        module: enhancer_dagster.runtime.dagster_storage
        class: PooledPostgresStorage
        config:
          postgres_url: {env: ENHANCER_DAGSTER_DATABASE_URL}
          should_autocreate_tables: false

With `should_autocreate_tables: false` nobody looks for the tables at every start: call `create_tables` once.
"""

import os
import select
import time
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Self, cast

import psycopg2
import sqlalchemy
from dagster._core.storage.config import PostgresStorageConfig
from dagster._serdes import ConfigurableClassData
from dagster_postgres import DagsterPostgresStorage, PostgresRunStorage, PostgresScheduleStorage
from dagster_postgres.utils import create_pg_engine, get_token_provider_from_config, pg_url_from_config
from sqlalchemy import event
from sqlalchemy.engine import Connection
from sqlalchemy.exc import InvalidatePoolError

from enhancer_dagster.runtime.event_batches import BatchingEventLogStorage

if TYPE_CHECKING:
    from dagster_postgres.auth import PgTokenProvider
    from sqlalchemy.engine.interfaces import DBAPIConnection
    from sqlalchemy.pool import ConnectionPoolEntry

KEPT_CONNECTIONS = 24
EXTRA_CONNECTIONS = 32
"""The daemon's threads, which dequeue 24 runs side by side, may need so many at once; those above
`KEPT_CONNECTIONS` are closed on return. A worker opens one."""

TRUSTED_IDLE_SECONDS = 5.0
"""A connection that was unused for longer is asked whether it still works before it is handed out."""


class KnownSchema:
    """What was found in a database's schema. It does not go away, so nobody looks for it again."""

    def __init__(self) -> None:
        self._found: set[str] = set()

    def has(self, name: str, look: Callable[[], bool]) -> bool:
        """Whether `look` finds what is called `name`, or has found it before."""
        if name not in self._found and look():
            self._found.add(name)
        return name in self._found


class RememberingRunStorage(PostgresRunStorage):
    """`PostgresRunStorage` that looks at its tables' columns once."""

    def __init__(self, postgres_url: str, token_provider: "PgTokenProvider | None") -> None:
        super().__init__(postgres_url, should_autocreate_tables=False, token_provider=token_provider)
        self._schema = KnownSchema()

    def has_run_stats_index_cols(self) -> bool:
        """Whether the table of runs has start and end times."""
        return self._schema.has("run_stats", super().has_run_stats_index_cols)

    def has_backfill_id_column(self) -> bool:
        """Whether the table of runs has the id of a backfill."""
        return self._schema.has("backfill_id", super().has_backfill_id_column)


class RememberingScheduleStorage(PostgresScheduleStorage):
    """`PostgresScheduleStorage` that looks for its tables once, where the stock one does at every tick."""

    def __init__(self, postgres_url: str, token_provider: "PgTokenProvider | None") -> None:
        super().__init__(postgres_url, should_autocreate_tables=False, token_provider=token_provider)
        self._schema = KnownSchema()

    def has_built_index(self, migration_name: str) -> bool:
        """Whether the data migration of this name has been done."""
        return self._schema.has(migration_name, partial(super().has_built_index, migration_name))

    def has_instigators_table(self) -> bool:
        """Whether sensors and schedules have a table of their own."""
        return self._schema.has("instigators", super().has_instigators_table)

    def _has_instigators_table(self, conn: Connection) -> bool:
        return self._schema.has("instigators", partial(super()._has_instigators_table, conn))


class PooledPostgresStorage(DagsterPostgresStorage):
    """`DagsterPostgresStorage` whose three storages share the process's pooled engine."""

    def __init__(
        self,
        postgres_url: str,
        should_autocreate_tables: bool = True,
        inst_data: ConfigurableClassData | None = None,
        token_provider: "PgTokenProvider | None" = None,
    ) -> None:
        url = with_psycopg2(postgres_url)
        super().__init__(url, should_autocreate_tables, inst_data, token_provider)
        self._run_storage = RememberingRunStorage(url, token_provider)
        self._event_log_storage = BatchingEventLogStorage(url, token_provider)
        self._schedule_storage = RememberingScheduleStorage(url, token_provider)
        engine = pooled_engine(url, token_provider, os.getpid())
        for storage in (self._run_storage, self._event_log_storage, self._schedule_storage):
            storage._engine = engine

    @classmethod
    def from_config_value(
        cls, inst_data: ConfigurableClassData | None, config_value: PostgresStorageConfig
    ) -> Self:
        """Build this class; the inherited method would build its own."""
        config = cast("Mapping[str, Any]", config_value)
        return cls(
            pg_url_from_config(config),
            config.get("should_autocreate_tables", True),
            inst_data,
            get_token_provider_from_config(config),
        )


def with_psycopg2(url: str) -> str:
    """`url` with its driver named: SQLAlchemy 2.1 takes a bare one for psycopg 3, Dagster needs psycopg2."""
    scheme, separator, rest = url.partition("://")
    return f"postgresql+psycopg2{separator}{rest}" if scheme in {"postgres", "postgresql"} else url


def create_tables(postgres_url: str) -> None:
    """Create Dagster's tables where they are missing.

    Args:
        postgres_url: `postgresql://…`, of an existing database.

    Raises:
        dagster_postgres.utils.DagsterPostgresException: The server could not be reached.
    """
    DagsterPostgresStorage(with_psycopg2(postgres_url), should_autocreate_tables=True)


@lru_cache(maxsize=8)
def pooled_engine(
    url: str, token_provider: "PgTokenProvider | None", process_id: int
) -> sqlalchemy.engine.Engine:
    """The engine of process `process_id`; a forked child gets its own, for connections are not shared."""
    engine = create_pg_engine(
        url,
        token_provider,
        isolation_level="AUTOCOMMIT",
        pool_size=KEPT_CONNECTIONS,
        max_overflow=EXTRA_CONNECTIONS,
        pool_use_lifo=True,
    )
    event.listen(engine, "checkin", _note_return)
    event.listen(engine, "checkout", _verify_idle)
    return engine


def _note_return(_connection: object, entry: "ConnectionPoolEntry") -> None:
    entry.info["returned"] = time.monotonic()


def _verify_idle(connection: "DBAPIConnection", entry: "ConnectionPoolEntry", _proxy: object) -> None:
    """Find connections that the server closed meanwhile.

    `pool_pre_ping` would ask at every use, some sixty times a run. A server that ends in good order or is
    killed makes its socket readable; one that is cut off does not.
    """
    returned = entry.info.get("returned")
    if returned is None:
        return
    if time.monotonic() - returned < TRUSTED_IDLE_SECONDS and not _is_readable(connection):
        return
    cursor = connection.cursor()
    try:
        cursor.execute("SELECT 1")
    except psycopg2.Error as error:
        raise InvalidatePoolError("the server closed a pooled connection") from error
    finally:
        cursor.close()


def _is_readable(connection: "DBAPIConnection") -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))
