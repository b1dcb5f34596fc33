"""IP addresses and host names in a ticket's text, to be looked up in the inventory."""

import re
from collections.abc import Iterator
from ipaddress import IPv6Address, ip_address
from itertools import islice

MOST_ADDRESSES = 50
MOST_HOST_NAMES = 1000

_VERSION = re.compile(
    r"(?:\b(?:version|vers?|v|build|release|firmware|rev(?:ision)?|patch|driver)|\bv)\.?\s*[:=#]?\s*$",
    re.IGNORECASE,
)
_IPV4 = r"(?<![\w.])(?P<v4>[0-9]{1,3}(?:\.[0-9]{1,3}){3})(?!\w|\.[0-9])"
_IPV6 = (
    r"(?:(?<![\w:.])|(?<=[g-z6]:))"
    r"(?P<v6>(?:[0-9a-f]{0,4}:){2,7}(?:[0-9a-f]{1,4}|[0-9]{1,3}(?:\.[0-9]{1,3}){3})?)"
    r"(?!\w|:\w|\.[0-9])"
)
_ADDRESS = re.compile(f"{_IPV6}|{_IPV4}", re.IGNORECASE | re.ASCII)
_BYTE_GROUPS = re.compile(r"[0-9a-f]{2}(?::[0-9a-f]{2}){7}", re.IGNORECASE)

_WORD = re.compile(r"[\w-]+(?:\.[\w-]+)*")
_HOST_NAME = re.compile(
    r"(?=.{2,253}$)(?=.*[a-z])[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*",
    re.ASCII,
)


def find_addresses(text: str) -> tuple[str, ...]:
    """Every IPv4 and IPv6 address in `text`, in order, each once, in its canonical form.

    Ports, brackets, prefix lengths and zones are left off; an IPv4 address written as IPv6 counts as IPv4.
    Version numbers, times, MAC addresses and worldwide names are not addresses.

    Args:
        text: Any text; at most `MOST_ADDRESSES` are returned.
    """
    return tuple(islice(dict.fromkeys(_addresses(text)), MOST_ADDRESSES))


def find_host_names(text: str) -> tuple[str, ...]:
    """Words of `text` that could be host names, in lower case, in order, each once.

    Meant to be compared with names that the inventory knows, so nearly every word counts. Names with a
    digit, a hyphen or a dot come first; of a name with dots its first label is offered, too.

    Args:
        text: Any text; at most `MOST_HOST_NAMES` are returned.
    """
    names = dict.fromkeys(_host_names(text.lower()))
    telling = [name for name in names if not name.isalpha()]
    plain = [name for name in names if name.isalpha()]
    return tuple((telling + plain)[:MOST_HOST_NAMES])


def _addresses(text: str) -> Iterator[str]:
    for found in _ADDRESS.finditer(text):
        v4, v6 = found.group("v4"), _without_colon(found.group("v6") or "")
        if v4 and _VERSION.search(text, max(0, found.start() - 12), found.start()):
            continue
        if v6 and (_BYTE_GROUPS.fullmatch(v6) or not any(map(str.isdigit, v6))):
            continue
        try:
            address = ip_address(v4 or v6)
        except ValueError:
            continue
        mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
        yield str(mapped or address)


def _without_colon(v6: str) -> str:
    """`v6` without the colon of the sentence around it."""
    return v6[:-1] if v6.endswith(":") and not v6.endswith("::") else v6


def _host_names(text: str) -> Iterator[str]:
    for found in _WORD.finditer(text):
        before = text[found.start() - 1 : found.start()]
        name = found.group()
        if before == "@" or not _HOST_NAME.fullmatch(name):
            continue
        yield name
        label, dot, _ = name.partition(".")
        if dot and not label.isdigit():
            yield label
