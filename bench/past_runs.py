"""A past for a young installation: SQL copies of its ticket runs, each with ids of its own.

Copied are Dagster's runs, tags and events, and the product's jobs, history rows and op outputs, spread over
the last 60 days.
"""

from collections.abc import Mapping
from typing import LiteralString

import psycopg
from loguru import logger
from psycopg import sql

from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.settings import Settings

_PAST_DAYS = 60

_RUN_COPIES: LiteralString = """
    CREATE TEMP TABLE copies AS
    WITH originals AS (
        SELECT run_id, row_number() OVER () - 1 AS number, count(*) OVER () AS total
        FROM runs WHERE status = 'SUCCESS' AND pipeline_name = 'enhance_ticket_job'
    )
    SELECT run_id AS old_id, gen_random_uuid()::text AS new_id, random() * %s * interval '1 day' AS age
    FROM generate_series(1, %s) AS copy JOIN originals ON copy %% total = number
"""
_JOB_COPIES: LiteralString = """
    CREATE TEMP TABLE copies AS
    WITH originals AS (
        SELECT job_id, run_id, row_number() OVER () - 1 AS number, count(*) OVER () AS total
        FROM bridge.jobs WHERE state = 'completed'
    )
    SELECT job_id AS old_id, gen_random_uuid() AS new_id, run_id AS old_run_id,
        gen_random_uuid()::text AS new_run_id, random() * %s * interval '1 day' AS age
    FROM generate_series(1, %s) AS copy JOIN originals ON copy %% total = number
"""
_COLUMNS: LiteralString = """
    SELECT column_name FROM information_schema.columns
    WHERE table_schema || '.' || table_name = %s AND column_name <> 'id'
"""

Changes = Mapping[str, LiteralString]
"""What a copy has in a column instead of the original's value, as SQL."""

_RUNS: Changes = {
    "run_id": "new_id",
    "run_body": "replace(t.run_body, old_id, new_id)",
    "create_timestamp": "t.create_timestamp - age",
    "update_timestamp": "t.update_timestamp - age",
    "start_time": "t.start_time - extract(epoch FROM age)",
    "end_time": "t.end_time - extract(epoch FROM age)",
}
_TAGS: Changes = {
    "run_id": "new_id",
    "value": """CASE WHEN t.key IN ('dagster/run_key', 'job_id', 'ticket_id', 'correlation_id')
        THEN new_id ELSE t.value END""",
}
_EVENTS: Changes = {
    "run_id": "new_id",
    "event": "replace(t.event, old_id, new_id)",
    "timestamp": "t.timestamp - age",
}
_JOBS: Changes = {
    "job_id": "new_id",
    "correlation_id": "gen_random_uuid()",
    "ticket_id": "new_id::text",
    "run_id": "new_run_id",
    **{name: f"t.{name} - age" for name in ("received_at", "started_at", "finished_at")},
}
_HISTORY: Changes = {
    "job_id": "new_id",
    "correlation_id": "gen_random_uuid()",
    "ticket_id": "new_id::text",
    "dagster_run_id": "new_run_id",
    **{name: f"t.{name} - age" for name in ("received_at", "started_at", "completed_at", "created_at")},
}
_OUTPUTS: Changes = {"run_id": "new_run_id", "created_at": "t.created_at - age"}


def copy_past_runs(settings: Settings, count: int) -> None:
    """Add `count` copies of the ticket runs that succeeded.

    Raises:
        ConfigurationError: The installation is not ready.
    """
    if settings.database_url is None or settings.dagster_database_url is None:
        raise ConfigurationError("the installation is not ready: it has no database")
    logger.info("copying {} runs", count)
    with psycopg.connect(settings.dagster_database_url.get_secret_value()) as connection:
        connection.execute(_RUN_COPIES, [_PAST_DAYS, count])
        _copy(connection, "public.runs", "run_id", "old_id", _RUNS)
        _copy(connection, "public.run_tags", "run_id", "old_id", _TAGS)
        _copy(connection, "public.event_logs", "run_id", "old_id", _EVENTS)
    with psycopg.connect(settings.database_url.get_secret_value()) as connection:
        connection.execute(_JOB_COPIES, [_PAST_DAYS, count])
        _copy(connection, "bridge.jobs", "job_id", "old_id", _JOBS)
        _copy(connection, "pipeline.enhancement_history", "job_id", "old_id", _HISTORY)
        _copy(connection, "pipeline.op_outputs", "run_id", "old_run_id", _OUTPUTS)
    for url in (settings.dagster_database_url, settings.database_url):
        with psycopg.connect(url.get_secret_value(), autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")


def _copy(
    connection: psycopg.Connection, table: LiteralString, key: LiteralString, original: LiteralString,
    changes: Changes,
) -> None:  # fmt: skip
    columns = [row[0] for row in connection.execute(_COLUMNS, [table]).fetchall()]
    values = [
        sql.SQL(changes[name]) if name in changes else sql.SQL("t.{}").format(sql.Identifier(name))
        for name in columns
    ]
    statement = sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} AS t JOIN copies ON t.{} = copies.{}").format(
        sql.SQL(table),
        sql.SQL(", ").join(map(sql.Identifier, columns)),
        sql.SQL(", ").join(values),
        sql.SQL(table),
        sql.Identifier(key),
        sql.Identifier(original),
    )
    connection.execute(statement)
