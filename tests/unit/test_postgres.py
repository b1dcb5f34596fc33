import os
import signal
import stat
import tempfile
import time
from pathlib import Path

import psycopg
import pytest

from enhancer_dagster.database import migrate
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.postgres import EmbeddedPostgres, embedded_postgres


def test_a_second_start_finds_the_data(open_folder: Path) -> None:
    folder = open_folder / "again"
    with embedded_postgres(folder) as server:
        url = server.create_database("kept").get_secret_value()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(url)
    with (
        embedded_postgres(folder) as server,
        psycopg.connect(server.url("kept").get_secret_value()) as connection,
    ):
        assert connection.execute("SELECT answer FROM t").fetchone() == (42,)


def test_a_server_that_is_killed_comes_back_with_its_data(open_folder: Path) -> None:
    with embedded_postgres(open_folder / "killed") as server:
        url = server.create_database("kept").get_secret_value()
        with psycopg.connect(url) as connection:
            connection.execute("CREATE TABLE t AS SELECT 42 AS answer")
        busy = psycopg.connect(url)
        busy.execute("BEGIN")
        for _ in range(2):
            os.kill(postmaster(server), signal.SIGKILL)
            answer = eventually_asked(url, "SELECT answer FROM t")
            assert answer == (42,)


def test_a_server_that_is_being_stopped_stays_away(open_folder: Path) -> None:
    with embedded_postgres(open_folder / "stopped") as server:
        postmaster(server)
    assert not server.is_running
    assert not (server.data / "postmaster.pid").exists()


def postmaster(server: EmbeddedPostgres) -> int:
    return int((server.data / "postmaster.pid").read_text().splitlines()[0])


def eventually_asked(url: str, question: str) -> object:
    give_up_at = time.monotonic() + 60
    while True:
        try:
            with psycopg.connect(url) as connection:
                return connection.execute(question).fetchone()
        except psycopg.OperationalError:
            assert time.monotonic() < give_up_at
            time.sleep(0.05)


def test_the_socket_asks_for_the_password(postgres: EmbeddedPostgres) -> None:
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(host=str(postgres.socket), user="enhancer", dbname="postgres", password="wrong")


def test_data_and_socket_are_closed_to_others(postgres: EmbeddedPostgres) -> None:
    for path in (postgres.data, postgres.socket):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    assert stat.S_IMODE((postgres.folder / "password").stat().st_mode) == 0o600


def test_a_second_user_of_the_folder_shares_the_server(open_folder: Path) -> None:
    with embedded_postgres(open_folder / "both") as first, embedded_postgres(open_folder / "both") as second:
        second.create_database("theirs")
        psycopg.connect(first.url("theirs").get_secret_value()).close()


def test_a_path_too_long_for_a_socket_is_refused_in_words() -> None:
    with pytest.raises(ConfigurationError, match="ENHANCER_DATA_DIR"):
        EmbeddedPostgres(Path(tempfile.gettempdir()) / ("x" * 100)).start()


def test_migrating_twice_keeps_the_data(postgres: EmbeddedPostgres) -> None:
    url = postgres.create_database("migrated_twice")
    migrate(url)
    with psycopg.connect(url.get_secret_value()) as connection:
        connection.execute(
            "INSERT INTO registry.tenants (tenant_id, profile, secrets) VALUES ('a', '{}', '')"
        )
    migrate(url)
    with psycopg.connect(url.get_secret_value()) as connection:
        assert connection.execute("SELECT tenant_id FROM registry.tenants").fetchone() == ("a",)
