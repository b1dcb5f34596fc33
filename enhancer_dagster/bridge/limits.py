"""How fast somebody may go: token buckets by key, in this process's memory."""

import math
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv6Address, ip_address

from enhancer_dagster.domain.deadlines import Clock

MAX_KEYS = 10_000
IPV6_PREFIX = 64
"""One customer's share of IPv6: its addresses count as one."""


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


class RateLimiter:
    """Lets each key through `rate` times a second, and `burst` times at once.

    Args:
        rate: Tokens a second.
        burst: Size of a bucket.
        clock: A monotonic clock, seconds.
        max_keys: The key that was quiet longest is forgotten when there are more.
    """

    def __init__(self, rate: float, burst: float, clock: Clock, max_keys: int = MAX_KEYS) -> None:
        self._rate = rate
        self._burst = burst
        self._clock = clock
        self._max_keys = max_keys
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def seconds_until_free(self, key: str) -> float:
        """Take a token of `key`: 0 where there was one, else how long to wait for the next."""
        now = self._clock()
        bucket = self._buckets.get(key) or _Bucket(self._burst, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._rate)
        bucket.filled_at = now
        self._buckets[key] = bucket
        self._buckets.move_to_end(key)
        if len(self._buckets) > self._max_keys:
            self._buckets.popitem(last=False)
        if bucket.tokens >= 1:
            bucket.tokens -= 1
            return 0.0
        return (1 - bucket.tokens) / self._rate


def retry_after(seconds: float) -> str:
    """The value of a Retry-After header: whole seconds, at least one."""
    return str(max(1, math.ceil(seconds)))


@lru_cache(maxsize=MAX_KEYS)
def address_key(host: str) -> str:
    """What an address is counted under: itself, or the network of an IPv6 one."""
    try:
        address = ip_address(host)
    except ValueError:
        return host
    if isinstance(address, IPv6Address) and address.ipv4_mapped is None:
        return str(int(address) >> (128 - IPV6_PREFIX))
    return host
