"""How a simulator is set up: edition, keys, limits."""

from dataclasses import dataclass

from enhancer_dagster.domain.tenants import Edition

NEW_ASSET_API_BUILD = 15100
"""From this build on premises, `/asset_assets` and its like replace `/assets` and `/workstations`."""


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """What a simulator is started with.

    Attributes:
        edition: Which of the two dialects it speaks.
        api_key: On premises the technician's key; in the cloud the refresh token.
        reader_key: On premises, a second key that may read but not write (403).
        client_id: Cloud: the only OAuth client that is let in; None lets any in.
        client_secret: Cloud: its secret; None takes any.
        portal: Cloud: the portal in `/app/{portal}/api/v3`.
        build_number: On premises: decides which form the asset API has.
        delay_seconds: Time that every call takes at least, as a real service desk does.
        calls_per_minute: Calls let in within any 60 seconds before throttling; None: no limit.
        token_seconds: Cloud: life of an access token.
        token_refreshes_per_minute: Cloud: refreshes let in within any 60 seconds.
        random_seed: Makes faults with a probability repeatable.
    """

    edition: Edition = Edition.ONPREM
    api_key: str = "simulator"
    reader_key: str | None = None
    client_id: str | None = None
    client_secret: str | None = None
    portal: str = "itdesk"
    build_number: int = NEW_ASSET_API_BUILD
    delay_seconds: float = 0.0
    calls_per_minute: int | None = None
    token_seconds: float = 3600.0
    token_refreshes_per_minute: int = 5
    random_seed: int = 0

    @property
    def api_root(self) -> str:
        """Path under which the v3 API lies."""
        return "/api/v3" if self.edition is Edition.ONPREM else f"/app/{self.portal}/api/v3"

    @property
    def base_path(self) -> str:
        """What a client's base address has behind the host, in front of `/api/v3`."""
        return self.api_root.removesuffix("/api/v3")

    @property
    def has_new_asset_api(self) -> bool:
        """Whether assets are served in the form of build 15100."""
        return self.edition is Edition.ONPREM and self.build_number >= NEW_ASSET_API_BUILD
