"""A PostgreSQL of the user's own: Debian's 15 with password and TLS, and a role that owns its databases."""

import json
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql
from pydantic import SecretStr

from enhancer_dagster.adapters.secrets import Cipher, generate_key
from enhancer_dagster.adapters.tenants import TenantStore
from enhancer_dagster.database import Database, migrate
from enhancer_dagster.domain.errors import ConfigurationError, DatabaseUnavailableError
from enhancer_dagster.runtime.dagster_storage import create_tables
from enhancer_dagster.runtime.installation import ready_installation
from enhancer_dagster.runtime.own_database import (
    require_dagster_database,
    require_product_database,
    shortcomings,
)
from enhancer_dagster.settings import Settings
from tests.debian_postgres import PASSWORD, ROLE, DebianPostgres
from tests.factories import make_tenant
from tests.shell import ENHANCER

PAGE = Path(__file__).parents[2] / "docs" / "postgresql.md"
DEMO_SECONDS = 200


def new_name() -> str:
    return f"own_{uuid4().hex}"


def environment(url: SecretStr, folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "COLUMNS": "500",
        "ENHANCER_DATA_DIR": str(folder),
        "ENHANCER_DATABASE_URL": url.get_secret_value(),
        "ENHANCER_SECRET_KEY": generate_key().get_secret_value(),
        "ENHANCER_CLAIM_TOKEN": uuid4().hex,
    }


def enhancer(variables: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [ENHANCER, *arguments], env=variables, capture_output=True, text=True, check=False,
        timeout=DEMO_SECONDS,
    )  # fmt: skip
    assert PASSWORD not in done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done


def finding(url: SecretStr, folder: Path) -> dict[str, str]:
    """What the doctor says of the database."""
    told = json.loads(enhancer(environment(url, folder), "doctor", "--json").stdout)
    return next(part for part in told if part["part"] == "database")


def test_the_demo_runs_in_it(debian: DebianPostgres, tmp_path: Path) -> None:
    name = new_name()
    url = debian.create_database(name)
    debian.create_database(f"{name}_dagster")
    demo = ("demo", "--own-database", "--tickets", "5", "--exit", "--json")
    done = enhancer(environment(url, tmp_path), *demo)
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert (report["tickets"], report["completed"]) == (5, 5)
    assert not (tmp_path / "demo" / "postgres").exists()


def test_the_demo_leaves_other_tenants_alone(debian: DebianPostgres, tmp_path: Path) -> None:
    name = new_name()
    url = debian.create_database(name)
    debian.create_database(f"{name}_dagster")
    variables = environment(url, tmp_path)
    assert enhancer(variables, "tenants", "list").returncode == 0
    store = TenantStore(Database(url), Cipher(SecretStr(variables["ENHANCER_SECRET_KEY"])))
    store.add(make_tenant(), "test")
    done = enhancer(variables, "demo", "--own-database", "--tickets", "1", "--exit")
    assert done.returncode == 1
    assert "acme" in done.stderr
    assert store.get("acme").active


def test_the_doctor_says_what_is_there(debian: DebianPostgres, tmp_path: Path) -> None:
    name = new_name()
    url = debian.create_database(name)
    debian.create_database(f"{name}_dagster")
    told = finding(url, tmp_path)
    assert told["ok"], told
    assert "PostgreSQL 15" in told["detail"]
    assert "over TLS" in told["detail"]


def test_the_doctor_names_the_right_that_is_missing_and_who_gives_it(
    debian: DebianPostgres, tmp_path: Path
) -> None:
    name = new_name()
    url = debian.create_database(name, owner="postgres")
    told = finding(url, tmp_path)
    assert not told["ok"]
    grant = f'GRANT CREATE ON DATABASE "{name}" TO "{ROLE}"'
    assert grant in told["detail"]
    debian.as_administrator(sql.SQL(grant))  # type: ignore[arg-type]
    # The second database is one that this role may not make by itself.
    told = finding(url, tmp_path)
    assert "ENHANCER_DAGSTER_DATABASE_URL" in told["detail"]
    debian.create_database(f"{name}_dagster", owner="postgres")
    grant = f'GRANT CREATE ON SCHEMA "public" TO "{ROLE}"'
    assert grant in finding(url, tmp_path)["detail"]
    debian.as_administrator(sql.SQL(grant), f"{name}_dagster")  # type: ignore[arg-type]
    assert finding(url, tmp_path)["ok"]


def test_one_that_is_too_old_is_refused() -> None:
    fine = {"encoding": "UTF8", "is_read_only": False}
    (said,) = shortcomings(fine | {"version": "14.19", "number": 140_019})
    assert said == "it is PostgreSQL 14.19, and 15 is the oldest that is supported"
    assert not list(shortcomings(fine | {"version": "15.0", "number": 150_000}))


def test_a_dump_that_was_restored_for_somebody_else_is_refused(debian: DebianPostgres) -> None:
    name = new_name()
    url = debian.create_database(name)
    restored = sql.SQL("CREATE SCHEMA bridge; CREATE TABLE bridge.jobs (); CREATE TABLE runs ()")
    debian.as_administrator(restored, name)
    with pytest.raises(ConfigurationError, match=r"bridge.jobs belongs to postgres: restore with --no-owner"):
        require_product_database(url)
    with pytest.raises(ConfigurationError, match=r"public.runs belongs to postgres"):
        require_dagster_database(url)


def test_another_encoding_and_a_replica_are_refused(debian: DebianPostgres) -> None:
    name = new_name()
    url = debian.create_database(name, encoding="LATIN1")
    read_only = sql.SQL("ALTER DATABASE {} SET default_transaction_read_only = on")
    debian.as_administrator(read_only.format(sql.Identifier(name)))
    with pytest.raises(ConfigurationError, match=r"encoding is LATIN1.*read-only"):
        require_product_database(url)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"password": "wrong"}, "password authentication failed"),
        ({"sslrootcert": "system"}, "certificate verify failed"),
        ({"sslmode": "disable", "sslrootcert": ""}, "no encryption"),
    ],
)
def test_what_keeps_a_connection_from_being_made_is_said(
    debian: DebianPostgres, tmp_path: Path, wrong: dict[str, str], said: str
) -> None:
    url = debian.url("postgres", **wrong)
    settings = Settings(
        data_dir=tmp_path, database_url=url, secret_key=generate_key(), claim_token=SecretStr("x")
    )
    with pytest.raises(DatabaseUnavailableError, match=said), ready_installation(settings):
        pass


def test_an_address_that_cannot_be_read_is_not_quoted(tmp_path: Path) -> None:
    done = enhancer(environment(SecretStr(f"postgresql://desk:{PASSWORD} @h/x"), tmp_path), "tenants", "list")
    assert done.returncode == 1
    assert "percent-encoded" in done.stderr
    assert "p%40" not in done.stderr


def test_the_recommended_vacuum_settings_fit_the_tables(debian: DebianPostgres) -> None:
    ours, dagster = (debian.create_database(new_name()) for _ in range(2))
    migrate(ours)
    create_tables(dagster.get_secret_value())
    statements = re.findall(r"^    (ALTER TABLE (\S+) SET .*);$", PAGE.read_text(), re.MULTILINE)
    assert len(statements) == 8
    for statement, table in statements:
        with psycopg.connect((ours if "." in table else dagster).get_secret_value()) as connection:
            connection.execute(statement)
