"""Every failure the product knows, typed once: worth another try, or not.

Adapters translate what their library raises into one of these; ops decide what follows. A message is
written for the person who reads it in the Dagster UI and never carries a secret.
"""


class EnhancerError(Exception):
    """Base of all errors of this product."""


class TransientError(EnhancerError):
    """May succeed if tried again.

    Attributes:
        retry_after: Seconds the other side asked to wait, or None where it did not say.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PermanentError(EnhancerError):
    """Will fail again however often it is tried."""


class ConfigurationError(PermanentError):
    """A setting or a tenant is wrong; the message says what to do."""


class DeadlineExceededError(TransientError):
    """The time set for a piece of work is over."""


class ServiceDeskUnavailableError(TransientError):
    """ServiceDesk Plus could not be reached, or answered 5xx."""


class ServiceDeskThrottledError(TransientError):
    """ServiceDesk Plus asks for fewer calls: 429, or 400 with its throttle message on premises."""


class WriteOutcomeUnknownError(TransientError):
    """A write was sent and no answer came: look before writing again."""


class ServiceDeskRefusedError(PermanentError):
    """ServiceDesk Plus answered and said no; the message holds its own words."""


class ServiceDeskUnauthorizedError(ServiceDeskRefusedError):
    """The tenant's credentials are not accepted, or lack a permission."""


class TicketNotFoundError(ServiceDeskRefusedError):
    """There is no such ticket (any more)."""


class LanguageModelUnavailableError(TransientError):
    """The gateway is down, slow or rate-limited."""


class LanguageModelRefusedError(PermanentError):
    """The gateway answered and said no: key, model or request."""


class AnswerUnusableError(PermanentError):
    """The model's answer is cut off, empty, or has nothing in it that its sources back."""


class IndexUnavailableError(PermanentError):
    """The tenant has no published index yet."""


class BridgeUnavailableError(TransientError):
    """The bridge could not be reached, or answered 5xx."""


class FenceClosedError(PermanentError):
    """This run is not the job's current one: it must not touch the ticket."""


class DatabaseUnavailableError(TransientError):
    """PostgreSQL could not be reached, or gave up on a statement."""
