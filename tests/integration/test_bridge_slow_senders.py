"""Senders that are slow, endless, or speak HTTP oddly: answered or cut off, never a 500, never in the way."""

import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import pytest

from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.bridge_server import KnownTenants, RunningBridge, body, shared_bridge, signed

CLOSE = b"Connection: close\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
HEAD = b"POST /webhook/servicedesk/acme HTTP/1.1\r\nHost: bridge\r\n"


@pytest.fixture(scope="module")
def bridge(postgres: EmbeddedPostgres) -> Iterator[RunningBridge]:
    with shared_bridge(postgres, KnownTenants(), webhook_body_seconds=0.5) as running:
        yield running


def exchange(bridge: RunningBridge, *pieces: bytes) -> bytes:
    """What comes back until the bridge closes the connection."""
    with socket.create_connection(("127.0.0.1", bridge.public_port), timeout=30) as connection:
        answer = b""
        try:
            for piece in pieces:
                connection.sendall(piece)
            while chunk := connection.recv(65536):
                answer += chunk
        except (ConnectionResetError, BrokenPipeError):
            pass
        return answer


def test_a_body_that_does_not_come_is_cut_off(bridge: RunningBridge) -> None:
    answer = exchange(bridge, HEAD + b"Content-Length: 1000\r\n\r\n", b"{")
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert bridge.send(ticket_id=uuid4().hex).status_code == 202


def test_a_head_that_does_not_come_is_cut_off(bridge: RunningBridge) -> None:
    with ThreadPoolExecutor(3) as threads:
        pieces = ((), (HEAD,), (HEAD + b"X-Slow: ",))
        answers = list(threads.map(lambda sent: exchange(bridge, *sent), pieces))
    assert [answer[:13] for answer in answers] == [b"HTTP/1.1 408 "] * 3


def test_a_head_without_end_is_refused(bridge: RunningBridge) -> None:
    answer = exchange(bridge, HEAD, *[b"X-Long: " + b"a" * 30_000 + b"\r\n"] * 10)
    assert answer[:12] in (b"HTTP/1.1 431", b"")
    assert bridge.send(ticket_id=uuid4().hex).status_code == 202


def test_a_chunked_body_without_end_is_refused(bridge: RunningBridge) -> None:
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    answer = exchange(bridge, HEAD + CHUNKED + CLOSE + b"\r\n", *[chunk] * 40)
    assert answer[:12] in (b"HTTP/1.1 413", b"")
    assert bridge.send(ticket_id=uuid4().hex).status_code == 202


@pytest.mark.parametrize(
    "endless",
    [b"1;" + b"x" * 65536 + b"\r\nx\r\n", b"0\r\n" + b"X-Trailer: x\r\n" * 5000],
    ids=["chunk extensions", "trailers"],
)
def test_what_surrounds_a_body_has_an_end_too(bridge: RunningBridge, endless: bytes) -> None:
    answer = exchange(bridge, HEAD + CHUNKED + b"\r\n", *[endless] * 400)
    assert answer[:10] in (b"HTTP/1.1 4", b"")
    assert bridge.send(ticket_id=uuid4().hex).status_code == 202


@pytest.mark.parametrize(
    "request_bytes",
    [
        HEAD + CLOSE + b"Content-Length: +2\r\n\r\n{}",
        HEAD + CLOSE + b"Content-Length: 2, 2\r\n\r\n{}",
        HEAD + CLOSE + b"Content-Length: \xb2\r\n\r\n{}",
        HEAD + CLOSE + b"Content-Length : 2\r\n\r\n{}",
        HEAD + CLOSE + b"Transfer-Encoding: gzip\r\n\r\n{}",
        HEAD + CLOSE + b"Transfer-Encoding: chunked, gzip\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + CLOSE + CHUNKED + CHUNKED + b"\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + CLOSE + CHUNKED + b"\r\n-2\r\n{}\r\n0\r\n\r\n",
        HEAD + CLOSE + CHUNKED + b"\r\n" + b"f" * 17 + b"\r\n{}\r\n0\r\n\r\n",
        HEAD + CLOSE + CHUNKED + b"\r\n0x2\r\n{}\r\n0\r\n\r\n",
        HEAD + CLOSE + CHUNKED + b"\r\n2\r\n{}x\r\n0\r\n\r\n",
        HEAD + CLOSE + CHUNKED + b'\r\n2;a="b\r\n{}\r\n0\r\nX: y\r\n\r\n',
        HEAD + CLOSE + b"X-Folded: a\r\n b\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + CLOSE + b"Expect: 200-ok\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + CLOSE + b"Host: other\r\nContent-Length: 2\r\n\r\n{}",
        HEAD + CLOSE + b"Cookie: \xff\xfe\r\nContent-Length: 2\r\n\r\n{}",
        HEAD.replace(b"/acme", b"/acme/../..//%2e%2e/acme") + CLOSE + b"Content-Length: 0\r\n\r\n",
        HEAD.replace(b"/acme", b"?x=\x80") + CLOSE + b"Content-Length: 0\r\n\r\n",
        HEAD + CLOSE + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}x",
        HEAD + CLOSE + CHUNKED + b"Content-Length: 2\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        HEAD + CLOSE + b"Content-Length: -1\r\n\r\n{}",
        HEAD + CLOSE + b"Content-Length: 99999999999999999999\r\n\r\n{}",
        HEAD + CLOSE + CHUNKED + b"\r\nZZ\r\n{}\r\n0\r\n\r\n",
        HEAD + CLOSE + b"X-Header: \x00\r\nContent-Length: 2\r\n\r\n{}",
        HEAD.replace(b"acme", b"\xff\xfe") + CLOSE + b"Content-Length: 0\r\n\r\n",
        HEAD.replace(b"acme", b"%ff%00") + CLOSE + b"Content-Length: 0\r\n\r\n",
        HEAD + b"Upgrade: websocket\r\nConnection: Upgrade, close\r\nContent-Length: 2\r\n\r\n{}",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET http:// HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        b"GET /healthz HTTP/9.9\r\n\r\n",
    ],
)
def test_odd_requests_are_refused(bridge: RunningBridge, request_bytes: bytes) -> None:
    answer = exchange(bridge, request_bytes)
    assert answer.startswith(b"HTTP/1.1 4")
    assert bridge.http.get("/healthz").status_code == 200


def test_a_sender_that_hangs_up_leaves_nothing(bridge: RunningBridge) -> None:
    bridge.empty()
    raw = body()
    head = "".join(f"{name}: {value}\r\n" for name, value in signed(raw).items()).encode()
    length = f"Content-Length: {len(raw)}\r\n\r\n".encode()
    for cut in (0, 1, len(raw) - 1):
        with socket.create_connection(("127.0.0.1", bridge.public_port)) as connection:
            connection.sendall(HEAD + head + length + raw[:cut])
    assert bridge.post(raw, signed(raw)).json()["status"] == "queued"
    assert bridge.count("jobs") == 1


def test_requests_sent_ahead_on_one_connection_are_all_answered(bridge: RunningBridge) -> None:
    bridge.empty()
    requests = b""
    for number in range(5):
        raw = body(ticket_id=str(number))
        head = "".join(f"{name}: {value}\r\n" for name, value in signed(raw).items()).encode()
        close = b"Connection: close\r\n" if number == 4 else b""
        requests += HEAD + head + close + f"Content-Length: {len(raw)}\r\n\r\n".encode() + raw
    assert exchange(bridge, requests).count(b"HTTP/1.1 202 ") == 5


def test_many_idle_connections_are_not_in_the_way(bridge: RunningBridge) -> None:
    idle = [socket.create_connection(("127.0.0.1", bridge.public_port)) for _ in range(300)]
    try:
        for connection in idle[:150]:
            connection.sendall(HEAD + b"Content-Length: 500000\r\n\r\n" + b"x" * 1000)
        assert bridge.send(ticket_id=uuid4().hex).status_code == 202
    finally:
        for connection in idle:
            connection.close()
