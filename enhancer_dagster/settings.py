"""Every setting of the product, in one place.

A setting is an environment variable `ENHANCER_<NAME>`; `enhancer up` and `enhancer demo` hand them to the
processes they start. Nothing is read at import: call `load_settings`.
"""

import os
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, BaseModel, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from enhancer_dagster.domain.destinations import Destinations, Network


def default_data_dir() -> Path:
    """`/var/lib/enhancer` for root, else `~/.local/share/enhancer`."""
    if os.geteuid() == 0:
        return Path("/var/lib/enhancer")
    return Path.home() / ".local" / "share" / "enhancer"


class ModelPrice(BaseModel):
    """US dollars for a million tokens, for gateways that do not say what a call cost."""

    prompt: float
    completion: float


class Settings(BaseSettings):
    """The installation's settings. Secrets are `SecretStr`."""

    model_config = SettingsConfigDict(
        env_prefix="ENHANCER_", env_ignore_empty=True, extra="ignore", populate_by_name=True
    )

    data_dir: Path = Field(default_factory=default_data_dir)
    log_level: str = "INFO"

    database_url: SecretStr | None = Field(
        default=None, description="postgresql://…; none: the embedded PostgreSQL in the data folder."
    )
    dagster_database_url: SecretStr | None = Field(
        default=None, description="Dagster's own database; none: `<name>_dagster` beside the other."
    )
    history_database_url: SecretStr | None = Field(
        default=None, description="History's own way to the database; none: the same address."
    )
    secret_key: SecretStr | None = Field(
        default=None, description="Fernet keys that encrypt secrets at rest, newest first, by commas."
    )
    claim_token: SecretStr | None = Field(default=None, description="Bearer token of the claim API.")

    webhook_host: str = "127.0.0.1"
    webhook_port: int = 8080
    claim_host: str = "127.0.0.1"
    claim_port: int = 8081
    claim_url: str | None = Field(default=None, description="Where the pipeline finds the claim API.")
    webhook_trusted_proxies: str = Field(
        default="", description="Addresses whose X-Forwarded-For is believed, by commas; none by default."
    )
    webhook_body_seconds: float = Field(default=10, description="How long a webhook's body may take.")
    webhook_rate_per_address: float = Field(
        default=200, gt=0, description="Requests a second, verified or not."
    )
    webhook_burst_per_address: float = Field(default=4000, ge=1)
    webhook_rate_per_tenant: float = Field(default=50, gt=0, description="Verified deliveries a second.")
    webhook_burst_per_tenant: float = Field(default=2000, ge=1)
    retention_payload_days: float = Field(
        default=30, gt=0, description="Texts of finished jobs, and quarantined bodies."
    )
    retention_jobs_days: float = Field(default=90, gt=0, description="Finished jobs themselves.")
    retention_runs_days: float = Field(
        default=30, gt=0, description="Ended runs with events, logs and op outputs."
    )
    retention_ticks_days: float = Field(default=7, gt=0, description="Ticks that requested or failed.")
    retention_skipped_ticks_days: float = Field(default=1, gt=0, description="Ticks that found nothing.")
    retention_history_days: float | None = Field(
        default=None, gt=0, description="Rows of history; none: for ever."
    )
    retention_cron: str = Field(default="20 3 * * *", description="When that is pruned, UTC.")

    dagster_host: str = "127.0.0.1"
    dagster_port: int = 3000

    run_workers: int = Field(default=16, ge=1, description="Runs that execute at the same time.")
    max_concurrent_tickets: int = Field(
        default=48, ge=1, description="Tickets that are runs at the same time, waiting ones included."
    )
    ticket_priorities: bool = Field(default=True, description="Whether a ticket's priority orders runs.")
    lease_seconds: float = Field(
        default=180,
        description="A claim's lease until its run starts; longer than all run slots need for their turn.",
    )
    poll_seconds: float = Field(default=19.4, description="Length of the sensor's long poll.")

    missed_ticket_poll_seconds: int = Field(
        default=120, ge=1, description="How often service desks are asked for tickets without a webhook."
    )

    node_timeout_seconds: float = 10
    context_timeout_seconds: float = 30
    llm_timeout_seconds: float = 30
    run_soft_limit_seconds: float = 100
    run_hard_limit_seconds: float = 120

    similar_tickets_limit: int = Field(default=5, ge=0)
    kb_articles_limit: int = Field(default=3, ge=0)
    search_ticket_lexical_weight: float = Field(
        default=0.5, ge=0, le=1, description="Share of common words in a ticket's score; the rest is meaning."
    )
    search_ticket_floor: float = Field(
        default=0.33, ge=0, le=1, description="No ticket with a lower score is offered."
    )
    search_article_lexical_weight: float = Field(
        default=0.13, ge=0, le=1, description="The same for articles, which are asked for in other words."
    )
    search_article_floor: float = Field(default=0.32, ge=0, le=1)

    llm_provider: str = "openrouter"
    llm_base_url: str = "https://openrouter.ai/api/v1"
    llm_api_key: SecretStr | None = Field(
        default=None, validation_alias=AliasChoices("ENHANCER_LLM_API_KEY", "OPENROUTER_API_KEY")
    )
    llm_enabled: bool = True
    llm_model: str = "openai/gpt-4"
    llm_fallback_models: Annotated[tuple[str, ...], NoDecode] = ()
    llm_prices: dict[str, ModelPrice] = Field(
        default_factory=lambda: {
            "openai/gpt-4": ModelPrice(prompt=30, completion=60),
            "openai/gpt-4o": ModelPrice(prompt=2.5, completion=10),
            "openai/gpt-4o-mini": ModelPrice(prompt=0.15, completion=0.6),
        },
        description="Dollars a million tokens, by model, where the gateway does not say.",
    )

    allow_http: bool = Field(default=False, description="Let service desks and gateways be http://.")
    private_networks: Annotated[tuple[Network, ...], NoDecode] = Field(
        default=(),
        description="Where service desks and gateways may be beside public addresses: 10.1.0.0/16,127.0.0.1.",
    )
    embedding_model: str = Field(
        default="sentence-transformers/all-MiniLM-L6-v2", description="A Hugging Face name or a folder."
    )
    embedding_revision: str | None = None
    index_full_cron: str = Field(default="15 2 * * *", description="Full index builds, UTC.")
    index_incremental_cron: str = Field(default="45 * * * *", description="Incremental ones, UTC.")
    index_url: str | None = Field(default=None, description="Where snapshots are; none: in the data folder.")

    @field_validator("llm_fallback_models", mode="before")
    @classmethod
    def _split_commas(cls, value: object) -> object:
        return tuple(p.strip() for p in value.split(",") if p.strip()) if isinstance(value, str) else value

    @field_validator("private_networks", mode="before")
    @classmethod
    def _split_networks(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return tuple(ip_network(part.strip(), strict=False) for part in value.split(",") if part.strip())

    @property
    def destinations(self) -> Destinations:
        """Where service desks and gateways may be."""
        return Destinations(self.allow_http, self.private_networks)

    @property
    def claim_api(self) -> str:
        """Base address of the claim API."""
        return self.claim_url or base_url(self.claim_host, self.claim_port)

    @property
    def webhook_base(self) -> str:
        """Base address of the webhooks' listener."""
        return base_url(self.webhook_host, self.webhook_port)

    @property
    def index_location(self) -> str:
        """Path or fsspec URL under which the snapshots are."""
        return self.index_url or str(self.index_folder)

    @property
    def index_folder(self) -> Path:
        """Where the snapshots are, unless `index_url` says otherwise."""
        return self.data_dir / "index"

    @property
    def index_cache(self) -> Path:
        """Where snapshots of a remote location are kept."""
        return self.data_dir / "index-cache"

    @property
    def index_work(self) -> Path:
        """Where builds keep corpora, vectors and encoders."""
        return self.data_dir / "index-work"

    @property
    def keys_folder(self) -> Path:
        """Where the generated key and token are kept."""
        return self.data_dir / "secrets"

    @property
    def run_logs(self) -> Path:
        """Where what runs print is kept."""
        return self.data_dir / "run-logs"

    @property
    def private_folders(self) -> tuple[Path, ...]:
        """Those in the data folder, which others may pass through to reach the embedded PostgreSQL's."""
        return self.keys_folder, self.index_folder, self.index_work, self.index_cache, self.run_logs


def base_url(host: str, port: int) -> str:
    """`http://host:port`, with brackets around an IPv6 address."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def load_settings() -> Settings:
    """Read the settings from the environment.

    Raises:
        pydantic.ValidationError: A value is not of its type; the message names the field.
    """
    return Settings()
