"""E-mail addresses, phone numbers and card numbers."""

import re
from collections.abc import Iterator

import phonenumbers

from enhancer_dagster.domain.redaction.found import Found, Kind, merged

_EMAIL = re.compile(
    r"(?<![\w.+%'-])[\w+%'-](?:[\w.+%'-]{0,62}[\w+%'-])?@(?:[\w-]{1,63}\.){1,8}[A-Za-z]{2,24}(?![\w-])"
)
# Up to 19 digits in groups. Numbers with dots between them are addresses, versions and dates.
_CARD = re.compile(r"(?<![\w.-])\d(?:[ -]?\d){12,18}(?![\w-]|\.\d)")
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}|3[47]\d{13}"
    r"|6(?:011\d{12}|5\d{14}|4[4-9]\d{13})|3(?:0[0-5]|[68]\d)\d{11}|35(?:2[89]|[3-8]\d)\d{12}"
)
_INTERNATIONAL = re.compile(r"(?<![\w.+-])(?:\+|00)(?=[1-9])\d{1,3}(?:[ ()/.-]{0,3}\d){5,14}(?![\w-]|\.\d)")
_ANNOUNCED = re.compile(
    r"""
    (?<![A-Za-z])(?:
        tel(?:efon|ephone)?(?:nummer)? | phone | mobile? | cell | handy | fax | durchwahl | rückruf | anruf
        | hotline | rufnummer | call(?:[ ]me)?(?:[ ]back)? | reach[ ]me | ring
        | (?:my|his|her|desk|office|direct|contact)[ ]number
    )
    (?:[ ]?(?:no\.? | number | nr\.?))?\.?[ ]?(?:is | on | at | under | unter | ist | auf)?[ ]?[:=]?[ ]{0,2}
    (?P<number>\(?\d(?:[ ()/-]{0,2}\d){5,14})(?![\w-]|\.\d)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def find_personal_data(text: str) -> list[Found]:
    """E-mail addresses, phone and card numbers in `text`, in order and without overlap.

    Phone numbers are found in international form where they are valid ones, and in any local form where a
    word announces them: digits alone are more often a ticket's.
    """
    return merged([*_emails(text), *_cards(text), *_phones(text)])


def _emails(text: str) -> Iterator[Found]:
    for found in _EMAIL.finditer(text):
        yield Found(found.start(), found.end(), Kind.EMAIL)


def _cards(text: str) -> Iterator[Found]:
    for found in _CARD.finditer(text):
        digits = re.sub(r"[ -]", "", found.group())
        if _ISSUERS.fullmatch(digits) and _passes_luhn(digits):
            yield Found(found.start(), found.end(), Kind.CARD)


def _phones(text: str) -> Iterator[Found]:
    for found in _INTERNATIONAL.finditer(text):
        if _is_phone(found.group()):
            yield Found(found.start(), found.end(), Kind.PHONE)
    for found in _ANNOUNCED.finditer(text):
        start, end = found.span("number")
        yield Found(start, end, Kind.PHONE)


def _is_phone(number: str) -> bool:
    digits = f"+{number[2:]}" if number.startswith("00") else number
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(digits, None))
    except phonenumbers.NumberParseException:
        return False


def _passes_luhn(digits: str) -> bool:
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0
