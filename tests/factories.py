"""Ready values for tests: each takes what the test is about and fills in the rest."""

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from pydantic import HttpUrl, SecretStr

from enhancer_dagster.domain.destinations import LOOPBACK, Destinations
from enhancer_dagster.domain.outcomes import HistoryRecord, HistoryStatus
from enhancer_dagster.domain.tenants import Edition, ServiceDeskConnection, Tenant

ON_LOOPBACK = Destinations(allow_http=True, private_networks=LOOPBACK)
"""For servers that a test runs itself."""

NOW = datetime(2026, 11, 2, 15, 30, 45, tzinfo=UTC)


def make_tenant(
    tenant_id: str = "acme", *, base_url: str = "https://sdp.example.com", **fields: Any
) -> Tenant:
    """An on-premises tenant whose technician key is "sdp-key" and whose webhook secret is "hook-secret"."""
    desk = ServiceDeskConnection(
        edition=Edition.ONPREM, base_url=HttpUrl(base_url), api_key=SecretStr("sdp-key")
    )
    defaults: dict[str, Any] = {
        "service_desk": desk,
        "webhook_secrets": (SecretStr("hook-secret"),),
        "created_at": NOW,
    }
    return Tenant(tenant_id=tenant_id, **(defaults | fields))


def make_record(**fields: Any) -> HistoryRecord:
    """A completed record of ticket 42 of tenant acme."""
    defaults: dict[str, Any] = {
        "correlation_id": uuid4(),
        "tenant_id": "acme",
        "ticket_id": "42",
        "job_id": uuid4(),
        "status": HistoryStatus.COMPLETED,
        "started_at": NOW,
        "completed_at": NOW,
        "context_nodes_success": 4,
        "context_nodes_failed": 0,
    }
    return HistoryRecord(**(defaults | fields))
