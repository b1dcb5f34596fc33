"""What the other side said, for an error's message: it may repeat what was sent, a ticket's text for one."""

from collections.abc import Iterable

from pydantic import SecretStr

from enhancer_dagster.domain.redaction import without_credentials
from enhancer_dagster.domain.text import shorten, storable

_MOST_READ = 5_000
_MOST_SHOWN = 500


def quotable(said: str, sent: Iterable[SecretStr] = ()) -> str:
    """`said` on one line, without any secret that was sent and without credentials of whoever wrote it.

    Args:
        said: From anyone, of any length.
        sent: Secrets of the exchange; of "Zoho-oauthtoken …" the last word counts.
    """
    text = storable(said[:_MOST_READ])
    for secret in sent:
        text = _without(secret, text)
    return shorten(without_credentials(text), _MOST_SHOWN)


def _without(secret: SecretStr, text: str) -> str:
    value = secret.get_secret_value().rpartition(" ")[2]
    return text.replace(value, "***") if len(value) > len("***") else text
