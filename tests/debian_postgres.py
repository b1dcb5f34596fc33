"""Debian's PostgreSQL 15 as a user's own: password, TLS with a CA of the test's own, a mere owner."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql
from pydantic import SecretStr

from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.processes import end_with_parent
from tests.bridge_server import eventually
from tests.certificates import issue_certificates

BINARIES = Path("/usr/lib/postgresql/15/bin")
ADMINISTRATOR = "postgres"
ROLE = "desk"
PASSWORD = "p%40ss/w:rd@ #"  # what an address must quote, and a bit that looks quoted already
CONFIGURATION = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{folder}'
ssl = on
ssl_cert_file = '{folder}/server.crt'
ssl_key_file = '{folder}/server.key'
max_connections = 200
fsync = off
"""
ACCESS = f"""
local   all {ADMINISTRATOR}         trust
hostssl all all     127.0.0.1/32    scram-sha-256
"""


@dataclass(frozen=True)
class DebianPostgres:
    """A server that runs, and `ROLE`, which may log in and nothing else.

    Attributes:
        folder: Where its files are.
        port: What `ROLE` connects to: the server's own, or that of a pooler before it.
        socket_port: The server's own, which names the socket of its administrator.
    """

    folder: Path
    port: int
    socket_port: int

    def url(self, database: str, *, password: str = PASSWORD, **options: str) -> SecretStr:
        """The address of a database as `ROLE` uses it: with TLS, the server's name checked."""
        asked = {"sslmode": "verify-full", "sslrootcert": str(self.folder / "ca.crt")} | options
        query = "&".join(f"{name}={quote(value, safe='')}" for name, value in asked.items())
        account = f"{ROLE}:{quote(password, safe='')}"
        return SecretStr(f"postgresql://{account}@localhost:{self.port}/{database}?{query}")

    def create_database(
        self, name: str, template: str = "template0", *, owner: str = ROLE, encoding: str = "UTF8"
    ) -> SecretStr:
        """A database that belongs to `owner`; its address."""
        statement = sql.SQL("CREATE DATABASE {} OWNER {} ENCODING {} LOCALE 'C' TEMPLATE {}")
        names = (sql.Identifier(name), sql.Identifier(owner), sql.Literal(encoding), sql.Identifier(template))
        self.as_administrator(statement.format(*names))
        return self.url(name)

    def as_administrator(self, statement: sql.Composable | str, database: str = "postgres") -> None:
        """What the server's administrator does, who comes by its socket."""
        address = {
            "host": str(self.folder),
            "port": self.socket_port,
            "user": ADMINISTRATOR,
            "dbname": database,
        }
        with psycopg.connect(**address, autocommit=True) as connection:  # type: ignore[arg-type]
            connection.execute(statement)  # type: ignore[arg-type]


@contextmanager
def debian_postgres(folder: Path) -> Iterator[DebianPostgres]:
    """A server in a new `folder`, which other users must be able to reach where root runs the test."""
    user = ADMINISTRATOR if os.geteuid() == 0 else None
    port = free_port()
    server = DebianPostgres(folder, port, port)
    _prepare(server, user)
    process = subprocess.Popen(
        [BINARIES / "postgres", "-D", folder / "data"],
        user=user, cwd="/", stdout=subprocess.DEVNULL, stderr=(folder / "log").open("wb"),
        preexec_fn=end_with_parent(signal.SIGQUIT),
    )  # fmt: skip
    try:
        statement = sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}")
        role = statement.format(sql.Identifier(ROLE), sql.Literal(PASSWORD))
        eventually(lambda: server.as_administrator(role) is None)
        yield server
    finally:
        process.send_signal(signal.SIGQUIT)
        process.wait(30)


def _prepare(server: DebianPostgres, user: str | None) -> None:
    data = server.folder / "data"
    data.mkdir(parents=True, mode=0o700)
    issue_certificates(server.folder)
    if user is not None:
        for path in (server.folder, data, server.folder / "server.key"):
            shutil.chown(path, user, user)
    _run(
        ["initdb", "-D", str(data), "-U", ADMINISTRATOR, "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"], user
    )
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(CONFIGURATION.format(port=server.port, folder=server.folder))
    (data / "pg_hba.conf").write_text(ACCESS)


def _run(command: Sequence[str], user: str | None) -> None:
    program, *arguments = command
    done = subprocess.run(
        [str(BINARIES / program), *arguments], user=user, cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
