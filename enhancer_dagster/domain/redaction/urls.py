"""Secrets inside addresses, connection strings, headers and command lines.

Only the secret itself is taken, not the host beside it: the inventory is looked up by that.
"""

import re
from collections.abc import Iterator

from enhancer_dagster.domain.redaction.found import Found, Kind

_END = r"""[^\s"'<>&#;,\[\]]"""
_NAME = r"[\w.\\@$-]{1,64}+"

# `secret` is what is taken. Each pattern begins with fixed characters and goes on with bounded or possessive
# quantifiers, so that it is linear in the length of the text.
_PATTERNS = (
    (Kind.PASSWORD, re.compile(r"://[^\s/@:]{0,100}+:(?P<secret>[^\s/]{1,200})@")),
    (Kind.PASSWORD, re.compile(
        rf"[?&;](?:password|passwd|pwd|pass)=(?P<secret>{_END}{{1,200}}+)", re.IGNORECASE
    )),
    (Kind.TOKEN, re.compile(
        rf"[?&](?:(?:access_?|refresh_?|id_?|auth_?|session_?|sas_?)?(?:token|key|secret|sig|signature|session)"
        rf"|api_?key|client_?secret|code|x-amz-signature|x-amz-security-token|authtoken)"
        rf"=(?P<secret>{_END}{{12,2000}}+)", re.IGNORECASE
    )),
    (Kind.API_KEY, re.compile(
        r"\b(?:AccountKey|SharedAccessKey|SharedSecret|EndpointKey)=(?P<secret>[A-Za-z0-9+/=_-]{20,200}+)",
        re.IGNORECASE,
    )),
    (Kind.TOKEN, re.compile(
        r"\bSharedAccessSignature=(?P<secret>[^\s;\"']{20,600}+)", re.IGNORECASE
    )),
    (Kind.TOKEN, re.compile(
        r"\b(?:Proxy-)?Authorization[\"']?[ \t]{0,3}[:=][ \t]{0,3}[\"']?"
        r"(?:(?:Basic|Bearer|Digest|NTLM|Negotiate|Token|Zoho-oauthtoken|ApiKey|AWS4-HMAC-SHA256)[ \t]{1,3})?"
        r"(?P<secret>[^\s\"',]{6,4000}+)", re.IGNORECASE
    )),
    (Kind.TOKEN, re.compile(
        r"\b(?:Bearer|Zoho-oauthtoken)[ \t]{1,3}(?=[A-Za-z._~+/=-]{0,100}\d)"
        r"(?P<secret>[A-Za-z0-9._~+/=-]{16,4000}+)", re.IGNORECASE
    )),
    (Kind.TOKEN, re.compile(r"\b(?:Set-)?Cookie:[ \t]{0,3}(?P<secret>[^\n]{1,4000}+)", re.IGNORECASE)),
    (Kind.PASSWORD, re.compile(
        rf"\bnet1?(?:\.exe)? user {_NAME} (?P<secret>(?!/)[^\s]{{3,100}}+)", re.IGNORECASE
    )),
    (Kind.PASSWORD, re.compile(
        rf"[ \t]/u(?:ser)?:{_NAME} (?P<secret>(?![/\\*-])[^\s]{{3,100}}+)", re.IGNORECASE
    )),
    (Kind.PASSWORD, re.compile(
        rf"[ \t](?:-u|--user|--proxy-user)[ =]{{0,2}}[\"']?{_NAME}:(?P<secret>[^\s\"']{{3,100}}+)"
    )),
    (Kind.PASSWORD, re.compile(
        r"\b(?:sshpass|psexec(?:64)?|plink|pscp|mysql|mysqldump|smbclient|ldapsearch|ldapwhoami|sqlcmd|osql"
        r"|docker login|rdesktop|xfreerdp|7z|unzip)\b"
        r"[^\n]{0,120}?[ \t](?:-[pPw] ?|/p:)[\"']?(?P<secret>(?![-/ ])[^\s\"']{3,100}+)", re.IGNORECASE
    )),
    (Kind.PASSWORD, re.compile(
        r"\bConvertTo-SecureString(?: -String)? [\"'](?P<secret>[^\"'\n]{3,200})[\"']", re.IGNORECASE
    )),
    (Kind.PASSWORD, re.compile(
        r"<(?:\w{1,20}:)?\w{0,20}(?:password|passwd|pwd|secret|apikey)>(?P<secret>[^<\n]{1,200})</",
        re.IGNORECASE,
    )),
    (Kind.TOKEN, re.compile(
        r"\botpauth://[^\s]{1,200}?[?&]secret=(?P<secret>[A-Z2-7]{8,128}+)", re.IGNORECASE
    )),
)  # fmt: skip


def find_in_technical_text(text: str) -> Iterator[Found]:
    """Secrets where a machine would look for them."""
    for kind, pattern in _PATTERNS:
        for found in pattern.finditer(text):
            start, end = found.span("secret")
            yield Found(start, end, kind)
