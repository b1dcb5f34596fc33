"""Keys and tokens that are told by their form, as far as the library does not know them."""

import re
from collections.abc import Iterator
from itertools import zip_longest

from enhancer_dagster.domain.redaction.found import Found, Kind

# Every quantifier is bounded or possessive, and every pattern begins where no longer run of the same
# characters goes before: so each is linear in the length of the text.
_BY_FORM = (
    (Kind.TOKEN, re.compile(  # JSON web tokens
        r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{8,}+\.[A-Za-z0-9_-]{4,}+(?:\.[A-Za-z0-9_-]*+){0,3}"
    )),
    (Kind.API_KEY, re.compile(
        r"(?<![A-Za-z0-9])(?:"
        r"sk-(?:ant-|proj-|or-|svcacct-)?[A-Za-z0-9_-]{20,}+"       # OpenAI, Anthropic, OpenRouter
        r"|[sr]k_test_[0-9A-Za-z]{16,}+|whsec_[A-Za-z0-9+/=]{20,}+"  # Stripe, Standard Webhooks
        r"|AIza[0-9A-Za-z_-]{35}|GOCSPX-[A-Za-z0-9_-]{28}"          # Google
        r"|[A-Za-z0-9_~.-]{3}\dQ~[A-Za-z0-9_~.-]{31,34}"            # Microsoft Entra client secret
        r"|NRAK-[A-Z0-9]{27}|PMAK-[0-9a-f-]{30,80}|lin_api_[A-Za-z0-9]{30,60}"
        r"|AGE-SECRET-KEY-1[A-Z0-9]{58})"
    )),
    (Kind.TOKEN, re.compile(
        r"(?<![A-Za-z0-9])(?:"
        r"github_pat_[A-Za-z0-9_]{30,100}|npm_[A-Za-z0-9]{36}|hf_[A-Za-z]{30,40}|dckr_pat_[A-Za-z0-9_-]{20,40}"
        r"|do[opr]_v1_[a-f0-9]{64}|shp(?:at|ca|pa|ss)_[a-fA-F0-9]{32}|sq0atp-[A-Za-z0-9_-]{22}"
        r"|hv[sbr]\.[A-Za-z0-9_-]{24,300}"                       # HashiCorp Vault
        r"|xapp-\d-[A-Z0-9]{5,20}-\d{5,20}-[a-f0-9]{30,80}|xox[abeoprs]-[A-Za-z0-9-]{20,200}"
        r"|ATATT3[A-Za-z0-9_=-]{50,300}|figd_[A-Za-z0-9_-]{30,60}|ya29\.[A-Za-z0-9_-]{30,400}"
        r"|1000\.[0-9a-f]{32}\.[0-9a-f]{32})"                       # Zoho, ServiceDesk Plus in the cloud
    )),
    (Kind.TOKEN, re.compile(  # an address that anyone may post to
        r"https://[\w.-]{1,80}/(?:webhookb2|api/webhooks)/[A-Za-z0-9/@_-]{20,300}"
    )),
    (Kind.PASSWORD, re.compile(r"(?<![\d-])\d{6}(?:-\d{6}){7}(?![\d-])")),  # BitLocker recovery key
    (Kind.PASSWORD, re.compile(r"(?<![0-9a-fA-F])[0-9a-fA-F]{32}:[0-9a-fA-F]{32}(?=:::)")),  # Windows
    (Kind.PASSWORD, re.compile(  # hashes of passwords, as in /etc/shadow
        r"\$(?:1|2[abxy]|5|6|7|y|argon2(?:id?|d))\$[./A-Za-z0-9=,+-]{1,64}\$[./A-Za-z0-9=,$+]{20,200}"
        r"|\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}"
    )),
)  # fmt: skip

_KEY_MARK = re.compile(r"-{4,5} ?(?P<mark>BEGIN|END) (?:[A-Z0-9]{2,10} ){0,3}PRIVATE KEY(?: BLOCK)? ?-{4,5}")
_KEY_BODY = re.compile(
    r"(?:[ \t\r\n]*+(?:[A-Za-z0-9+/=]{16,}+|(?:Proc-Type|DEK-Info|Comment|Version): ?[^\n]*+))*+"
)
_PUTTY_LINES = re.compile(r"Private-Lines: ?\d{1,4}(?=\s)")
_LONGEST_KEY = 20_000


def find_tokens(text: str) -> Iterator[Found]:
    """Keys and tokens told by their form, private keys among them."""
    for kind, pattern in _BY_FORM:
        for found in pattern.finditer(text):
            yield Found(found.start(), found.end(), kind)
    yield from _private_keys(text)


def _private_keys(text: str) -> Iterator[Found]:
    """Blocks from their first line to their last; of one that is cut off, what looks like a key."""
    marks = list(_KEY_MARK.finditer(text))
    for mark, following in zip_longest(marks, marks[1:]):
        if mark.group("mark") == "END":
            continue
        end = following.end() if following and following.group("mark") == "END" else None
        if end is None or end - mark.start() > _LONGEST_KEY:
            end = _end_of_key(text, mark.end())
        yield Found(mark.start(), end, Kind.PRIVATE_KEY)
    for lines in _PUTTY_LINES.finditer(text):
        if (end := _end_of_key(text, lines.end())) > lines.end():
            yield Found(lines.end() + 1, end, Kind.PRIVATE_KEY)


def _end_of_key(text: str, start: int) -> int:
    body = _KEY_BODY.match(text, start)
    return body.end() if body else start
