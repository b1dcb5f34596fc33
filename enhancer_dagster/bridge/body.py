"""Reading a stranger's body: never more than allowed, never longer than allowed, never too many at once."""

import asyncio

from starlette.requests import ClientDisconnect, Request

MAX_BODY_BYTES = 2**20
MAX_BYTES_IN_FLIGHT = 128 * 2**20
"""What unfinished bodies of all connections together may take up."""


class BodyTooLargeError(Exception):
    """The body is larger than 1 MiB."""


class BodyTooSlowError(Exception):
    """The body did not arrive in time, or its sender went away."""


class TooManyBodiesError(Exception):
    """Bodies in flight fill the memory set aside for them."""


class BodyReader:
    """Reads bodies piece by piece.

    Args:
        seconds: How long a body may take to arrive.
        in_flight: Most bytes of all bodies together.
    """

    def __init__(self, seconds: float, in_flight: int = MAX_BYTES_IN_FLIGHT) -> None:
        self._seconds = seconds
        self._room = in_flight

    async def read(self, request: Request) -> bytes:
        """The whole body.

        Raises:
            BodyTooLargeError: Announced or grown larger than 1 MiB; the rest is not read.
            BodyTooSlowError: It took too long.
            TooManyBodiesError: There is no room for it now.
        """
        announced = request.headers.get("content-length", "")
        if announced.isascii() and announced.isdigit() and int(announced[:12]) > MAX_BODY_BYTES:
            raise BodyTooLargeError
        body = bytearray()
        try:
            async with asyncio.timeout(self._seconds):
                async for piece in request.stream():
                    self._take(len(piece))
                    body += piece
                    if len(body) > MAX_BODY_BYTES:
                        raise BodyTooLargeError
        except (TimeoutError, ClientDisconnect) as error:
            raise BodyTooSlowError from error
        finally:
            self._room += len(body)
        return bytes(body)

    def _take(self, size: int) -> None:
        if size > self._room:
            raise TooManyBodiesError
        self._room -= size
