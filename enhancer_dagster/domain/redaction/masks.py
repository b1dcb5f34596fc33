"""Texts with placeholders instead of what was found in them."""

from collections import Counter
from collections.abc import Iterable

from enhancer_dagster.domain.redaction.credentials import find_credentials
from enhancer_dagster.domain.redaction.found import Found, Kind
from enhancer_dagster.domain.redaction.words import is_strong
from enhancer_dagster.domain.text import without_hidden

_MOST_REPEATED = 50
"""Values that are looked for again where nothing announces them; more make no ticket of a person's."""


def without_credentials(text: str) -> str:
    """`text` with `[PASSWORD]` and the like for the credentials in it, and without hidden characters.

    The placeholders bear no number: numbers are given within one ticket, and this may be any text.
    """
    text = without_hidden(text)
    return _replaced(text, ((found, f"[{found.kind}]") for found in find_credentials(text)))


class CredentialMask:
    """Replaces credentials in all texts of one ticket: the same one by the same placeholder everywhere."""

    def __init__(self) -> None:
        self._placeholders: dict[str, str] = {}
        self._counts: Counter[Kind] = Counter()

    def masked(self, text: str) -> str:
        """`text` with `[PASSWORD_1]` and the like for its credentials, and without hidden characters.

        One that was found before, here or in an earlier text, is found again wherever it stands.
        """
        text = without_hidden(text)
        found = find_credentials(text)
        named = [(one, self._placeholder(one.kind, one.value(text))) for one in found]
        masked = _replaced(text, named)
        for value, placeholder in list(self._placeholders.items())[:_MOST_REPEATED]:
            if is_strong(value):
                masked = masked.replace(value, placeholder)
        return masked

    def _placeholder(self, kind: Kind, value: str) -> str:
        if value not in self._placeholders:
            self._counts[kind] += 1
            self._placeholders[value] = f"[{kind}_{self._counts[kind]}]"
        return self._placeholders[value]


def _replaced(text: str, found: Iterable[tuple[Found, str]]) -> str:
    parts: list[str] = []
    position = 0
    for one, placeholder in found:
        parts += [text[position : one.start], placeholder]
        position = one.end
    return "".join([*parts, text[position:]])
