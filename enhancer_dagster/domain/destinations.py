"""Which addresses service desks and LLM gateways may have.

Whoever may set an address could otherwise point it at this machine, at its neighbours, or at the cloud's
metadata service, which hands out keys.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

LOOPBACK: tuple[Network, ...] = (ip_network("127.0.0.0/8"), ip_network("::1/128"))

_METADATA = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",  # link-local: AWS, Google, Azure, OpenStack and most others
            "fe80::/10",
            "fd00:ec2::/32",  # AWS over IPv6
            "fd20:ce::254/128",  # Google over IPv6
            "100.100.100.200/32",  # Alibaba
            "168.63.129.16/32",  # Azure's wire server
            "192.0.0.192/32",  # Oracle
        ),
    )
)
_NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True)
class Destinations:
    """What the operator allows beyond public addresses over https.

    Attributes:
        allow_http: Whether addresses may be `http://`.
        private_networks: Networks in which service desks and gateways may be, this machine's included.
    """

    allow_http: bool = False
    private_networks: tuple[Network, ...] = ()

    def refusal_of_url(self, url: str) -> str | None:
        """Why `url` cannot be used, as far as can be said without asking for its host's address.

        Args:
            url: With scheme and host.
        """
        parts = urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and self.allow_http):
            return (
                f"{parts.hostname} is {parts.scheme}://, where anyone could read tickets and keys: use "
                "https://, or set ENHANCER_ALLOW_HTTP=true for a test or a server on this machine"
            )
        try:
            address = ip_address(parts.hostname or "")
        except ValueError:
            return None
        return self.refusal(address)

    def refusal(self, address: Address) -> str | None:
        """Why no connection to `address` is made, None where one may be."""
        meant = tuple(_meant_by(address))
        if any(_is_never_a_server(one) for one in meant):
            return f"{address} is a link-local, metadata or special address, where no service is looked for"
        if all(one.is_global or self._is_allowed(one) for one in meant):
            return None
        return (
            f"{address} is a private address: if the server is meant to be there, allow its network, "
            f"ENHANCER_PRIVATE_NETWORKS={ip_network(meant[0])} (several by commas)"
        )

    def _is_allowed(self, address: Address) -> bool:
        return any(address in network for network in self.private_networks)


PUBLIC_ONLY = Destinations()
"""Where the operator allowed nothing more."""


def _is_never_a_server(address: Address) -> bool:
    special = address.is_unspecified or address.is_multicast or address == IPv4Address("255.255.255.255")
    return special or any(address in network for network in _METADATA)


def _meant_by(address: Address) -> Iterator[Address]:
    """`address`, or the IPv4 address that it stands for; both where a relay on the way would decide."""
    if isinstance(address, IPv4Address):
        yield address
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
        return
    yield address
    if address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFFFFFF)
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield address.teredo[1]
