"""What the product asks of PostgreSQL: connections of each part, and what a ticket writes.

Connections are the most that were open at once, by the name that each program gives its own. A CLI command
opens one or two for its moment. Rows and WAL are of both databases, Dagster's and ours.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row

from bench.deployment import Deployment, deployment
from bench.report import show_json, show_table
from enhancer_dagster.settings import Settings

SAMPLE_SECONDS = 0.1
CONNECTIONS = """
    SELECT application_name AS name, count(*) AS n FROM pg_stat_activity
    WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND application_name <> ''
    GROUP BY 1
"""
WRITTEN = """
    SELECT sum(xact_commit) AS commits, sum(tup_inserted) AS inserted, sum(tup_updated) AS updated,
        sum(tup_deleted) AS deleted, pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0') / 1024 AS wal_kb,
        sum(pg_database_size(datname)) / 1024 AS stored_kb
    FROM pg_stat_database WHERE datname LIKE 'enhancer%'
"""


@dataclass
class DatabaseUse:
    """`connections` are the most at once, `of_a_ticket` what one costs."""

    workers: int
    tickets: int
    connections: dict[str, int] = field(default_factory=dict)
    of_a_ticket: dict[str, float] = field(default_factory=dict)


def main(
    tickets: Annotated[int, typer.Option(min=1, help="How many come at once.")] = 100,
    workers: Annotated[int, typer.Option(min=1, help="Run workers.")] = 16,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
) -> None:
    """Connections of each part, and commits, rows and WAL of a ticket."""
    with deployment(run_workers=workers) as live:
        use = measure(live, tickets)
    if as_json:
        show_json(asdict(use))
        return
    show_table(
        f"Most connections at once, {workers} workers", ("part", "connections"), [*use.connections.items()]
    )
    show_table("A ticket", ("what", "number"), [*use.of_a_ticket.items()])


def measure(live: Deployment, tickets: int) -> DatabaseUse:
    """One burst on a live system."""
    use = DatabaseUse(live.settings.run_workers, tickets)
    with _administrator(live.settings) as connection:
        before = _written(connection)
        with _watched(live.settings, use.connections):
            live.enhance(tickets)
        after = _written(connection)
    use.of_a_ticket = {name: round(float(after[name] - before[name]) / tickets, 1) for name in before}
    return use


def _administrator(settings: Settings) -> psycopg.Connection[dict[str, Any]]:
    if settings.database_url is None:
        raise SystemExit("the installation has no database")
    return psycopg.Connection[dict[str, Any]].connect(
        settings.database_url.get_secret_value(), autocommit=True, row_factory=dict_row, application_name=""
    )


def _written(connection: psycopg.Connection[dict[str, Any]]) -> dict[str, Any]:
    row = connection.execute(WRITTEN).fetchone()
    if row is None:
        raise SystemExit("PostgreSQL has no statistics of the databases")
    return row


@contextmanager
def _watched(settings: Settings, most: dict[str, int]) -> Iterator[None]:
    done = threading.Event()

    def watch() -> None:
        with _administrator(settings) as connection:
            while not done.wait(SAMPLE_SECONDS):
                for row in connection.execute(CONNECTIONS).fetchall():
                    most[row["name"]] = max(most.get(row["name"], 0), row["n"])

    watcher = threading.Thread(target=watch, name="connections", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
