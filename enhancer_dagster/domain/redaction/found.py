"""What was found in a text, and where."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Kind(StrEnum):
    """What a placeholder stands for."""

    PASSWORD = "PASSWORD"  # noqa: S105 (a name)
    API_KEY = "API_KEY"
    TOKEN = "TOKEN"  # noqa: S105
    PRIVATE_KEY = "PRIVATE_KEY"
    EMAIL = "EMAIL"
    PHONE = "PHONE"
    CARD = "CARD"


@dataclass(frozen=True, slots=True)
class Found:
    """A stretch of a text."""

    start: int
    end: int
    kind: Kind

    def value(self, text: str) -> str:
        """What stands there."""
        return text[self.start : self.end]


def merged(found: Iterable[Found]) -> list[Found]:
    """`found` in the order of the text; where some overlap, one for them all, of the longest one's kind."""
    result: list[Found] = []
    longest = 0
    for one in sorted(found, key=lambda f: (f.start, -f.end)):
        length = one.end - one.start
        if result and one.start < result[-1].end:
            last = result[-1]
            kind = one.kind if length > longest else last.kind
            result[-1] = Found(last.start, max(last.end, one.end), kind)
            longest = max(longest, length)
        else:
            result.append(one)
            longest = length
    return result
