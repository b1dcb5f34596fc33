"""Credentials and personal data in text that strangers wrote, found and replaced by placeholders.

Text of tickets, articles and inventory passes through here before it is indexed, searched with, put into a
prompt or written into a section. Placeholders look like `[PASSWORD_1]`.
"""

from enhancer_dagster.domain.redaction.credentials import find_credentials
from enhancer_dagster.domain.redaction.found import Found, Kind
from enhancer_dagster.domain.redaction.masks import (
    CredentialMask,
    PersonalDataMask,
    without_credentials,
    without_personal_data,
)
from enhancer_dagster.domain.redaction.personal import find_personal_data

__all__ = [
    "CredentialMask",
    "Found",
    "Kind",
    "PersonalDataMask",
    "find_credentials",
    "find_personal_data",
    "without_credentials",
    "without_personal_data",
]
