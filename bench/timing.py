"""What a stranger could learn from how long the bridge takes to refuse a webhook.

Unknown tenant against wrong signature, and a signature whose first byte is wrong against one whose last byte
is: the same body, in random order, over one connection. Where two distributions are the same, the probability
that one of the first takes longer than one of the second is .5; its error is that of Mann and Whitney (1947).
"""

import hashlib
import hmac
import http.client
import math
import random
import time
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np
import typer
from numpy.typing import NDArray

from bench.bridge import running_bridge
from bench.report import show_json, show_table
from enhancer_dagster.domain.tenants import Tenant

_BODY = b'{"ticket_id": "1", "description": "x", "priority": "Low", "created_at": "2026-11-02T15:30:45Z"}'
_SHOWN = (5, 25, 50, 75, 95)
_WARM_UP = 200
UNKNOWN, WRONG, FIRST, LAST = "unknown tenant", "wrong signature", "first byte wrong", "last byte wrong"
_PAIRS = ((UNKNOWN, WRONG), (FIRST, LAST))


def main(
    webhooks: Annotated[int, typer.Option(min=100, help="Of each kind.")] = 5_000,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """How long refusals take, and whether their kinds can be told apart."""
    with running_bridge() as (settings, tenant):
        times = _refused(settings.webhook_base, tenant, webhooks)
    percentiles = {
        kind: [round(float(v), 3) for v in np.percentile(of, _SHOWN)] for kind, of in times.items()
    }
    pairs = [(f"{a}, {b}", *_longer(times[a], times[b])) for a, b in _PAIRS]
    if as_json:
        longer = {name: {"probability": p, "error": error} for name, p, error in pairs}
        show_json({"milliseconds": percentiles, "percentiles": _SHOWN, "first_takes_longer": longer})
        return
    rows = [(kind, *values) for kind, values in percentiles.items()]
    show_table(f"{webhooks} refusals of each kind, ms", ("kind", *(f"p{p}" for p in _SHOWN)), rows)
    show_table("the first takes longer", ("pair", "probability", "error"), pairs)


def _refused(base: str, tenant: Tenant, count: int) -> dict[str, NDArray[np.float64]]:
    """Milliseconds of every refusal, by kind.

    Raises:
        SystemExit: One was not refused.
    """
    right = hmac.new(tenant.webhook_secrets[0].get_secret_value().encode(), _BODY, hashlib.sha256).digest()
    kinds = {
        UNKNOWN: ("nobody", hashlib.sha256(right).digest()),
        WRONG: (tenant.tenant_id, hashlib.sha256(right).digest()),
        FIRST: (tenant.tenant_id, bytes([right[0] ^ 1]) + right[1:]),
        LAST: (tenant.tenant_id, right[:-1] + bytes([right[-1] ^ 1])),
    }
    order = [kind for kind in kinds for _ in range(count)]
    random.Random(1).shuffle(order)
    connection = http.client.HTTPConnection(urlsplit(base).netloc)
    times: dict[str, list[float]] = {kind: [] for kind in kinds}
    for number, kind in enumerate(order[:_WARM_UP] + order):
        took = _milliseconds(connection, *kinds[kind])
        if number >= _WARM_UP:
            times[kind].append(took)
    connection.close()
    return {kind: np.array(of) for kind, of in times.items()}


def _milliseconds(connection: http.client.HTTPConnection, tenant_id: str, signature: bytes) -> float:
    headers = {"X-ServiceDesk-Signature": f"sha256={signature.hex()}", "Content-Type": "application/json"}
    started = time.perf_counter()
    connection.request("POST", f"/webhook/servicedesk/{tenant_id}", _BODY, headers)
    answer = connection.getresponse()
    answer.read()
    took = (time.perf_counter() - started) * 1000
    if answer.status != 401:
        raise SystemExit(f"answered {answer.status}, not 401")
    return took


def _longer(first: NDArray[np.float64], second: NDArray[np.float64]) -> tuple[float, float]:
    """The probability that one of `first` is larger than one of `second`, and its standard error."""
    ordered = np.sort(second)
    below = np.searchsorted(ordered, first, "left") + np.searchsorted(ordered, first, "right")
    probability = float(below.sum()) / (2 * len(first) * len(second))
    error = math.sqrt((len(first) + len(second) + 1) / (12 * len(first) * len(second)))
    return round(probability, 4), round(error, 4)
