"""Senders as there are in the field: a delivery without an answer is sent again, under the same id."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
from tenacity import RetryError, Retrying, retry_if_exception_type, stop_after_attempt, wait_exponential

from bench.deployment import webhook_of
from enhancer_dagster.adapters.webhook_sender import WebhookSender
from enhancer_dagster.domain.tenants import Tenant

SENDERS = 24
TRIES = 5


@dataclass
class Delivery:
    """A ticket that was told of. `job_id` is None as long as no answer promised anything."""

    ticket_id: str
    job_id: str | None = None


class Senders:
    """Sends tickets' webhooks.

    Args:
        base_url: Of the bridge's public listener.
        tenant: Whose webhooks they are.
        new_ticket: Opens a ticket at the service desk.
    """

    def __init__(self, base_url: str, tenant: Tenant, new_ticket: Callable[[], dict[str, Any]]) -> None:
        self.deliveries: list[Delivery] = []
        self._base_url = base_url
        self._tenant = tenant
        self._new_ticket = new_ticket

    def run(self, pause: float, over: threading.Event) -> None:
        """Send for a ticket every `pause` seconds until it is over and each is answered or given up."""
        with ThreadPoolExecutor(SENDERS, thread_name_prefix="sender") as pool:
            while not over.wait(pause):
                pool.submit(self.send_one)

    def send_one(self) -> None:
        """Open a ticket, and tell of it until that is answered or given up."""
        ticket = self._new_ticket()
        delivery = Delivery(ticket["id"])
        self.deliveries.append(delivery)
        sender = WebhookSender(self._base_url, self._tenant.tenant_id, self._tenant.webhook_secrets[0])
        delivery_id = f"msg_{uuid4().hex}"

        def send() -> dict[str, Any]:
            return sender.send(webhook_of(ticket), delivery_id).raise_for_status().json()

        attempts = Retrying(
            retry=retry_if_exception_type(httpx.HTTPError),
            wait=wait_exponential(multiplier=0.5, max=8),
            stop=stop_after_attempt(TRIES),
        )
        try:
            delivery.job_id = attempts(send)["job_id"]
        except RetryError:
            return  # nothing was promised
        finally:
            sender.close()
