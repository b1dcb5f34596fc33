"""A new access token from Zoho's accounts server, which tells its failures with HTTP 200 too."""

import json
from collections.abc import Mapping
from datetime import timedelta
from http import HTTPStatus
from typing import Any

from pydantic import SecretStr

from enhancer_dagster.adapters.service_desk.oauth import OAuthClient
from enhancer_dagster.adapters.service_desk.wire import Answer, Exchange, process_wire
from enhancer_dagster.adapters.service_desk.words import quotable
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.destinations import Destinations
from enhancer_dagster.domain.errors import (
    EnhancerError,
    ServiceDeskThrottledError,
    ServiceDeskUnauthorizedError,
    ServiceDeskUnavailableError,
    WriteOutcomeUnknownError,
)

LIFETIME = timedelta(hours=1)
THROTTLE_WINDOW_SECONDS = 60.0
_NAME = "OAuth refresh"


def refresh_access_token(
    client: OAuthClient, deadline: Deadline, *, destinations: Destinations
) -> tuple[SecretStr, timedelta]:
    """Ask for a token; returns it with its lifetime.

    Raises:
        ConfigurationError: The accounts server is at an address to which no connection is made.
        ServiceDeskUnauthorizedError: The client or its refresh token is not accepted.
        ServiceDeskThrottledError: Too many tokens were asked for.
        ServiceDeskUnavailableError: The accounts server did not answer, or not sensibly.
    """
    form = {
        "grant_type": "refresh_token",
        "client_id": client.client_id,
        "client_secret": client.client_secret.get_secret_value(),
        "refresh_token": client.refresh_token.get_secret_value(),
    }
    try:
        exchange = Exchange(_NAME, "POST", client.token_url, form=form)
        answer = process_wire(destinations).send(exchange, deadline)
    except WriteOutcomeUnknownError as error:
        # A token that nobody uses does no harm: this write may be repeated.
        raise ServiceDeskUnavailableError(str(error)) from error
    payload = _json(answer)
    token = payload.get("access_token")
    if isinstance(token, str) and token.isascii() and token.isprintable() and token:
        return SecretStr(token), _lifetime(payload.get("expires_in"))
    said = str(payload.get("error", "no access_token in the answer"))
    raise _refusal(answer, quotable(said, (client.client_secret, client.refresh_token)))


def _json(answer: Answer) -> Mapping[str, Any]:
    try:
        payload = json.loads(answer.body)
    except (ValueError, RecursionError):
        payload = None
    if not isinstance(payload, dict):
        raise ServiceDeskUnavailableError(f"{_NAME}: HTTP {answer.status}, the body is no JSON object")
    return payload


def _lifetime(expires_in: object) -> timedelta:
    if isinstance(expires_in, int) and 0 < expires_in <= LIFETIME.total_seconds():
        return timedelta(seconds=expires_in)
    return LIFETIME


def _refusal(answer: Answer, said: str) -> EnhancerError:
    message = f"{_NAME}: HTTP {answer.status}, {said}"
    if answer.status == HTTPStatus.TOO_MANY_REQUESTS or b"too many requests" in answer.body.lower():
        return ServiceDeskThrottledError(message, retry_after=THROTTLE_WINDOW_SECONDS)
    if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return ServiceDeskUnavailableError(message)
    return ServiceDeskUnauthorizedError(f"{message}; make a new refresh token for this tenant")
