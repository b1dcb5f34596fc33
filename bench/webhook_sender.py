"""Sends signed webhooks at little cost: `python -m bench.webhook_sender`, the order on stdin.

The requests are signed and written out beforehand, and sent over connections that stay open. The order is
`{base_url, tenant_id, secret, count, connections, per_second}`; the answer on stdout `{seconds, latencies}`.
"""

import asyncio
import gc
import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import uvloop
from standardwebhooks import Webhook

_ACCEPTED = b"HTTP/1.1 202"
_LENGTH = b"content-length: "
_DESCRIPTION = "The printer on the second floor says that it is offline, and nobody can print since eight."


def main() -> None:
    """Carry out the order."""
    order = json.loads(sys.stdin.read())
    address = urlsplit(order["base_url"])
    requests = _requests(order, address.netloc)
    gc.disable()
    work = _send_all(str(address.hostname), address.port or 80, requests, order)
    print(json.dumps(uvloop.run(work)))


async def _send_all(host: str, port: int, requests: list[bytes], order: dict[str, Any]) -> dict[str, Any]:
    numbered = iter(enumerate(requests))
    latencies: list[float] = []
    opened = [await asyncio.open_connection(host, port) for _ in range(order["connections"])]
    began = time.perf_counter()
    await asyncio.gather(
        *(_send_share(*streams, numbered, latencies, began, order["per_second"]) for streams in opened)
    )
    seconds = time.perf_counter() - began
    for _, writer in opened:
        writer.close()
    return {"seconds": seconds, "latencies": latencies}


async def _send_share(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    numbered: Iterator[tuple[int, bytes]],
    latencies: list[float],
    began: float,
    per_second: float | None,
) -> None:
    for number, request in numbered:
        due = time.perf_counter()
        if per_second:
            due = began + number / per_second
            await asyncio.sleep(due - time.perf_counter())
        writer.write(request)
        await _accepted(reader)
        latencies.append(time.perf_counter() - due)


async def _accepted(reader: asyncio.StreamReader) -> None:
    """Read one answer.

    Raises:
        SystemExit: It is not 202.
    """
    head = await reader.readuntil(b"\r\n\r\n")
    start = head.lower().index(_LENGTH) + len(_LENGTH)
    body = await reader.readexactly(int(head[start : head.index(b"\r\n", start)]))
    if not head.startswith(_ACCEPTED):
        raise SystemExit(f"not accepted: {head.splitlines()[0]!r} {body!r}")


def _requests(order: dict[str, Any], host: str) -> list[bytes]:
    webhook, now = Webhook(order["secret"]), datetime.now(UTC)
    path = f"/webhook/servicedesk/{order['tenant_id']}"
    return [_request(webhook, now, path, host) for _ in range(order["count"])]


def _request(webhook: Webhook, now: datetime, path: str, host: str) -> bytes:
    payload = {
        "ticket_id": uuid4().hex,
        "subject": "Printer offline",
        "description": _DESCRIPTION,
        "priority": "Medium",
        "created_at": "2026-11-02T15:30:45Z",
    }
    body, delivery_id = json.dumps(payload), f"msg_{uuid4().hex}"
    head = (
        f"POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nwebhook-id: {delivery_id}\r\n"
        f"webhook-timestamp: {int(now.timestamp())}\r\n"
        f"webhook-signature: {webhook.sign(delivery_id, now, body)}\r\n\r\n"
    )
    return (head + body).encode()


if __name__ == "__main__":
    main()
