"""Debian's pgbouncer before Debian's PostgreSQL: password and TLS on both of its sides."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psycopg

from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.processes import end_with_parent
from tests.bridge_server import eventually
from tests.debian_postgres import ADMINISTRATOR, PASSWORD, ROLE, DebianPostgres

PGBOUNCER = Path("/usr/sbin/pgbouncer")
CONFIGURATION = """
[databases]
* = host=localhost port={server_port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
pool_mode = {mode}
default_pool_size = {size}
max_client_conn = 200
auth_type = scram-sha-256
auth_file = {folder}/users
client_tls_sslmode = require
client_tls_cert_file = {folder}/server.crt
client_tls_key_file = {folder}/server.key
server_tls_sslmode = verify-full
server_tls_ca_file = {folder}/ca.crt
"""


@contextmanager
def pooler(server: DebianPostgres, mode: str, folder: Path, size: int = 20) -> Iterator[DebianPostgres]:
    """`server` as it is reached through a pooler in `session` or `transaction` mode.

    Args:
        server: What lies behind.
        mode: pgbouncer's `pool_mode`.
        folder: A new one.
        size: Connections to the server for each database.
    """
    folder.mkdir(mode=0o755)
    behind = {"server_port": server.port, "port": free_port(), "mode": mode, "size": size, "folder": folder}
    for name in ("ca.crt", "server.crt", "server.key"):
        shutil.copy(server.folder / name, folder)
    (folder / "users").write_text(f'"{ROLE}" "{PASSWORD}"\n')
    (folder / "pgbouncer.ini").write_text(CONFIGURATION.format(**behind))
    user = ADMINISTRATOR if os.geteuid() == 0 else None
    if user is not None:
        for name in ("server.key", "users", "pgbouncer.ini"):
            shutil.chown(folder / name, user, user)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [PGBOUNCER, folder / "pgbouncer.ini"], user=user, cwd="/", stdout=log, stderr=log,
            preexec_fn=end_with_parent(signal.SIGTERM),
        )  # fmt: skip
    through = replace(server, port=int(behind["port"]), socket_port=server.port)
    try:
        eventually(lambda: psycopg.connect(through.url("postgres").get_secret_value()).close() is None)
        yield through
    finally:
        process.terminate()
        process.wait(30)
