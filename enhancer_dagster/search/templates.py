"""Lines that many documents share word for word: forms, signatures, disclaimers. They tell nothing apart.

Lines of a ticket form ("Steps to reproduce:") make unlike tickets look alike, so they are left out of what
is compared. Which lines these are is learnt from the corpus at build time and stored with the snapshot.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable

SHARED_BY_AT_LEAST = 5
"""Documents in which a line must stand, however small the corpus."""
SHARED_BY_SHARE = 0.01
"""Share of the corpus in which a line must stand."""


def find_template_lines(bodies: Iterable[str]) -> frozenset[int]:
    """The keys of lines that stand in at least 1 % of `bodies` and in no fewer than five."""
    counts: Counter[int] = Counter()
    total = 0
    for body in bodies:
        total += 1
        counts.update({_key(line) for line in body.split("\n")})
    least = max(SHARED_BY_AT_LEAST, SHARED_BY_SHARE * total)
    return frozenset(key for key, count in counts.items() if count >= least)


def without_template_lines(body: str, templates: frozenset[int]) -> str:
    """`body` without template lines; as it is where nothing would be left (tickets made by a machine)."""
    if not templates:
        return body
    kept = "\n".join(line for line in body.split("\n") if _key(line) not in templates)
    return kept if kept.strip() else body


def _key(line: str) -> int:
    plain = " ".join(line.lower().split())
    return int.from_bytes(hashlib.blake2b(plain.encode("utf-8", "replace"), digest_size=8).digest(), "big")
