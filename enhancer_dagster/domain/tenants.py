"""A customer of this installation: its service desk, its secrets and what it wants done."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, HttpUrl, SecretStr, StringConstraints

from enhancer_dagster.domain.tickets import TenantId, Ticket

HostName = Annotated[
    str,
    StringConstraints(
        strip_whitespace=True, to_lower=True, pattern=r"^(?:[A-Za-z0-9-]+\.)*[A-Za-z0-9-]+$", max_length=253
    ),
]
"""A host's name or IPv4 address, without scheme, port and path."""

MOST_WEBHOOK_SECRETS = 3
"""Valid at once: one in use, its successor, and one more for a sender that lags behind."""


class Edition(StrEnum):
    """The two kinds of ServiceDesk Plus, which differ in addresses, log-in and a few words."""

    ONPREM = "onprem"
    CLOUD = "cloud"


class WriteBack(StrEnum):
    """Where the section goes. Requesters can read descriptions; they never see our notes."""

    DESCRIPTION = "description"
    NOTE = "note"


class PersonalData(StrEnum):
    """What becomes of e-mail addresses, phone numbers and card numbers.

    Attributes:
        KEEP: They go to the LLM as they are.
        MASK: They go nowhere: placeholders stand in prompt and section.
        RESTORE: Placeholders go to the LLM, and in the section the values stand again.
    """

    KEEP = "keep"
    MASK = "mask"
    RESTORE = "restore"


class ServiceDeskConnection(BaseModel):
    """How to reach a tenant's ServiceDesk Plus.

    Attributes:
        base_url: On premises `https://host[:port]`; in the cloud `https://{data centre}/app/{portal}`.
        api_key: On premises: the technician's key.
        client_id: Cloud: OAuth client.
        accounts_url: Cloud: where tokens are refreshed, `https://accounts.zoho.{dc}`.
        legacy_key_header: On premises, old builds: send `TECHNICIAN_KEY` instead of `authtoken`.
        verify_tls: False accepts a self-signed certificate.
    """

    model_config = ConfigDict(frozen=True)

    edition: Edition
    base_url: HttpUrl
    api_key: SecretStr | None = None
    client_id: str | None = None
    client_secret: SecretStr | None = None
    refresh_token: SecretStr | None = None
    accounts_url: HttpUrl | None = None
    legacy_key_header: bool = False
    verify_tls: bool = True


class TicketFilter(BaseModel):
    """Which tickets are meant: those whose field is in the list; an empty list means all."""

    model_config = ConfigDict(frozen=True)

    groups: tuple[str, ...] = ()
    sites: tuple[str, ...] = ()
    templates: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()

    def admits(self, ticket: Ticket) -> bool:
        """Whether `ticket` passes every list; names are compared without regard to case."""
        pairs = (
            (self.groups, ticket.group),
            (self.sites, ticket.site),
            (self.templates, ticket.template),
            (self.statuses, ticket.status),
        )
        return all(not names or value.casefold() in {n.casefold() for n in names} for names, value in pairs)


class LanguageModelChoice(BaseModel):
    """Which model writes for a tenant; without a name, the installation's."""

    model_config = ConfigDict(frozen=True)

    enabled: bool = True
    model: str | None = None
    fallback_models: tuple[str, ...] | None = None


class Tenant(BaseModel):
    """One customer. Secrets are `SecretStr`, so neither `repr` nor a log shows them.

    Attributes:
        webhook_secrets: All that are valid now, newest first (several while one is being rotated).
        static_token_allowed: Whether `X-ServiceDesk-Token` may carry the secret itself.
        enhance: Which tickets are enhanced.
        index: Which resolved tickets are offered as evidence.
        personal_data: What of it the LLM and the section get. By default the LLM gets none, and technicians
            lose nothing by it.
        link_hosts: Hosts that links in a section may point to, beside the addresses in its sources.
        created_at: Polling for missed tickets starts here.
    """

    model_config = ConfigDict(frozen=True)

    tenant_id: TenantId
    name: str = ""
    active: bool = True
    service_desk: ServiceDeskConnection
    webhook_secrets: tuple[SecretStr, ...] = ()
    static_token_allowed: bool = False
    language_model: LanguageModelChoice = LanguageModelChoice()
    write_back: WriteBack = WriteBack.DESCRIPTION
    enhance: TicketFilter = TicketFilter()
    index: TicketFilter = TicketFilter()
    personal_data: PersonalData = PersonalData.RESTORE
    link_hosts: tuple[HostName, ...] = ()
    created_at: datetime = Field(default_factory=lambda: datetime.now().astimezone())

    def ticket_url(self, ticket_id: str) -> str:
        """Where a technician opens the ticket in a browser."""
        base = str(self.service_desk.base_url).rstrip("/")
        if self.service_desk.edition is Edition.CLOUD:
            return f"{base}/ui/requests/{ticket_id}/details"
        return f"{base}/WorkOrder.do?woMode=viewWO&woID={ticket_id}"
