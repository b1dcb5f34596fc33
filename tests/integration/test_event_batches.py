"""Events of a run in few INSERTs: what is stored, when others see it, and what a broken connection costs."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import dagster as dg
import psycopg
import pytest
import sqlalchemy
import yaml
from dagster_postgres import PostgresEventLogStorage
from dagster_postgres.utils import DagsterPostgresException
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.exc import OperationalError

from enhancer_dagster.runtime.dagster_storage import create_tables, with_psycopg2
from enhancer_dagster.runtime.event_batches import BatchingEventLogStorage
from enhancer_dagster.runtime.postgres import EmbeddedPostgres

EVENTS = """
    SELECT coalesce(dagster_event_type, 'message'), step_key FROM event_logs WHERE run_id = %s ORDER BY id
"""
ROWS = """
    SELECT event::jsonb, dagster_event_type, timestamp, step_key, asset_key, partition
    FROM event_logs ORDER BY id
"""
CUT = "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s"
ELSEWHERE = {"message", "ASSET_MATERIALIZATION", "RUN_FAILURE", "PIPELINE_FAILURE"}
"""Not, or under another name, among the events that `execute_in_process` returns."""


@dataclass
class Observed:
    """An instance that executes runs, and the database as others see it."""

    instance: dg.DagsterInstance
    url: str

    @property
    def storage(self) -> BatchingEventLogStorage:
        return cast("BatchingEventLogStorage", self.instance.event_log_storage)

    def events(self, run_id: str) -> list[tuple[str, str | None]]:
        with psycopg.connect(self.url) as connection:
            return connection.execute(EVENTS, [run_id]).fetchall()

    def until(self, run_id: str, event: tuple[str, str | None], seconds: float = 5.0) -> bool:
        give_up_at = time.monotonic() + seconds
        while event not in self.events(run_id):
            if time.monotonic() > give_up_at:
                return False
            time.sleep(0.02)
        return True

    def cut_connections(self) -> None:
        with self._outside() as connection:
            connection.execute(CUT, [self._name])

    @contextmanager
    def unreachable(self) -> Iterator[None]:
        """Nobody gets a connection, and those who have one lose it."""
        switch = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        with self._outside() as connection:
            connection.execute(switch.format(sql.Identifier(self._name), False))
            connection.execute(CUT, [self._name])
            yield
            connection.execute(switch.format(sql.Identifier(self._name), True))

    @property
    def _name(self) -> str:
        return conninfo_to_dict(self.url)["dbname"]  # type: ignore[return-value]

    def _outside(self) -> psycopg.Connection:
        return psycopg.connect(self.url, dbname="postgres", autocommit=True)


@pytest.fixture
def observed(postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Observed]:
    url = postgres.create_database(f"events_{tmp_path.name.replace('-', '_')}_{os.getpid()}")
    create_tables(url.get_secret_value())
    storage = {
        "module": "enhancer_dagster.runtime.dagster_storage",
        "class": "PooledPostgresStorage",
        "config": {"postgres_url": url.get_secret_value(), "should_autocreate_tables": False},
    }
    config = {"storage": {"custom": storage}, "telemetry": {"enabled": False}}
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(config))
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield Observed(instance, url.get_secret_value())


@dg.op
def first() -> int:
    return 1


@dg.op
def second(context: dg.OpExecutionContext, number: int) -> int:
    context.log.info("a message of the user's code")
    context.log_event(dg.AssetMaterialization("thing"))
    return number + 1


@dg.op
def third(number: int) -> None:
    if number > 1:
        raise dg.Failure("on purpose")


@dg.job(executor_def=dg.in_process_executor)
def three_steps() -> None:
    third(second(first()))


def told(events: list[dg.DagsterEvent]) -> list[tuple[str, str | None]]:
    return [(event.event_type_value, event.step_key) for event in events]


def test_everything_is_stored_in_the_order_in_which_it_happened(observed: Observed) -> None:
    result = three_steps.execute_in_process(instance=observed.instance, raise_on_error=False)
    stored = observed.events(result.run_id)
    assert [event for event in stored if event[0] not in ELSEWHERE] == [
        event for event in told(result.all_events) if event[0] not in ELSEWHERE
    ]
    assert stored[-1] == ("PIPELINE_FAILURE", None)
    message = stored.index(("message", "second"))
    assert ("STEP_INPUT", "second") in stored[:message]
    assert stored[message + 1] == ("ASSET_MATERIALIZATION", "second")
    assert observed.instance.get_latest_materialization_event(dg.AssetKey("thing")) is not None


def noted_statements(observed: Observed) -> list[str]:
    """What is sent to the database from now on."""
    statements: list[str] = []

    @sqlalchemy.event.listens_for(observed.storage._engine, "before_cursor_execute")
    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    return statements


def test_sensors_cost_no_look_into_the_catalogue_after_the_first(observed: Observed) -> None:
    def look() -> None:
        observed.instance.all_instigator_state()
        observed.instance.get_ticks("origin", "selector")

    look()
    statements = noted_statements(observed)
    look()
    assert statements
    assert not [statement for statement in statements if "pg_catalog" in statement]


def test_a_step_costs_one_insert(observed: Observed) -> None:
    statements = noted_statements(observed)

    @dg.job(executor_def=dg.in_process_executor)
    def steps() -> None:
        first.alias("one")()
        first.alias("two")()
        first.alias("three")()

    result = steps.execute_in_process(instance=observed.instance)
    assert len(observed.events(result.run_id)) > 15
    inserts = [statement for statement in statements if statement.startswith("INSERT INTO event_logs")]
    assert len(inserts) <= 3 + 2, "one a step, one for the run's start and one for its end"


def test_the_code_of_a_step_begins_after_all_before_it_is_stored(observed: Observed) -> None:
    seen: list[tuple[str, str | None]] = []

    @dg.op
    def looks(context: dg.OpExecutionContext, number: int) -> None:
        seen.extend(observed.events(context.run_id))

    @dg.job(executor_def=dg.in_process_executor)
    def steps() -> None:
        looks(first())

    steps.execute_in_process(instance=observed.instance)
    assert seen[-1] == ("STEP_START", "looks")
    assert ("STEP_SUCCESS", "first") in seen


def test_who_reads_through_the_same_storage_finds_what_is_held_back(observed: Observed) -> None:
    seen: list[str] = []

    @dg.op
    def reads(context: dg.OpExecutionContext, number: int) -> None:
        records = context.instance.get_records_for_run(context.run_id).records
        seen.extend(record.event_log_entry.get_dagster_event().event_type_value for record in records)

    @dg.job(executor_def=dg.in_process_executor)
    def steps() -> None:
        reads(first())

    steps.execute_in_process(instance=observed.instance)
    assert seen[-1] == "STEP_INPUT"


def test_during_a_long_step_the_rest_follows_soon(observed: Observed) -> None:
    seen: list[bool] = []

    @dg.op
    def long(context: dg.OpExecutionContext, number: int) -> None:
        seen.append(observed.until(context.run_id, ("STEP_INPUT", "long")))

    @dg.job(executor_def=dg.in_process_executor)
    def steps() -> None:
        long(first())

    steps.execute_in_process(instance=observed.instance)
    assert seen == [True]


def test_who_does_not_execute_the_run_stores_at_once(observed: Observed) -> None:
    run = observed.instance.create_run_for_job(three_steps)
    observed.instance.report_engine_event("from elsewhere", run)
    assert observed.events(run.run_id) == [("ENGINE_EVENT", None)]


def test_a_connection_that_the_server_closed_a_moment_ago_is_not_used(observed: Observed) -> None:
    for _ in range(3):
        assert observed.instance.get_runs() == []
        observed.cut_connections()


def test_an_outage_loses_nothing_that_is_held_back(observed: Observed) -> None:
    @dg.op
    def breaks(context: dg.OpExecutionContext, number: int) -> None:
        with observed.unreachable(), pytest.raises((OperationalError, DagsterPostgresException)):
            observed.storage.flush()

    @dg.job(executor_def=dg.in_process_executor)
    def steps() -> None:
        breaks(first())

    result = steps.execute_in_process(instance=observed.instance)
    assert [e for e in observed.events(result.run_id) if e[0] != "PIPELINE_SUCCESS"] == [
        e for e in told(result.all_events) if e[0] not in ("PIPELINE_SUCCESS", "RUN_SUCCESS")
    ]


def test_what_is_stored_is_what_dagster_itself_stores(observed: Observed) -> None:
    def rows() -> list[tuple[object, ...]]:
        with psycopg.connect(observed.url) as connection:
            return connection.execute(ROWS).fetchall()

    result = three_steps.execute_in_process(instance=observed.instance, raise_on_error=False)
    ours = rows()
    entries = [r.event_log_entry for r in observed.instance.get_records_for_run(result.run_id).records]
    with psycopg.connect(observed.url, autocommit=True) as connection:
        connection.execute("TRUNCATE event_logs")
    stock = PostgresEventLogStorage(with_psycopg2(observed.url), should_autocreate_tables=False)
    for entry in entries:
        stock.store_event(entry)
    assert rows() == ours
