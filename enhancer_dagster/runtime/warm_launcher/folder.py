"""The launcher's folder under the instance's directory: socket, locks, log, records of unfinished runs.

All of it is for this user alone (0700), since who reaches the socket decides which code runs.
"""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from enhancer_dagster.runtime.warm_launcher.orders import Record

BACKLOG = 256


class LauncherFolder:
    """Where launchers and dispatcher of one Dagster instance meet.

    Args:
        instance_directory: The instance's root directory.

    Raises:
        PermissionError: The folder belongs to another user.
    """

    def __init__(self, instance_directory: str | Path) -> None:
        self.path = Path(instance_directory) / "warm_launcher"
        self.log = self.path / "dispatcher.log"
        self._runs = self.path / "runs"
        self._runs.mkdir(parents=True, exist_ok=True, mode=0o700)
        if self.path.stat().st_uid != os.geteuid():
            raise PermissionError(f"{self.path} belongs to another user")
        self.path.chmod(0o700)

    def listen(self) -> socket.socket:
        """A listening socket in place of whatever was there; hold the lock `start` meanwhile."""
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        (self.path / "socket").unlink(missing_ok=True)
        with self._short_address() as address:
            listener.bind(address)
        listener.listen(BACKLOG)
        return listener

    def connect(self, timeout: float) -> socket.socket:
        """A connection to the dispatcher.

        Args:
            timeout: Seconds, for this and for every later call on the connection.

        Raises:
            OSError: Nobody listens.
        """
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(timeout)
        try:
            with self._short_address() as address:
                connection.connect(address)
        except OSError:
            connection.close()
            raise
        return connection

    @contextmanager
    def lock(self, name: str) -> Iterator[IO[str]]:
        """Hold the lock `name` against all processes: `start` to start, `dispatcher` to be the dispatcher."""
        with (self.path / f"{name}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file

    def write(self, record: Record) -> None:
        """Keep a record, in place of an older one of the same run."""
        unfinished = self.path / f"{record.order.run_id}.new"
        unfinished.write_text(record.model_dump_json())
        unfinished.replace(self._runs / record.order.run_id)

    def read(self, run_id: str) -> Record | None:
        """The run's record; None if it is finished, or unknown."""
        try:
            return Record.model_validate_json((self._runs / run_id).read_bytes())
        except FileNotFoundError:
            return None

    def read_all(self) -> list[Record]:
        """The records of all unfinished runs."""
        return [record for path in sorted(self._runs.iterdir()) if (record := self.read(path.name))]

    def remove(self, run_id: str) -> None:
        """Forget a finished run."""
        (self._runs / run_id).unlink(missing_ok=True)

    @contextmanager
    def _short_address(self) -> Iterator[str]:
        # A Unix socket's address has 107 bytes at most; this way is short however long the path is.
        folder = os.open(self.path, os.O_PATH | os.O_DIRECTORY)
        try:
            yield f"/proc/self/fd/{folder}/socket"
        finally:
            with suppress(OSError):
                os.close(folder)
