"""A way to PostgreSQL's socket that a test can cut and open again."""

import contextlib
import socket
import threading
from pathlib import Path


class UnixProxy:
    """Listens in `folder` as PostgreSQL would, and passes connections on to `target` while it is open.

    Args:
        folder: Where clients look for the socket (`host` of a connection string).
        target: The folder of the real socket.
    """

    NAME = ".s.PGSQL.5432"

    def __init__(self, folder: Path, target: Path) -> None:
        self.open = False
        self._target = target / self.NAME
        folder.mkdir(parents=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(folder / self.NAME))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening."""
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.open:
                    self._connect(client)
                else:
                    client.close()

    def _connect(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.connect(str(self._target))
        for source, sink in ((client, server), (server, client)):
            threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
