"""Does a word look like a secret? Words of prose, identifiers, versions, dates and addresses do not."""

import re

from enhancer_dagster.domain.redaction.vocabulary import CLAUSE_END, INFLECTED, PROSE, UNIT

_NOT_SECRETS = re.compile(
    r"""
    \d+(?:[.,:/-]\d+)*[%a-z]{0,12}                      # numbers, versions, dates, times, "30-day"
    |v\d+(?:[._-]\w+)*
    |[A-Za-z]{1,12}[-_#]?\d{1,8}(?:[-_][A-Za-z]{0,6}\d{0,4})?       # INC0012345, LT-2231, page2
    |(?:[A-Za-z]{1,12}[-_]){1,4}\d{1,8}                 # SRV-APP-01
    |\d{1,4}(?:st|nd|rd|th|x)
    |(?:\d{1,3}\.){3}\d{1,3}(?:[:/]\d{1,5})?
    |[0-9a-f]{1,4}(?::[0-9a-f]{0,4}){2,7}               # IPv6 and MAC
    |(?:[0-9a-f]{2}[-:]){5}[0-9a-f]{2}
    |0x[0-9a-f]{1,16}
    |\{?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\}?
    |(?:[0-9a-f]{32}|[0-9a-f]{40}|[0-9a-f]{64})
    |[^\s@]{1,64}@(?:[\w-]{1,63}\.){1,6}[a-z]{2,24}     # e-mail
    |(?:https?|ftp|file|smb)://\S*
    |(?:[a-z]:)?[\\/]\S*                                # paths
    |(?:[\w-]{1,63}\.){1,6}[a-z]{2,6}                   # host names, files
    |\w{1,40}\([^()]{0,80}\)?                           # calls
    |<[^<>]{1,80}>|%\w{1,40}%|\$(?:\{\w{1,40}\}|env:\w{1,40}|[a-z_]{1,40})
    |\[[^\[\]]{0,120}\]?
    """,
    re.IGNORECASE | re.VERBOSE,
)
_TICKET_LIKE = re.compile(
    r"(?:KB|INC|TKT|RITM|REQ|CHG|PRB|CS|HOST|IP|ERR|AADSTS|EVENT)[-_#]?\d+", re.IGNORECASE
)
_IS_ADDRESS = re.compile(
    r"(?:https?://|\\\\|0x[0-9a-fA-F]{1,8}$|\d{4}-\d\d-\d\d|\d{1,2}[./]\d{1,2}[./]\d{2,4}$)"
)
_NAME_WITH_NUMBER = re.compile(
    r"(?!(?:Windows|Office|Outlook|Exchange|Server|Share[Pp]oint|Version|Build|Page|Step|Error|Event|Word|Excel|Room"
    r"|Port|Project|Visio|Acrobat|Raum|Seite|Schritt|Fehler|Kee[Pp]ass)[-_.]?\d)[A-ZÄÖÜ][a-zäöüß]{3,20}[-_.]?\d{2,8}"
)
_STRENGTH = re.compile(r"[0-9!@#$%^&*+?=~§€£|]")
_LETTER = re.compile(r"[^\W\d_]")
_NO_VALUE = re.compile(
    r"(?:[*•●.xX_?#\-\u2013\u2014…]{1,80}|n/?a|\\?\[[A-Z_\\]{2,30}(?:\\?_\d+)?\\?\]?"
    r"|<[^<>]{0,80}>|\([^()]{0,80}\)?|\[[^\[\]]{0,80}\]?|%\w{1,40}%|\$\{\w{1,40}\}|\{\{?\w{0,40}\}?\}|https?://\S*|\\?[\"'`*]{1,3})"
)


def is_no_value(word: str) -> bool:
    """Whether `word` stands where a secret would, and is none: asterisks, a placeholder, "n/a"."""
    return not word or _NO_VALUE.fullmatch(word) is not None


def is_prose(word: str) -> bool:
    """Whether `word` is one that is said about passwords rather than a password."""
    plain = word.casefold().strip("'\u2019")
    return plain in PROSE or INFLECTED.fullmatch(plain) is not None


def is_strong(word: str, *, shortest: int = 6) -> bool:
    """Whether `word` looks like a secret wherever it stands: letters with digits or signs, no identifier."""
    return (
        len(word) >= shortest
        and _LETTER.search(word) is not None
        and _STRENGTH.search(word) is not None
        and _NOT_SECRETS.fullmatch(word) is None
    )


def is_mixed(word: str, *, shortest: int = 4) -> bool:
    """Whether `word` may be a secret where one is named: it is not of letters alone, nor a ticket's id."""
    return (
        len(word) >= shortest
        and _STRENGTH.search(word) is not None
        and _LETTER.search(word) is not None
        and _TICKET_LIKE.fullmatch(word) is None
        and _IS_ADDRESS.match(word) is None
    )


def is_name_with_number(word: str) -> bool:
    """Whether `word` is "Sommer2024" or the like, and not a product: the usual temporary password."""
    return _NAME_WITH_NUMBER.fullmatch(word) is not None


def is_plain_word(word: str) -> bool:
    """Whether `word` is of letters alone."""
    return len(word) >= 4 and word.replace("-", "").isalpha()


def is_number(word: str) -> bool:
    """Whether `word` is of digits alone, enough for a PIN."""
    return len(word) >= 4 and word.isdecimal()


def ends_clause(text: str, position: int) -> bool:
    """Whether nothing follows `position` that would make what stands before it a part of prose."""
    return CLAUSE_END.match(text, position) is not None


def counts_something(text: str, position: int) -> bool:
    """Whether a unit follows: "8 characters", "90 days"."""
    return UNIT.match(text, position) is not None
