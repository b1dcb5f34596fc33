"""Texts with placeholders instead of what was found in them."""

import re
from collections import Counter
from collections.abc import Iterable
from itertools import islice

from enhancer_dagster.domain.redaction.credentials import find_credentials
from enhancer_dagster.domain.redaction.found import Found, Kind
from enhancer_dagster.domain.redaction.personal import find_personal_data
from enhancer_dagster.domain.redaction.words import is_strong
from enhancer_dagster.domain.text import without_hidden

_PLACEHOLDER = re.compile(r"\[(?P<name>(?:EMAIL|PHONE|CARD)_\d{1,6})\]")
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
        self._named = _Placeholders()

    def masked(self, text: str) -> str:
        """`text` with `[PASSWORD_1]` and the like for its credentials, and without hidden characters.

        One that was found before, here or in an earlier text, is found again wherever it stands.
        """
        text = without_hidden(text)
        masked = self._named.put_into(text, find_credentials(text))
        for value, placeholder in islice(self._named.by_value.items(), _MOST_REPEATED):
            if is_strong(value):
                masked = masked.replace(value, placeholder)
        return masked


def without_personal_data(text: str) -> str:
    """`text` with `[EMAIL]` and the like for the personal data in it."""
    return _replaced(text, ((found, f"[{found.kind}]") for found in find_personal_data(text)))


class PersonalDataMask:
    """Replaces personal data in all texts of one prompt, and puts it back into the answer."""

    def __init__(self) -> None:
        self._named = _Placeholders()

    def masked(self, text: str) -> str:
        """`text` with `[EMAIL_1]` and the like for the personal data in it.

        What looks like such a placeholder beforehand gets other brackets: nobody can have a value put where
        it does not belong.
        """
        text = _PLACEHOLDER.sub(r"(\g<name>)", text)
        return self._named.put_into(text, find_personal_data(text))

    def restored(self, text: str) -> str:
        """`text` with every value in the place of its placeholder."""
        values = {placeholder: value for value, placeholder in self._named.by_value.items()}
        return _PLACEHOLDER.sub(lambda found: values.get(found.group(), found.group()), text)


class _Placeholders:
    """A placeholder for every value, numbered by kind in the order in which they come."""

    def __init__(self) -> None:
        self.by_value: dict[str, str] = {}
        self._counts: Counter[Kind] = Counter()

    def put_into(self, text: str, found: Iterable[Found]) -> str:
        return _replaced(text, [(one, self._of(one.kind, one.value(text))) for one in found])

    def _of(self, kind: Kind, value: str) -> str:
        if value not in self.by_value:
            self._counts[kind] += 1
            self.by_value[value] = f"[{kind}_{self._counts[kind]}]"
        return self.by_value[value]


def _replaced(text: str, found: Iterable[tuple[Found, str]]) -> str:
    parts: list[str] = []
    position = 0
    for one, placeholder in found:
        parts += [text[position : one.start], placeholder]
        position = one.end
    return "".join([*parts, text[position:]])
