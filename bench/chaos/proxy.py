"""An HTTP proxy that shows every call to an observer, who may cut the connection at any moment of it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, TypeVar
from urllib.parse import urlsplit

MOST_BYTES = 16 * 2**20

Result = TypeVar("Result")


class Moment(StrEnum):
    """How far a call has come."""

    ARRIVED = "arrived"
    ANSWERED = "answered"
    DELIVERED = "delivered"


@dataclass
class Call:
    """One request, and its answer as soon as there is one. Header names are in lower case.

    Attributes:
        replaced: Whether an observer has put another answer in place of the server's.
    """

    service: str
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    status: int = 0
    answer: bytes = b""
    replaced: bool = False

    def replace(self, answer: bytes) -> None:
        """Answer with this JSON, and 200, whatever the server said."""
        self.status, self.answer, self.replaced = 200, answer, True


Observer = Callable[[Call, Moment], bool]
"""Sees a call; whether it may go on. Otherwise the connection is cut on both sides."""


@dataclass(frozen=True)
class _Message:
    head: bytes
    body: bytes
    first_line: list[str] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)


class Proxy:
    """Proxies on free loopback ports. Get it by `running_proxy`."""

    def __init__(self, observer: Observer) -> None:
        self.observer = observer
        self._loop = asyncio.new_event_loop()
        self._servers: list[asyncio.Server] = []
        threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True).start()

    def in_front_of(self, service: str, url: str) -> str:
        """Serve `url` under another address, which is returned; calls are shown as calls of `service`."""
        address = urlsplit(url)
        upstream = (str(address.hostname), address.port or 80)

        async def serve() -> int:
            async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._converse(service, upstream, reader, writer)

            server = await asyncio.start_server(converse, "127.0.0.1", 0, limit=MOST_BYTES)
            self._servers.append(server)
            return server.sockets[0].getsockname()[1]

        port = asyncio.run_coroutine_threadsafe(serve(), self._loop).result()
        return f"http://127.0.0.1:{port}{address.path}"

    def close(self) -> None:
        """Stop serving."""

        def stop() -> None:
            for server in self._servers:
                server.close()
            self._loop.stop()

        self._loop.call_soon_threadsafe(stop)

    async def _converse(
        self,
        service: str,
        upstream: tuple[str, int],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        writers = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(*upstream, limit=MOST_BYTES)
            writers.append(server_writer)
            while await self._pass_on(service, reader, writer, server_reader, server_writer):
                pass
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass  # one side has gone, and the other is told so by the end of its connection
        finally:
            for one in writers:
                one.close()

    async def _pass_on(
        self,
        service: str,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        server_reader: asyncio.StreamReader,
        server_writer: asyncio.StreamWriter,
    ) -> bool:
        request = await _unless_gone(_read(reader), server_reader)
        if request is None:
            return False
        call = Call(service, request.first_line[0], request.first_line[1], request.headers, request.body)
        if not self.observer(call, Moment.ARRIVED):
            return False
        server_writer.write(request.head + request.body)
        answer = await _unless_gone(_read(server_reader), reader)
        if answer is None:
            return False
        call.status, call.answer = int(answer.first_line[1]), answer.body
        if not self.observer(call, Moment.ANSWERED):
            return False
        writer.write(_as_answer(call.answer) if call.replaced else answer.head + answer.body)
        await writer.drain()
        return self.observer(call, Moment.DELIVERED)


@contextmanager
def running_proxy(observer: Observer) -> Iterator[Proxy]:
    """A proxy for the length of a `with` block."""
    proxy = Proxy(observer)
    try:
        yield proxy
    finally:
        proxy.close()


def _as_answer(content: bytes) -> bytes:
    head = f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


async def _read(reader: asyncio.StreamReader) -> _Message:
    head = await reader.readuntil(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    if "transfer-encoding" in headers:
        raise ValueError("chunked messages are not foreseen")
    body = await reader.readexactly(int(headers.get("content-length", 0)))
    return _Message(head, body, first.split(" "), headers)


async def _unless_gone(work: Coroutine[Any, Any, Result], other: asyncio.StreamReader) -> Result | None:
    """What `work` gives; None if the other side hangs up first."""
    task, gone = asyncio.ensure_future(work), asyncio.ensure_future(other.read(1))
    await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
    is_done = task.done()
    for one in (task, gone):
        one.cancel()
    await asyncio.wait({task, gone})
    return task.result() if is_done else None
