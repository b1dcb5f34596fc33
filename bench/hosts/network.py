"""Hosts as network namespaces, each on a cable to a switch in this one; needs root and iproute2."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from itertools import islice

from enhancer_dagster.domain.errors import ConfigurationError

GONE_SECONDS = 10.0


class Host:
    """A network namespace with one address.

    Args:
        name: As people call it.
        namespace: Its name for the kernel.
        cable: The end of its cable at the switch.
        address: Its own.
    """

    def __init__(self, name: str, namespace: str, cable: str, address: str) -> None:
        self.name = name
        self.address = address
        self._namespace = namespace
        self._cable = cable

    def command(self, *command: str) -> tuple[str, ...]:
        """`command`, to be run on this host."""
        return ("ip", "netns", "exec", self._namespace, *command)

    def cut_off(self) -> None:
        """Pull its cable: no packet comes through, and nobody is told."""
        _ip("link", "set", self._cable, "down")

    def connect(self) -> None:
        """Put its cable back."""
        _ip("link", "set", self._cable, "up")

    def kill(self) -> None:
        """End all of its processes by SIGKILL and wait until they are gone."""
        give_up_at = time.monotonic() + GONE_SECONDS
        while pids := _ip("netns", "pids", self._namespace).split():
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            if time.monotonic() > give_up_at:
                raise ConfigurationError(f"processes on host {self.name} cannot be ended: {', '.join(pids)}")
            time.sleep(0.02)


class Network:
    """Hosts that reach each other and this machine.

    Args:
        address: Of this machine, at the switch.
        hosts: By name.
    """

    def __init__(self, subnet: IPv4Network, address: str, hosts: dict[str, Host]) -> None:
        self.subnet = subnet
        self.address = address
        self.hosts = hosts


def why_no_network() -> str | None:
    """Why hosts cannot be made here; None if they can."""
    if shutil.which("ip") is None:
        return "ip (iproute2) is not installed"
    probe = f"probe-{secrets.token_hex(4)}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    _ip("netns", "del", probe)
    return None


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """A switch and hosts; at the end both are gone, and whatever runs on them.

    Raises:
        ConfigurationError: They cannot be made.
    """
    # The range is set aside for benchmarks of networks (RFC 2544), so nobody's routes are in the way.
    tag, subnet = secrets.token_hex(3), IPv4Network((f"198.18.{secrets.randbelow(256)}.0", 24))
    own, *addresses = map(str, islice(subnet.hosts(), len(names) + 1))
    switch = f"sw{tag}"
    hosts = {
        name: Host(name, f"{name}-{tag}", f"c{number}{tag}", address)
        for number, (name, address) in enumerate(zip(names, addresses, strict=True))
    }
    try:
        _ip("link", "add", switch, "type", "bridge")
        _ip("address", "add", f"{own}/{subnet.prefixlen}", "dev", switch)
        _ip("link", "set", switch, "up")
        for host in hosts.values():
            _wire(host, switch, subnet.prefixlen)
        yield Network(subnet, own, hosts)
    finally:
        for host in hosts.values():
            with suppress(ConfigurationError):
                host.kill()
            with suppress(ConfigurationError):
                _ip("netns", "del", host._namespace)
        with suppress(ConfigurationError):
            _ip("link", "del", switch)


def _wire(host: Host, switch: str, prefix_length: int) -> None:
    _ip("netns", "add", host._namespace)
    _ip("link", "add", host._cable, "type", "veth", "peer", "name", "eth0", "netns", host._namespace)
    _ip("link", "set", host._cable, "master", switch, "up")
    inside = ("-n", host._namespace)
    _ip(*inside, "address", "add", f"{host.address}/{prefix_length}", "dev", "eth0")
    for device in ("lo", "eth0"):
        _ip(*inside, "link", "set", device, "up")


def _ip(*arguments: str) -> str:
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConfigurationError(f"ip {' '.join(arguments)} failed: {done.stderr.strip()}")
    return done.stdout
