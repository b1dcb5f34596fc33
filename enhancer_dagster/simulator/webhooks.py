"""The custom trigger: a webhook when a ticket is created or edited, at most once and never repeated."""

import hashlib
import hmac
import json
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any
from uuid import uuid4

import httpx
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from standardwebhooks import Webhook

from enhancer_dagster.simulator.desk import Event
from enhancer_dagster.simulator.records import Ticket

_SENDERS = 8
_KEPT = 10_000


class WebhookScheme(StrEnum):
    """How a webhook proves where it comes from."""

    TOKEN = "token"  # noqa: S105 - the name of a scheme
    """The secret itself in a header: all that SDP can do."""
    HMAC = "hmac"
    """`X-ServiceDesk-Signature` over time and body."""
    STANDARD = "standard"
    """Standard Webhooks 1.0."""


class WebhookTarget(BaseModel):
    """Where webhooks go.

    Attributes:
        header: Name of the header that carries the secret in the scheme `token`.
        headers: Further headers of every webhook, such as `X-Tenant-ID`.
        events: What is told: "created", "updated".
    """

    model_config = ConfigDict(extra="forbid")

    url: str
    secret: SecretStr = SecretStr("")
    scheme: WebhookScheme = WebhookScheme.TOKEN
    header: str = "X-ServiceDesk-Token"
    headers: dict[str, str] = Field(default_factory=dict)
    events: tuple[Event, ...] = ("created", "updated")
    timeout_seconds: float = 10.0


class Delivery(BaseModel):
    """What became of a webhook; `status` is None where nobody answered."""

    ticket_id: str
    event: Event
    status: int | None
    error: str | None = None


class WebhookSender:
    """Sends webhooks from threads of its own, so that a slow receiver does not hold up the API."""

    def __init__(self, target: WebhookTarget | None = None) -> None:
        self.target = target
        self.deliveries: deque[Delivery] = deque(maxlen=_KEPT)
        self._pool: ThreadPoolExecutor | None = None
        self._client: httpx.Client | None = None

    def tell(self, event: Event, ticket: Ticket) -> None:
        """Send the webhook of an event, if there is somebody to tell."""
        target = self.target
        if target is None or event not in target.events:
            return
        body = json.dumps(webhook_body(event, ticket)).encode()
        if self._pool is None or self._client is None:
            self._pool = ThreadPoolExecutor(_SENDERS, "simulator-webhook")
            self._client = httpx.Client()
        self._pool.submit(self._send, self._client, target, event, ticket.ticket_id, body)

    def close(self) -> None:
        """Drop what is not sent yet and wait for what is under way."""
        if self._pool is not None and self._client is not None:
            self._pool.shutdown(cancel_futures=True)
            self._client.close()
            self._pool = self._client = None

    def _send(
        self, client: httpx.Client, target: WebhookTarget, event: Event, ticket_id: str, body: bytes
    ) -> None:
        headers = {"Content-Type": "application/json", **target.headers, **proof(target, body)}
        status, failure = None, None
        try:
            answer = client.post(target.url, content=body, headers=headers, timeout=target.timeout_seconds)
            status = answer.status_code
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            failure = type(error).__name__
        self.deliveries.append(Delivery(ticket_id=ticket_id, event=event, status=status, error=failure))


def webhook_body(event: Event, ticket: Ticket) -> dict[str, Any]:
    """The payload, as the template in our instructions for SDP makes it."""
    return {
        "event": event,
        "ticket_id": ticket.ticket_id,
        "subject": ticket.subject,
        "description": ticket.description,
        "priority": ticket.name_of("priority"),
        "created_at": datetime.fromtimestamp(ticket.created / 1000, UTC).isoformat(),
    }


def proof(target: WebhookTarget, body: bytes, seconds: int | None = None) -> dict[str, str]:
    """The headers that prove where `body` comes from.

    Args:
        target: Scheme and secret.
        body: The raw body.
        seconds: Epoch seconds of the signature; None: now.
    """
    secret = target.secret.get_secret_value()
    stamp = str(int(time.time()) if seconds is None else seconds)
    if target.scheme is WebhookScheme.TOKEN:
        return {target.header: secret} if secret else {}
    if target.scheme is WebhookScheme.HMAC:
        signed = hmac.new(secret.encode(), f"{stamp}.".encode() + body, hashlib.sha256).hexdigest()
        return {"X-ServiceDesk-Timestamp": stamp, "X-ServiceDesk-Signature": f"sha256={signed}"}
    message_id = f"msg_{uuid4().hex}"
    moment = datetime.fromtimestamp(int(stamp), UTC)
    signature = Webhook(secret).sign(message_id, moment, body.decode())
    return {"webhook-id": message_id, "webhook-timestamp": stamp, "webhook-signature": signature}
