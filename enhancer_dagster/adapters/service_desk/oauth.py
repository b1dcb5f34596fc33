"""The cloud's log-in: access tokens that live an hour, shared by all workers of an installation.

Zoho's accounts server gives out few tokens a minute (five, says SDP's documentation). So a refresh happens
under a lock that all workers see and ahead of expiry. A token that is rejected early is replaced once; if
the new one is rejected too, the next is not asked for before a minute is over.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from loguru import logger
from pydantic import SecretStr

from enhancer_dagster.domain.deadlines import Deadline

REFRESH_AHEAD = timedelta(minutes=5)
LEAST_BETWEEN_REJECTIONS = timedelta(minutes=1)
REFRESH_SECONDS = 10.0

Headers = Mapping[str, SecretStr]


@dataclass(frozen=True)
class OAuthClient:
    """What a tenant's access tokens are made from.

    Attributes:
        token_url: `{accounts_url}/oauth/v2/token`.
    """

    token_url: str
    client_id: str
    client_secret: SecretStr
    refresh_token: SecretStr

    @property
    def origin(self) -> str:
        """A digest of it all: a stored token that was made from other credentials is not used."""
        secrets = (self.client_secret.get_secret_value(), self.refresh_token.get_secret_value())
        return hashlib.sha256("\x00".join((self.token_url, self.client_id, *secrets)).encode()).hexdigest()


@dataclass(frozen=True)
class AccessToken:
    """An access token.

    Attributes:
        origin: The `OAuthClient.origin` it was made from.
        after_rejection: Whether it was made because the one before it was answered with 401.
    """

    value: SecretStr
    origin: str
    obtained_at: datetime
    expires_at: datetime
    after_rejection: bool = False


class TokenStore(Protocol):
    """Where the workers share their tokens."""

    def load(self, tenant_id: str) -> AccessToken | None:
        """The stored token, however old."""
        ...

    def renew(
        self,
        tenant_id: str,
        usable: Callable[[AccessToken], bool],
        refresh: Callable[[], AccessToken],
        deadline: Deadline,
    ) -> AccessToken:
        """The stored token if it is `usable`, else what `refresh` gives, stored; one worker at a time.

        Raises:
            ServiceDeskUnavailableError: Another worker held the lock until the deadline.
        """
        ...


Refresh = Callable[[OAuthClient, Deadline], tuple[SecretStr, timedelta]]
"""Asks the accounts server for a token; returns it with its lifetime."""


class OAuthCredentials:
    """The `Authorization` header of one cloud tenant, in this process.

    Args:
        clock: The time of day, UTC.
    """

    def __init__(
        self,
        tenant_id: str,
        client: OAuthClient,
        store: TokenStore,
        refresh: Refresh,
        clock: Callable[[], datetime],
    ) -> None:
        self._tenant_id = tenant_id
        self._client = client
        self._store = store
        self._refresh = refresh
        self._clock = clock
        self._held: AccessToken | None = None

    def headers(self, deadline: Deadline) -> Headers:
        """The header with a token that lives for some minutes more."""
        if self._held is None or not self._is_fresh(self._held):
            self._held = self._stored() or self._renew(self._is_fresh, deadline)
        return _header(self._held)

    def renewed(self, rejected: Headers, deadline: Deadline) -> Headers | None:
        """The header with another token than the `rejected` one, None where another would not help."""

        def usable(token: AccessToken) -> bool:
            age = self._clock() - token.obtained_at
            another_is_no_better = token.after_rejection and age < LEAST_BETWEEN_REJECTIONS
            return self._is_fresh(token) and (another_is_no_better or _header(token) != rejected)

        self._held = self._renew(usable, deadline, after_rejection=True)
        headers = _header(self._held)
        return None if headers == rejected else headers

    def _is_fresh(self, token: AccessToken) -> bool:
        ahead = min(REFRESH_AHEAD, (token.expires_at - token.obtained_at) / 10)
        return token.origin == self._client.origin and token.expires_at - self._clock() > ahead

    def _stored(self) -> AccessToken | None:
        token = self._store.load(self._tenant_id)
        return token if token is not None and self._is_fresh(token) else None

    def _renew(
        self, usable: Callable[[AccessToken], bool], deadline: Deadline, *, after_rejection: bool = False
    ) -> AccessToken:
        limit = deadline.within(REFRESH_SECONDS)

        def refresh() -> AccessToken:
            value, lifetime = self._refresh(self._client, limit)
            logger.bind(tenant_id=self._tenant_id).info("new OAuth token, valid for {}", lifetime)
            now = self._clock()
            return AccessToken(value, self._client.origin, now, now + lifetime, after_rejection)

        return self._store.renew(self._tenant_id, usable, refresh, limit)


def _header(token: AccessToken) -> Headers:
    return {"Authorization": SecretStr(f"Zoho-oauthtoken {token.value.get_secret_value()}")}
