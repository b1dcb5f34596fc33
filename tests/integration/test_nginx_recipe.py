"""deploy/nginx/enhancer.conf, with Debian's nginx: what it lets through, to whom, and what it adds."""

import json
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from enhancer_dagster.runtime.free_ports import free_port
from tests.live import eventually
from tests.nginx import running_nginx

MIB = 2**20
PASSWORD = ("alice", "correct horse")


class Echo(BaseHTTPRequestHandler):
    """Answers with what it was sent."""

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {name.lower(): value for name, value in self.headers.items()}
        told = json.dumps({"path": self.path, "size": len(body), "headers": headers}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def echo_server() -> Iterator[int]:
    """A server behind the proxy; its port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@dataclass
class Proxy:
    """An nginx that runs."""

    http: httpx.Client
    plain_port: int

    def ask(self, host: str, path: str, **request: object) -> httpx.Response:
        headers = {"Host": host, **request.pop("headers", {})}  # type: ignore[dict-item]
        return self.http.request(str(request.pop("method", "GET")), path, headers=headers, **request)  # type: ignore[arg-type]

    def webhook(self, body: bytes = b"{}", **headers: str) -> httpx.Response:
        path = "/webhook/servicedesk/acme"
        return self.ask("enhancer.example.com", path, method="POST", content=body, headers=headers)

    def ui(self, password: tuple[str, str] | None = PASSWORD, **headers: str) -> httpx.Response:
        return self.ask("dagster.example.com", "/graphql", auth=password, headers=headers)


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxy]:
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "htpasswd").write_text(f"{PASSWORD[0]}:{{PLAIN}}{PASSWORD[1]}\n")
    with ExitStack() as stack:
        ports = {name: stack.enter_context(echo_server()) for name in ("webhooks", "ui")}
        plain_port = free_port()
        here = {
            "listen 80;": f"listen 127.0.0.1:{plain_port};",
            "127.0.0.1:8080": f"127.0.0.1:{ports['webhooks']}",
            "127.0.0.1:3000": f"127.0.0.1:{ports['ui']}",
            "/etc/nginx/enhancer.htpasswd": str(folder / "htpasswd"),
        }
        http = stack.enter_context(running_nginx(folder, "enhancer.conf", here))
        running = Proxy(http, plain_port)
        eventually(lambda: answers(running), "nginx answers")
        yield running


def answers(proxy: Proxy) -> bool:
    try:
        return proxy.ask("enhancer.example.com", "/").status_code == 404
    except httpx.TransportError:
        return False


def test_a_webhook_passes_as_it_is_and_carries_the_senders_address(proxy: Proxy) -> None:
    signature = {"X-ServiceDesk-Signature": "sha256=00", "X-Forwarded-For": "203.0.114.7"}
    told = proxy.webhook(b"x" * MIB, **signature).raise_for_status().json()
    assert (told["path"], told["size"]) == ("/webhook/servicedesk/acme", MIB)
    assert told["headers"]["x-servicedesk-signature"] == "sha256=00"
    assert told["headers"]["x-forwarded-for"] == "127.0.0.1", "what a sender says of itself is not believed"


def test_a_larger_webhook_stops_at_the_proxy(proxy: Proxy) -> None:
    assert proxy.webhook(b"x" * (MIB + 1)).status_code == 413


@pytest.mark.parametrize("path", ["/", "/v1/claims", "/readyz", "/graphql", "/webhook/../v1/claims"])
def test_nothing_but_webhooks_is_public(proxy: Proxy, path: str) -> None:
    assert proxy.ask("enhancer.example.com", path).status_code == 404


@pytest.mark.parametrize("password", [None, ("alice", "wrong"), ("eve", "correct horse")])
def test_the_ui_wants_the_password(proxy: Proxy, password: tuple[str, str] | None) -> None:
    assert proxy.ui(password).status_code == 401


def test_the_ui_is_there_with_it_and_is_not_told_it(proxy: Proxy) -> None:
    answer = proxy.ui(Upgrade="websocket", Connection="Upgrade").raise_for_status()
    headers = answer.json()["headers"]
    assert (headers["upgrade"], headers["connection"]) == ("websocket", "upgrade")
    assert "authorization" not in headers
    assert answer.headers["x-frame-options"] == "DENY"


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://dagster.example.com", 200),
        ("https://dagster.example.com:8443", 200),
        ("https://evil.example", 403),
        ("http://dagster.example.com", 403),
        ("https://dagster.example.com.evil.example", 403),
        ("null", 403),
    ],
)
def test_no_other_site_can_use_a_browsers_password(proxy: Proxy, origin: str, status: int) -> None:
    assert proxy.ui(Origin=origin).status_code == status


def test_plain_http_is_sent_to_https(proxy: Proxy) -> None:
    answer = httpx.get(
        f"http://127.0.0.1:{proxy.plain_port}/x?y=1", headers={"Host": "dagster.example.com"}, timeout=30
    )
    assert (answer.status_code, answer.headers["location"]) == (301, "https://dagster.example.com/x?y=1")
