"""Pooled connections: not asked each time whether they work, and still never handed out broken."""

import asyncio

import psycopg
from pydantic import SecretStr

from enhancer_dagster.bridge.database import AsyncDatabase, Connection
from enhancer_dagster.database import Database, note_use, seems_alive

CUT = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


def cut_connections(url: SecretStr) -> None:
    with psycopg.connect(url.get_secret_value(), autocommit=True) as connection:
        connection.execute(CUT)


def test_a_connection_that_was_just_used_is_trusted(database_url: SecretStr) -> None:
    with psycopg.connect(database_url.get_secret_value()) as connection:
        assert not seems_alive(connection), "nobody has said when it was used"
        note_use(connection)
        assert seems_alive(connection)


def test_one_that_the_server_has_closed_is_not(database_url: SecretStr) -> None:
    with psycopg.connect(database_url.get_secret_value()) as connection:
        note_use(connection)
        cut_connections(database_url)
        assert not seems_alive(connection)


def test_work_goes_on_where_the_server_closed_the_connection(database_url: SecretStr) -> None:
    database = Database(database_url)
    for _ in range(3):
        with database.transaction() as connection:
            connection.execute("SELECT 1")
        cut_connections(database_url)


def test_the_bridge_goes_on_where_the_server_closed_its_connection(database_url: SecretStr) -> None:
    async def one(connection: Connection) -> None:
        await connection.execute("SELECT 1")

    async def use() -> None:
        database = AsyncDatabase(database_url)
        await database.open()
        try:
            for _ in range(3):
                await database.transaction(one)
                await asyncio.to_thread(cut_connections, database_url)
        finally:
            await database.close()

    asyncio.run(use())
