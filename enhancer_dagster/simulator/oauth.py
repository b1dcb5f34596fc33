"""The cloud's log-in: Zoho's token endpoint, and who may call the API in either edition.

Errors are as several clients quote them: HTTP 200 with `error` for wrong credentials, 400 "Access Denied"
for more than five refreshes a minute.
"""

import hmac
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.answers import Answer, forbidden, unauthorized

if TYPE_CHECKING:
    from enhancer_dagster.simulator.simulator import Simulator

TOKEN_PATH = "/oauth/v2/token"  # noqa: S105 - a path
_API_DOMAIN = "https://www.zohoapis.com"
_TOO_MANY = "You have made too many requests continuously. Please try again after some time."


def issue_token(simulator: "Simulator", query: bytes, body: bytes) -> Answer:
    """POST /oauth/v2/token, with its parameters in the address or in the body."""
    given = {
        name: values[0]
        for encoded in (query, body)
        for name, values in parse_qs(encoded.decode("utf-8", "replace")).items()
    }
    options = simulator.options
    if not simulator.refreshes.admit(options.token_refreshes_per_minute):
        refused = {"error_description": _TOO_MANY, "error": "Access Denied", "status": "failure"}
        return Answer(400, refused)
    expected = {"client_id": options.client_id, "client_secret": options.client_secret}
    for name, value in expected.items():
        if value is not None and not same_secret(given.get(name, ""), value):
            return Answer(200, {"error": f"invalid_{name.removesuffix('_id')}"})
    grant = given.get("grant_type")
    secret = given.get(
        {"refresh_token": "refresh_token", "authorization_code": "code"}.get(grant or "", ""), ""
    )
    if not same_secret(secret, options.api_key):
        return Answer(200, {"error": "invalid_code"})
    token = {
        "access_token": simulator.tokens.issue(options.token_seconds),
        "api_domain": _API_DOMAIN,
        "token_type": "Bearer",
        "expires_in": int(options.token_seconds),
    }
    return Answer(200, token | ({"refresh_token": options.api_key} if grant == "authorization_code" else {}))


def check_access(simulator: "Simulator", method: str, headers: Mapping[str, str]) -> None:
    """Let a call of the API in, or not.

    Raises:
        Refusal: The key or token is not valid, or may only read.
    """
    options = simulator.options
    if options.edition is Edition.CLOUD:
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme not in {"Zoho-oauthtoken", "Bearer"} or not simulator.tokens.accepts(token):
            raise unauthorized()
        return
    key = headers.get("authtoken") or headers.get("technician_key") or ""
    if same_secret(key, options.api_key):
        return
    if options.reader_key is None or not same_secret(key, options.reader_key):
        raise unauthorized()
    if method != "GET":
        raise forbidden()


def same_secret(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
