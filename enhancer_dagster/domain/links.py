"""Which links may stand in what we write: addresses that a source gave, and hosts the tenant trusts.

A link is how text leaks what the model has read: to a stranger's host, or in the query of a known one. So
an address from a source counts only as a whole, and a host only where the tenant named it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import unquote

from enhancer_dagster.domain.context import WorkflowState

REMOVED = "[link removed]"

_URL = re.compile(
    r"""(?:[a-z][a-z0-9+.-]{1,20}://|(?<![a-z0-9])www\.(?=\w))[^\s<>"'`\u201d\u2019]+""", re.IGNORECASE
)
_TRAILING = ".,;:!?*_~"
_BRACKETS = {"(": ")", "[": "]", "{": "}"}
_WEB_HOST = re.compile(
    r"https?://(?P<host>[a-z0-9.-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?(?=[/?#]|$)", re.IGNORECASE
)
"""No user name, no backslash, nothing that two readers may take for different hosts."""


@dataclass(frozen=True)
class AllowedLinks:
    """The addresses and hosts that links may point to; by default none.

    Attributes:
        addresses: Whole http(s) addresses.
        hosts: Host names, in lower case, of which every address is allowed.
    """

    addresses: frozenset[str] = frozenset()
    hosts: frozenset[str] = frozenset()

    @classmethod
    def from_sources(cls, state: WorkflowState, hosts: Iterable[str] = ()) -> "AllowedLinks":
        """The addresses that stand in the sources of `state`, and the tenant's own `hosts`."""
        texts = [part for t in state.similar_tickets for part in (t.subject, t.resolution)]
        texts += [part for a in state.kb_articles for part in (a.title, a.content)]
        addresses = {
            _canonical(_without_punctuation(m.group())) for text in texts for m in _URL.finditer(text)
        }
        return cls(frozenset(addresses), frozenset(host.lower() for host in hosts))

    def admits(self, address: str) -> bool:
        """Whether a link may point to `address`."""
        web = _WEB_HOST.match(address)
        if web is None or any(c in address for c in '\\"<>') or not address.isprintable():
            return False
        host = web.group("host").lower().rstrip(".")
        return host in self.hosts or _canonical(address) in self.addresses

    def filtered(self, text: str) -> str:
        """`text` with addresses that are not allowed taken out: mail programs turn them into links."""
        parts: list[str] = []
        position = 0
        while found := _URL.search(text, position):
            address = _without_punctuation(found.group())
            parts += [text[position : found.start()], address if self.admits(address) else REMOVED]
            position = found.start() + len(address)
        return "".join([*parts, text[position:]])


def _without_punctuation(found: str) -> str:
    """An address without the punctuation of the sentence around it."""
    awaited: list[str] = []
    for place, character in enumerate(found):
        if character in _BRACKETS:
            awaited.append(_BRACKETS[character])
        elif character in _BRACKETS.values() and (not awaited or awaited.pop() != character):
            return found[:place].rstrip(_TRAILING)
    return found.rstrip(_TRAILING)


def _canonical(address: str) -> str:
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme.lower()}{separator}{host.lower()}{slash}{unquote(path)}".rstrip("/")
