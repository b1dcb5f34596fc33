"""Limits over time: calls in a minute, and the cloud's access tokens."""

import secrets
from collections import deque
from collections.abc import Callable

Clock = Callable[[], float]

WINDOW_SECONDS = 60.0


class RateWindow:
    """Lets in so many events within any 60 seconds.

    Args:
        clock: Monotonic seconds; injected by tests.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._admitted: deque[float] = deque()

    def admit(self, limit: int | None) -> bool:
        """Whether one more is let in; if so it is counted."""
        if limit is None:
            return True
        now = self._clock()
        while self._admitted and self._admitted[0] <= now - WINDOW_SECONDS:
            self._admitted.popleft()
        if len(self._admitted) >= limit:
            return False
        self._admitted.append(now)
        return True

    def clear(self) -> None:
        """Forget what was let in."""
        self._admitted.clear()


class AccessTokens:
    """The access tokens that are valid now.

    Args:
        clock: Monotonic seconds; injected by tests.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._expiry: dict[str, float] = {}

    def issue(self, seconds: float) -> str:
        """A new token, valid for `seconds`."""
        token = f"1000.{secrets.token_hex(16)}.{secrets.token_hex(16)}"
        self._expiry[token] = self._clock() + seconds
        return token

    def accepts(self, token: str) -> bool:
        """Whether `token` is valid."""
        return self._expiry.get(token, 0.0) > self._clock()

    def clear(self) -> None:
        """Make all tokens invalid."""
        self._expiry.clear()
