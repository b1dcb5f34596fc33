"""A scripted ServiceDesk Plus on a free loopback port: it answers what a test tells it, and keeps a log."""

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from enhancer_dagster.adapters.service_desk.oauth import AccessToken
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.tenants import Edition, ServiceDeskConnection, Tenant

KEY = "0DFF5B4E-TECHNICIAN-KEY"
SUCCESS = {"status_code": 2000, "status": "success"}


@dataclass
class Reply:
    """One answer.

    Attributes:
        body: Bytes as they are, anything else as JSON.
        drip: Send the whole answer, status line included, a byte every so many seconds.
        hang: Send nothing and wait for the client to go.
        reset: Cut the connection without an answer.
    """

    status: int = 200
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    drip: float | None = None
    hang: bool = False
    reset: bool = False

    def content(self) -> bytes:
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass
class Seen:
    """One call as the server saw it."""

    method: str
    path: str
    headers: Mapping[str, str]
    query: Mapping[str, str]
    form: Mapping[str, str]
    client_port: int

    @property
    def input_data(self) -> Any:
        given = self.form.get("input_data", self.query.get("input_data"))
        return None if given is None else json.loads(given)


class ScriptedServer:
    """Answers by (method, path) from a list of replies, of which the last repeats."""

    def __init__(self, port: int, scheme: str) -> None:
        self.port = port
        self.url = f"{scheme}://127.0.0.1:{port}"
        self.seen: list[Seen] = []
        self.bytes_dripped = 0
        self._replies: dict[tuple[str, str], list[Reply]] = {}

    def on(self, method: str, path: str, *replies: Reply) -> None:
        """Answer calls to `path`, below the API's address or from the root where it begins with a slash."""
        self._replies[method, path if path.startswith("/") else f"/api/v3/{path}"] = list(replies)

    def take(self, seen: Seen) -> Reply:
        self.seen.append(seen)
        replies = self._replies.get((seen.method, seen.path))
        if replies is None:
            return not_found()
        return replies.pop(0) if len(replies) > 1 else replies[0]

    def calls(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if seen.method == method and seen.path.endswith(path)]


def not_found() -> Reply:
    message = {"status_code": 4007, "type": "failed", "message": "Invalid URL"}
    return Reply(404, {"response_status": {"status_code": 4000, "messages": [message], "status": "failed"}})


def refused(status: int, code: int, message: str, **more: Any) -> Reply:
    said = {"status_code": code, "type": "failed", "message": message, **more}
    return Reply(status, {"response_status": {"status_code": 4000, "messages": [said], "status": "failed"}})


def record(key: str, **fields: Any) -> Reply:
    return Reply(200, {key: fields, "response_status": SUCCESS})


def rows(key: str, *items: Mapping[str, Any], has_more: bool = False) -> Reply:
    about = {"has_more_rows": has_more, "start_index": 1, "row_count": len(items)}
    return Reply(200, {key: items, "list_info": about, "response_status": [SUCCESS]})


def ok() -> Reply:
    return Reply(200, {"response_status": SUCCESS})


class MemoryStore:
    """The tokens of one process; the real store is tested with the real PostgreSQL."""

    def __init__(self) -> None:
        self.token: AccessToken | None = None

    def load(self, tenant_id: str) -> AccessToken | None:
        return self.token

    def renew(
        self,
        tenant_id: str,
        usable: Callable[[AccessToken], bool],
        refresh: Callable[[], AccessToken],
        deadline: Deadline,
    ) -> AccessToken:
        if self.token is None or not usable(self.token):
            self.token = refresh()
        return self.token


@contextmanager
def scripted_server(tls: ssl.SSLContext | None = None) -> Iterator[ScriptedServer]:
    """Run a server until the end of the block."""

    class Handler(_Handler):
        pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as http:
        http.daemon_threads = True
        if tls is not None:
            http.socket = tls.wrap_socket(http.socket, server_side=True)
        Handler.script = ScriptedServer(http.server_address[1], "http" if tls is None else "https")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Handler.script
        finally:
            http.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    script: ScriptedServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def _answer(self) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        seen = Seen(
            method=self.command,
            path=url.path,
            headers={name.lower(): value for name, value in self.headers.items()},
            query={name: values[0] for name, values in parse_qs(url.query).items()},
            form={name: values[0] for name, values in parse_qs(body.decode()).items()},
            client_port=self.client_address[1],
        )
        self._send(self.script.take(seen))

    def _send(self, reply: Reply) -> None:
        if reply.reset:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.close()
            self.close_connection = True
        elif reply.hang:
            self.connection.recv(1)
            self.close_connection = True
        elif reply.drip is not None:
            self._drip(reply, reply.drip)
        else:
            self.wfile.write(_raw(reply))

    def _drip(self, reply: Reply, pause: float) -> None:
        self.close_connection = True
        for byte in _raw(reply):
            try:
                self.connection.sendall(bytes([byte]))
            except OSError:
                return
            self.script.bytes_dripped += 1
            time.sleep(pause)


def _raw(reply: Reply) -> bytes:
    content = reply.content()
    lines = [f"HTTP/1.1 {reply.status} Status", f"Content-Length: {len(content)}"]
    lines += [f"{name}: {value}" for name, value in reply.headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def onprem_tenant(url: str, **more: Any) -> Tenant:
    """A tenant on premises whose service desk is at `url`."""
    desk = {"edition": Edition.ONPREM, "base_url": url, "api_key": KEY, **more}
    return Tenant(tenant_id="acme", service_desk=ServiceDeskConnection.model_validate(desk))


def cloud_tenant(url: str, **more: Any) -> Tenant:
    """A cloud tenant whose service desk and accounts server are at `url`."""
    desk = {
        "edition": Edition.CLOUD,
        "base_url": f"{url}/app/itdesk",
        "accounts_url": url,
        "client_id": "1000.CLIENT",
        "client_secret": "the-client-secret",
        "refresh_token": "1000.the-refresh-token",
        **more,
    }
    return Tenant(tenant_id="nimbus", service_desk=ServiceDeskConnection.model_validate(desk))
