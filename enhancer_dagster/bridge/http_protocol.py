"""uvicorn's HTTP protocol with what it lacks against slow and endless senders: a deadline for every request.

The application times the body; this covers what it never sees, and what is sent after its answer.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_SECONDS = 10.0
REQUEST_SECONDS = 30.0
MAX_HEAD_BYTES = 64 * 1024
MAX_REQUEST_BYTES = 16 * 1024 * 1024
"""Chunk sizes, extensions and trailers count here, which no limit on the body sees."""


class ImpatientProtocol(HttpToolsProtocol):
    """Closes a connection whose request head, or whole request, does not arrive in time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._deadline: asyncio.TimerHandle | None = None
        self._in_head = True
        self._request_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the clock for the first request."""
        super().connection_made(transport)
        self._expect(HEAD_SECONDS)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop it."""
        self._expect(None)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser, and give up on a head or a request without end."""
        super().data_received(data)
        self._request_bytes += len(data)
        if self._in_head and self._request_bytes > MAX_HEAD_BYTES:
            self._refuse(b"431 Request Header Fields Too Large")
        elif self._request_bytes > MAX_REQUEST_BYTES:
            self._refuse(b"413 Content Too Large")

    def on_message_begin(self) -> None:
        """A request begins: its head is due."""
        super().on_message_begin()
        self._in_head, self._request_bytes = True, 0
        self._expect(HEAD_SECONDS)

    def on_headers_complete(self) -> None:
        """The head is there: the rest is due."""
        super().on_headers_complete()
        self._in_head = False
        self._expect(REQUEST_SECONDS)

    def on_message_complete(self) -> None:
        """The request is there: the answer may take its time."""
        super().on_message_complete()
        self._expect(None)

    def _expect(self, seconds: float | None) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        late = b"408 Request Timeout"
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._refuse, late)

    def _refuse(self, status: bytes) -> None:
        if self.transport.is_closing():
            return
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(
                b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
            )
        self.transport.close()
