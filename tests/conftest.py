"""Fixtures that every test may use: a real PostgreSQL, fresh databases, free ports, the shared material."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import hypothesis
import psycopg
import pytest
from pydantic import SecretStr

from enhancer_dagster.database import migrate
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.postgres import EmbeddedPostgres, embedded_postgres
from tests.debian_postgres import BINARIES, DebianPostgres, debian_postgres

# On a busy machine the clock says nothing about a test.
hypothesis.settings.register_profile(
    "any machine", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("any machine")

TEMPLATE = "template_enhancer"
Server = EmbeddedPostgres | DebianPostgres
SHARED = Path(__file__).parents[2] / "shared"


def pytest_addoption(parser: pytest.Parser) -> None:
    help_text = "Debian's PostgreSQL 15, with password and TLS, in place of the embedded 18."
    parser.addoption("--debian-postgres", action="store_true", help=help_text)


def require(available: bool, reason: str) -> None:
    """Skip where something is missing; fail instead where `ENHANCER_REQUIRE_ALL` is set, as CI does."""
    if available:
        return
    if os.environ.get("ENHANCER_REQUIRE_ALL"):
        pytest.fail(f"ENHANCER_REQUIRE_ALL is set, but {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of test material beside the project."""
    require(SHARED.is_dir(), "the folder shared/ is not beside the project")
    return SHARED


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A temporary folder that other users may pass through, as the embedded PostgreSQL needs under root."""
    folder = Path(tempfile.mkdtemp(prefix="enhancer-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def debian(open_folder: Path) -> Iterator[DebianPostgres]:
    """Debian's PostgreSQL 15 with password and TLS, one for each worker of pytest-xdist."""
    require((BINARIES / "postgres").exists(), "Debian's postgresql-15 is missing")
    with debian_postgres(open_folder / "debian") as server:
        yield server


@pytest.fixture(scope="session")
def postgres(
    request: pytest.FixtureRequest, open_folder: Path
) -> Iterator[EmbeddedPostgres | DebianPostgres]:
    """The embedded PostgreSQL, one for each worker of pytest-xdist, with a migrated template."""
    if request.config.getoption("debian_postgres"):
        debian: DebianPostgres = request.getfixturevalue("debian")
        migrate(debian.create_database(TEMPLATE))
        yield debian
        return
    with embedded_postgres(open_folder / "pg") as server:
        template = server.create_database(TEMPLATE)
        migrate(template)
        _forget_durability(template)
        yield server


def _forget_durability(url: SecretStr) -> None:
    """No test pulls the plug, and with many databases syncing takes longer than the tests."""
    with psycopg.connect(url.get_secret_value(), autocommit=True) as connection:
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")


@pytest.fixture
def database_url(postgres: Server) -> SecretStr:
    """A fresh, migrated database."""
    return postgres.create_database(f"test_{uuid4().hex}", template=TEMPLATE)


@pytest.fixture
def port() -> int:
    """A TCP port of the loopback address that nobody listens on."""
    return free_port()
