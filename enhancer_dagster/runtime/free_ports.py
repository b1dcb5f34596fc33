"""Free TCP ports for the demo, the benchmarks and the tests.

Asking the system for any port returns one of those that it also gives to outgoing connections. Such a
connection may take the port before the server that it was meant for listens, or while it is restarted.
"""

import itertools
import os
import socket
from pathlib import Path

from enhancer_dagster.domain.errors import ConfigurationError

FIRST_PORT = 16_384
BLOCK = 64
"""Ports that one process chooses from, so that two processes hardly ever choose the same one at once."""
OUTGOING_PORTS = Path("/proc/sys/net/ipv4/ip_local_port_range")
OUTGOING_PORTS_DEFAULT = 32_768

_turn = itertools.count()


def free_port(wanted: int | None = None) -> int:
    """A port of the loopback address that nobody listens on; the same one again only after many others.

    Args:
        wanted: The port to return where it is free.

    Raises:
        ConfigurationError: No port is free.
    """
    block = _block_of_this_process()
    if wanted is not None and _is_free(wanted):
        return wanted
    for turn in itertools.islice(_turn, BLOCK):
        port = block[turn % BLOCK]
        if _is_free(port):
            return port
    raise ConfigurationError(
        f"no port from {block.start} to {block.stop - 1} of the loopback address is free"
    )


def _block_of_this_process() -> range:
    try:
        last = int(OUTGOING_PORTS.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        last = OUTGOING_PORTS_DEFAULT
    blocks = max(1, (last - FIRST_PORT) // BLOCK)
    start = FIRST_PORT + os.getpid() % blocks * BLOCK
    return range(start, start + BLOCK)


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
