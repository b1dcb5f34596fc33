"""Debian's pgbouncer in between: the bridge in session mode, all others in transaction mode."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.database import Database, migrate
from enhancer_dagster.runtime.own_database import notifications_arrive
from tests.bridge_server import eventually, running_bridge
from tests.conftest import require
from tests.debian_postgres import DebianPostgres
from tests.factories import make_record
from tests.integration.test_own_database import enhancer, environment
from tests.pooler import PGBOUNCER, pooler

SESSIONS = 100
"""In session mode each client holds one: bridge, workers and daemon together need some fifty."""
SERVER_CONNECTIONS = 3
CLIENTS = 12


@pytest.fixture(scope="module")
def session(debian: DebianPostgres, open_folder: Path) -> Iterator[DebianPostgres]:
    require(PGBOUNCER.exists(), "Debian's pgbouncer is missing")
    with pooler(debian, "session", open_folder / "session", SESSIONS) as through:
        yield through


@pytest.fixture(scope="module")
def transaction(debian: DebianPostgres, open_folder: Path) -> Iterator[DebianPostgres]:
    require(PGBOUNCER.exists(), "Debian's pgbouncer is missing")
    with pooler(debian, "transaction", open_folder / "transaction", SERVER_CONNECTIONS) as through:
        yield through


def new_database(server: DebianPostgres) -> SecretStr:
    return server.create_database(f"pooled_{uuid4().hex}")


def test_bridges_behind_a_pooler_in_session_mode_wake_each_other(session: DebianPostgres) -> None:
    url = new_database(session)
    migrate(url)
    with running_bridge(url) as one, running_bridge(url) as other, ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(other.queue.claim, 1, 30)
        eventually(lambda: one.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"))
        assert one.send().status_code == 202
        assert len(waiting.result(4)) == 1, "sooner than the poll would look by itself"
        names = one.sql(
            "SELECT DISTINCT application_name AS name FROM pg_stat_activity WHERE query LIKE 'LISTEN%'"
        )
        assert [row["name"] for row in names] == ["enhancer-bridge"]


def test_the_pipeline_shares_few_sessions_in_transaction_mode(transaction: DebianPostgres) -> None:
    url = new_database(transaction)
    migrate(url)
    with ThreadPoolExecutor(CLIENTS) as threads:
        history = PostgresHistory(Database(url, max_size=CLIENTS))
        # So often is each statement repeated that psycopg would prepare it, were it let.
        list(threads.map(lambda _: history.save(make_record()), range(CLIENTS * 20)))
    assert len(history.rows(limit=1000)) == CLIENTS * 20
    with Database(url).transaction() as connection:
        (row,) = connection.execute(
            "SELECT count(*) AS n FROM pg_stat_activity WHERE datname = current_database()"
        )
    assert row["n"] <= SERVER_CONNECTIONS


def test_the_doctor_tells_the_modes_apart(
    session: DebianPostgres, transaction: DebianPostgres, tmp_path: Path
) -> None:
    assert notifications_arrive(session.url("postgres"))
    name = f"pooled_{uuid4().hex}"
    url = transaction.create_database(name)
    transaction.create_database(f"{name}_dagster")
    told = json.loads(enhancer(environment(url, tmp_path), "doctor", "--json").stdout)
    (finding,) = (part for part in told if part["part"] == "notifications")
    assert not finding["ok"]
    assert "session mode" in finding["advice"]


@pytest.mark.slow
def test_the_demo_runs_through_both(
    session: DebianPostgres, transaction: DebianPostgres, tmp_path: Path
) -> None:
    name = f"pooled_{uuid4().hex}"
    variables = environment(session.create_database(name), tmp_path)
    dagster = transaction.create_database(f"{name}_dagster").get_secret_value()
    demo = ("demo", "--own-database", "--tickets", "5", "--exit", "--json")
    done = enhancer(variables | {"ENHANCER_DAGSTER_DATABASE_URL": dagster}, *demo)
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["completed"] == 5
