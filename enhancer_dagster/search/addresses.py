"""IPv4 and IPv6 addresses in a text."""

import ipaddress
import re

# Generous: `ipaddress` decides. Not within a longer word or number.
_CANDIDATE = re.compile(
    r"(?<![\w.:])(?:\d{1,3}(?:\.\d{1,3}){3}|[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f.]{0,15}){2,8})(?![\w])"
)


def find_addresses(text: str) -> list[str]:
    """The addresses in `text`, each once, in canonical form and in order."""
    found: dict[str, None] = {}
    for candidate in _CANDIDATE.findall(text):
        try:
            found[str(ipaddress.ip_address(candidate.rstrip(".")))] = None
        except ValueError:
            continue
    return list(found)
