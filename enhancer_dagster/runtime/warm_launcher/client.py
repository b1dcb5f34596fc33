"""The dispatcher as seen from the processes that launch and terminate: found, or started."""

import json
import socket
import subprocess
import sys
from threading import Lock
from typing import IO, Any

from dagster import _check as check
from dagster._core.instance import InstanceRef
from dagster._serdes import serialize_value

from enhancer_dagster.runtime.warm_launcher.folder import LauncherFolder
from enhancer_dagster.runtime.warm_launcher.orders import Request

REPLY_SECONDS = 60.0
"""A dispatcher that is just starting answers after its imports."""

ATTEMPTS = 3
"""A dispatcher may end for good reasons between connect and answer; the next one is asked then."""

MAX_LOG_BYTES = 10 * 2**20
"""A longer log is set aside when the next dispatcher starts."""

PACKAGE = "enhancer_dagster.runtime.warm_launcher"

_starting = Lock()


class DispatcherUnreachableError(Exception):
    """No dispatcher answers, and none could be started."""


class DispatcherClient:
    """A connection to the dispatcher, kept open: as long as one is, a self-started dispatcher stays.

    Threads may share it.

    Args:
        folder: Where the dispatcher listens.
        instance_ref: The instance that a started dispatcher serves.
    """

    def __init__(self, folder: LauncherFolder, instance_ref: InstanceRef) -> None:
        self._folder = folder
        self._instance_ref = instance_ref
        self._lock = Lock()
        self._connection: socket.socket | None = None
        self._replies: IO[bytes] | None = None

    def ask(self, request: Request, *, start: bool = False, timeout: float = REPLY_SECONDS) -> dict[str, Any]:
        """Send a request and wait for the answer.

        Args:
            request: It may be sent again to the next dispatcher if the first ends before it answers.
            start: Whether to start a dispatcher if there is none.
            timeout: Seconds to wait for the answer.

        Raises:
            DispatcherUnreachableError: There is no dispatcher, or it does not answer.
        """
        with self._lock:
            for attempt in range(ATTEMPTS):
                try:
                    return self._ask_once(request, start, timeout)
                except OSError as error:
                    self.close()
                    if attempt + 1 == ATTEMPTS or isinstance(error, TimeoutError):
                        raise DispatcherUnreachableError(
                            f"the run launcher's dispatcher does not answer: {error}; see {self._folder.log}"
                        ) from error
        raise AssertionError

    def close(self) -> None:
        """Close the connection; the next question opens another."""
        if self._connection is not None and self._replies is not None:
            self._replies.close()
            self._connection.close()
        self._connection = self._replies = None

    def _ask_once(self, request: Request, start: bool, timeout: float) -> dict[str, Any]:
        if self._connection is None or self._replies is None:
            self._connection = (
                connect_or_start(self._folder, self._instance_ref)
                if start
                else (self._folder.connect(timeout))
            )
            self._replies = self._connection.makefile("rb")
        self._connection.settimeout(timeout)
        self._connection.sendall(request.model_dump_json(exclude_none=True).encode() + b"\n")
        reply = self._replies.readline()
        if not reply:
            raise ConnectionResetError("it ended")
        return json.loads(reply)


def is_served(folder: LauncherFolder) -> bool:
    """Whether a dispatcher listens: what a supervisor waits for. The socket's file alone may be left over."""
    try:
        folder.connect(REPLY_SECONDS).close()
    except OSError:
        return False
    return True


def connect_or_start(folder: LauncherFolder, instance_ref: InstanceRef) -> socket.socket:
    """A connection to the dispatcher of `folder`; of many callers at once, one starts it.

    Raises:
        OSError: It could neither be reached nor started.
    """
    try:
        return folder.connect(REPLY_SECONDS)
    except OSError:
        pass
    with _starting, folder.lock("start"):
        try:
            return folder.connect(REPLY_SECONDS)
        except OSError:
            _start(folder, instance_ref)
            return folder.connect(REPLY_SECONDS)


def _start(folder: LauncherFolder, instance_ref: InstanceRef) -> None:
    if folder.log.exists() and folder.log.stat().st_size > MAX_LOG_BYTES:
        folder.log.replace(folder.log.with_suffix(".log.1"))
    # The socket listens before the dispatcher runs, so that callers wait in its queue and need not poll.
    with folder.listen() as listener, folder.log.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", PACKAGE, "serve", "--listener", str(listener.fileno())],
            stdin=subprocess.PIPE, stdout=log, stderr=log,
            pass_fds=[listener.fileno()], start_new_session=True,
        )  # fmt: skip
    with check.not_none(process.stdin) as pipe:
        pipe.write(serialize_value(instance_ref).encode())


def stop_dispatcher(folder: LauncherFolder, timeout: float = 30.0) -> bool:
    """End the dispatcher of `folder` with all its workers, and wait for that.

    Runs in flight are interrupted and end as FAILURE; those that wait start with the next dispatcher.

    Args:
        folder: Where it listens.
        timeout: Seconds to wait for the answer; the end itself is waited for as long as it takes.

    Returns:
        Whether there was one.
    """
    try:
        with folder.connect(timeout) as connection:
            connection.sendall(Request(ask="stop").model_dump_json().encode() + b"\n")
            while connection.recv(4096):
                pass
    except OSError:
        return False
    with folder.lock("dispatcher"):
        return True
