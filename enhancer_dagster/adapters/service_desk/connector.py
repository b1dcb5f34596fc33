"""Gives each tenant its client (`domain.ports.ServiceDesks`)."""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

from pydantic import HttpUrl, SecretStr

from enhancer_dagster.adapters.service_desk.api import Api, ApiKey, Credentials
from enhancer_dagster.adapters.service_desk.assets import AssetForm
from enhancer_dagster.adapters.service_desk.client import ServiceDeskPlus
from enhancer_dagster.adapters.service_desk.oauth import OAuthClient, OAuthCredentials, TokenStore
from enhancer_dagster.adapters.service_desk.refresh import refresh_access_token
from enhancer_dagster.domain.destinations import PUBLIC_ONLY, Destinations
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.domain.tenants import Edition, ServiceDeskConnection, Tenant


def utc_now() -> datetime:
    """The time of day, UTC."""
    return datetime.now(UTC)


class ServiceDeskConnector:
    """Connects to the service desks of all tenants; connections are pooled by process underneath.

    Args:
        tokens: Where cloud tenants' access tokens are shared.
        destinations: Where service desks may be.
        clock: The time of day, UTC; injected by tests.
        sleep: Waits so many seconds between attempts; injected by tests.
    """

    def __init__(
        self,
        *,
        tokens: TokenStore,
        destinations: Destinations = PUBLIC_ONLY,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._tokens = tokens
        self._destinations = destinations
        self._clock = clock
        self._sleep = sleep
        self._asset_forms: dict[tuple[str, str], AssetForm] = {}
        self._cloud_credentials: dict[tuple[str, str], OAuthCredentials] = {}

    def connect(self, tenant: Tenant, correlation_id: UUID | None = None) -> ServiceDeskPlus:
        """A client whose every call carries `correlation_id`. Nothing is sent yet.

        Raises:
            ConfigurationError: The tenant's address or credentials cannot be used.
        """
        desk = tenant.service_desk
        base_url = self._address(desk.base_url, tenant.tenant_id)
        api = Api(
            tenant_id=tenant.tenant_id,
            base_url=f"{base_url}/api/v3",
            credentials=self._credentials(tenant.tenant_id, desk),
            correlation_id=correlation_id,
            verify_tls=desk.verify_tls,
            destinations=self._destinations,
            clock=self._clock,
            sleep=self._sleep,
        )
        form = self._asset_forms.setdefault((tenant.tenant_id, base_url), AssetForm())
        return ServiceDeskPlus(api, desk.edition, form)

    def _credentials(self, tenant_id: str, desk: ServiceDeskConnection) -> Credentials:
        if desk.edition is Edition.ONPREM:
            key = _sendable(desk.api_key, tenant_id, "api_key")
            return ApiKey("TECHNICIAN_KEY" if desk.legacy_key_header else "authtoken", key)
        if desk.accounts_url is None or not desk.client_id:
            raise ConfigurationError(
                f"tenant {tenant_id}: a cloud service desk needs accounts_url and client_id"
            )
        client = OAuthClient(
            token_url=f"{self._address(desk.accounts_url, tenant_id)}/oauth/v2/token",
            client_id=desk.client_id,
            client_secret=_sendable(desk.client_secret, tenant_id, "client_secret"),
            refresh_token=_sendable(desk.refresh_token, tenant_id, "refresh_token"),
        )
        refresh = partial(refresh_access_token, destinations=self._destinations)
        return self._cloud_credentials.setdefault(
            (tenant_id, client.origin),
            OAuthCredentials(tenant_id, client, self._tokens, refresh, self._clock),
        )

    def _address(self, url: HttpUrl, tenant_id: str) -> str:
        refusal = self._destinations.refusal_of_url(str(url))
        if refusal:
            raise ConfigurationError(f"tenant {tenant_id}: {refusal}")
        return str(url).rstrip("/")


def _sendable(secret: SecretStr | None, tenant_id: str, field: str) -> SecretStr:
    value = secret.get_secret_value() if secret is not None else ""
    if secret is None or not value:
        raise ConfigurationError(f"tenant {tenant_id}: {field} is missing")
    if not (value.isascii() and value.isprintable()) or value != value.strip():
        raise ConfigurationError(f"tenant {tenant_id}: {field} holds a character that no key has")
    return secret
