"""An event loop that connects to allowed addresses only, whatever a name resolves to.

The check stands where a socket connects: a name that changes its address between a check and its use (DNS
rebinding) gains nothing, and every library that runs on the loop is held to it. It costs nothing a request.
With a proxy in the environment (`HTTPS_PROXY`) the address that counts is the proxy's.
"""

import asyncio
import socket
from ipaddress import ip_address
from typing import Any

from enhancer_dagster.domain.destinations import Destinations


class AddressRefusedError(OSError):
    """The address is none to which connections are made; the message says why and what to do."""


class GuardedEventLoop(asyncio.SelectorEventLoop):
    """A loop whose TCP connections go where `destinations` lets them."""

    def __init__(self, destinations: Destinations) -> None:
        super().__init__()
        self._destinations = destinations

    async def sock_connect(self, sock: socket.socket, address: Any) -> None:
        """Connect, as every connection of an event loop does in the end.

        Raises:
            AddressRefusedError: The address is not allowed; nothing was sent to it.
        """
        refusal = self._destinations.refusal(ip_address(address[0]))
        if refusal:
            raise AddressRefusedError(refusal)
        await super().sock_connect(sock, address)


def refusal_behind(error: BaseException | None) -> str | None:
    """The words of an `AddressRefusedError` among the causes of `error`, None where there is none."""
    while error is not None:
        if isinstance(error, AddressRefusedError):
            return str(error)
        if isinstance(error, BaseExceptionGroup):
            return next(filter(None, map(refusal_behind, error.exceptions)), None)
        error = error.__cause__ or error.__context__
    return None
