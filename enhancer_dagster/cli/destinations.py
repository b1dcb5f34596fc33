"""What is said about the addresses of a tenant when they are typed in, before anything connects to them."""

import socket
from collections.abc import Iterable
from ipaddress import ip_address

from pydantic import HttpUrl

from enhancer_dagster.cli.common import errors
from enhancer_dagster.domain.destinations import Destinations
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.tenants import Tenant


def require_reachable(tenant: Tenant, destinations: Destinations) -> None:
    """Stop where no call to the tenant's service desk would be let out; warn where its name is not known yet.

    Names are looked up once more at every connection, so this is for the person who types, not the defence.

    Raises:
        ConfigurationError: An address is not allowed; the message says which setting would allow it.
    """
    desk = tenant.service_desk
    for url in filter(None, (desk.base_url, desk.accounts_url)):
        refusal = destinations.refusal_of_url(str(url)) or _refusal_of_host(url, destinations)
        if refusal:
            raise ConfigurationError(f"{url}: {refusal}")


def described(destinations: Destinations) -> str:
    """What is allowed, in words."""
    schemes = "https:// and http://" if destinations.allow_http else "https:// only"
    networks = ", ".join(map(str, destinations.private_networks))
    return f"{schemes}; {f'public ones and {networks}' if networks else 'public ones only'}"


def _refusal_of_host(url: HttpUrl, destinations: Destinations) -> str | None:
    host = (url.host or "").strip("[]")
    try:
        found = {info[4][0] for info in socket.getaddrinfo(host, url.port, type=socket.SOCK_STREAM)}
    except OSError:
        errors.print(
            f"[yellow]warning:[/yellow] {host} has no address here yet; `enhancer doctor` tries it again",
            highlight=False,
        )
        return None
    return _common_refusal(sorted(map(str, found)), destinations)


def _common_refusal(addresses: Iterable[str], destinations: Destinations) -> str | None:
    """Why none of `addresses` is allowed, None where one is."""
    refusals = [destinations.refusal(ip_address(address)) for address in addresses]
    return None if None in refusals else refusals[0]
