"""Whether a source holds the code that an answer shows: a technician may run what stands in a block."""

import re

_MOST_LINES = 100
_BEFORE = r"(?<![^\s\"'`(\[])"
_AFTER = r"(?=[\"'`)\],.;:!?]{0,4}(?:\s|$))"


def holds_code(source: str, code: str) -> bool:
    """Whether every line of `code` stands in `source`, from word to word; white space does not count.

    Args:
        source: Plain text.
        code: Lines; of more than a section could hold none are looked for.
    """
    text = " ".join(source.split())
    lines = {" ".join(line.split()) for line in code.splitlines()} - {""}
    if len(lines) > _MOST_LINES:
        return False
    return all(re.search(f"{_BEFORE}{re.escape(line)}{_AFTER}", text) for line in lines)
