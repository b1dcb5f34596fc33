"""Sends a webhook as a service desk would, signed by Standard Webhooks 1.0, for demo, tests and operators."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
from pydantic import SecretStr
from standardwebhooks import Webhook

TIMEOUT_SECONDS = 10.0


class WebhookSender:
    """Sends to one tenant's address over one connection.

    Args:
        base_url: Of the bridge's public listener.
        tenant_id: Whose webhooks they are.
        secret: One of the tenant's webhook secrets, `whsec_…`.
    """

    def __init__(self, base_url: str, tenant_id: str, secret: SecretStr) -> None:
        self.address = f"{base_url}/webhook/servicedesk/{tenant_id}"
        self._webhook = Webhook(secret.get_secret_value())
        self._client = httpx.Client(timeout=TIMEOUT_SECONDS)

    def send(self, payload: Mapping[str, Any], delivery_id: str | None = None) -> httpx.Response:
        """Sign and send `payload`.

        Args:
            payload: The body.
            delivery_id: Of a delivery that is sent again; None: a new one.

        Raises:
            httpx.HTTPError: No answer came.
        """
        body = json.dumps(payload).encode()
        headers = self._signed(body, delivery_id or f"msg_{uuid4().hex}")
        return self._client.post(self.address, content=body, headers=headers)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def _signed(self, body: bytes, delivery_id: str) -> dict[str, str]:
        now = datetime.now(UTC)
        return {
            "content-type": "application/json",
            "webhook-id": delivery_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": self._webhook.sign(delivery_id, now, body.decode()),
        }
