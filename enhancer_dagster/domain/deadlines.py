"""Time that is left for a piece of work, handed down from the op to the socket."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from enhancer_dagster.domain.errors import DeadlineExceededError

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on a monotonic clock.

    Attributes:
        expires_at: Seconds on `clock`.
        clock: A monotonic clock; injected by tests.
    """

    expires_at: float
    clock: Clock = field(default=time.monotonic, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock = time.monotonic) -> "Deadline":
        """The deadline `seconds` from now."""
        return cls(clock() + seconds, clock)

    def remaining(self) -> float:
        """Seconds that are left, never negative."""
        return max(0.0, self.expires_at - self.clock())

    def within(self, seconds: float) -> "Deadline":
        """The earlier of this deadline and one `seconds` from now."""
        return Deadline(min(self.expires_at, self.clock() + seconds), self.clock)

    def check(self, doing: str) -> None:
        """Raise where no time is left.

        Args:
            doing: What is being done, for the message: "reading ticket 42".

        Raises:
            DeadlineExceededError: The deadline has passed.
        """
        if self.remaining() <= 0:
            raise DeadlineExceededError(f"no time left for {doing}")
