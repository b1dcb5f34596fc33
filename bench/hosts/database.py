"""PostgreSQL on a host: the server of the embedded one's wheel, on TCP and with a password."""

from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from pydantic import SecretStr
from sqlalchemy.engine import make_url

from bench.hosts.network import Host
from enhancer_dagster.runtime.postgres import SERVER_USER, EmbeddedPostgres

DATABASES = ("enhancer", "enhancer_dagster")


@dataclass(frozen=True)
class Database:
    """A server that is initialised and does not run.

    Attributes:
        host: Where it is to listen.
        command: Starts it there.
    """

    host: Host
    command: tuple[str, ...]
    _local_url: str

    def url(self, name: str) -> SecretStr:
        """The address of one of its databases."""
        url = make_url(self._local_url).set(host=self.host.address, database=name, query={})
        return SecretStr(url.render_as_string(hide_password=False))


def stored_on(host: Host, clients: IPv4Network, folder: Path) -> Database:
    """A server in `folder` with the product's databases, for clients of one network."""
    server = EmbeddedPostgres(folder)
    server.start()
    try:
        for name in DATABASES:
            server.create_database(name)
    finally:
        server.stop()
    with (server.data / "pg_hba.conf").open("a") as rules:
        rules.write(f"host all all {clients} scram-sha-256\n")
    # A change of user takes a parent-death signal away, so it is set after it.
    as_user = (
        "setpriv", "--reuid", SERVER_USER, "--regid", SERVER_USER, "--clear-groups", "--pdeathsig", "INT",
    )  # fmt: skip
    options = ("-D", str(server.data), "-k", str(server.socket), "-c", f"listen_addresses={host.address}")
    return Database(
        host,
        host.command(*as_user, str(server.binaries() / "postgres"), *options),
        server.url("postgres").get_secret_value(),
    )
