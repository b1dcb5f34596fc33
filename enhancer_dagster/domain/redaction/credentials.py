"""All credentials in a text."""

from enhancer_dagster.domain.redaction.found import Found, merged
from enhancer_dagster.domain.redaction.library import find_known_tokens
from enhancer_dagster.domain.redaction.prose import find_in_prose
from enhancer_dagster.domain.redaction.tokens import find_tokens
from enhancer_dagster.domain.redaction.urls import find_in_technical_text

_FINDERS = (find_tokens, find_known_tokens, find_in_technical_text, find_in_prose)


def find_credentials(text: str) -> list[Found]:
    """Passwords, keys and tokens in `text`, in order and without overlap.

    The time it takes is linear in the length of the text, whoever wrote it.
    """
    return merged(found for finder in _FINDERS for found in finder(text))
