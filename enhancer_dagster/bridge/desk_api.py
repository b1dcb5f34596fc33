"""More of the claim listener: tickets that polling found, and the quarantine."""

import base64
from typing import Annotated, Any, Literal
from uuid import uuid4

from fastapi import APIRouter, Path, Query
from fastapi.responses import JSONResponse

from enhancer_dagster.bridge.answers import refusal
from enhancer_dagster.bridge.directory import TenantDirectory
from enhancer_dagster.bridge.intake import Delivery, Intake
from enhancer_dagster.bridge.payload import PayloadError
from enhancer_dagster.bridge.quarantine import Quarantine
from enhancer_dagster.bridge.queue import Queue
from enhancer_dagster.bridge.schemas import EnqueueRequest, ReplayRequest
from enhancer_dagster.bridge.verification import REMEMBER_SECONDS
from enhancer_dagster.domain.tickets import TenantId

QuarantineId = Annotated[int, Path(ge=1, le=2**63 - 1)]


def enqueue_routes(directory: TenantDirectory, intake: Intake, queue: Queue) -> APIRouter:
    """Tickets whose webhook never came."""
    routes = APIRouter(prefix="/v1")

    @routes.post("/jobs", status_code=202)
    async def enqueue_ticket(found: EnqueueRequest) -> JSONResponse:
        """Enqueue a ticket that polling found, unless a job covers that state of it."""
        tenant = directory.find(found.tenant_id)
        if tenant is None or not tenant.active:
            return refusal(404, f"there is no active tenant {found.tenant_id}")
        if found.changed_at is not None:
            known = await queue.known_change(found.tenant_id, found.ticket_id, found.changed_at)
            if known:
                return _enqueued("known", known["job_id"], known["correlation_id"], 200)
        accepted = await intake.accept(_delivery(found))
        status = "duplicate" if accepted.duplicate else "queued"
        return _enqueued(status, accepted.job_id, accepted.correlation_id, 200 if accepted.duplicate else 202)

    return routes


def quarantine_routes(quarantine: Quarantine) -> APIRouter:
    """What could not be read, and what becomes of it."""
    routes = APIRouter(prefix="/v1/quarantine")

    @routes.get("")
    async def list_quarantine(
        tenant: Annotated[TenantId | None, Query()] = None,
        state: Annotated[Literal["waiting", "replayed", "discarded"] | None, Query()] = None,
        before: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
        limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    ) -> dict[str, Any]:
        """Entries without their bodies, newest first."""
        return {"entries": await quarantine.list(tenant, state, before, limit)}

    @routes.get("/{quarantine_id}")
    async def show_quarantined(quarantine_id: QuarantineId) -> dict[str, Any]:
        """One entry: its body as text, and exactly, in base64."""
        entry = await quarantine.show(quarantine_id)
        body = bytes(entry.pop("body"))
        text = body.decode(errors="replace")
        return entry | {"size": len(body), "body": text, "body_base64": base64.b64encode(body).decode()}

    @routes.post("/{quarantine_id}/replay")
    async def replay_quarantined(quarantine_id: QuarantineId, corrected: ReplayRequest) -> JSONResponse:
        """Take the delivery in after all."""
        body = corrected.body.encode(errors="replace") if corrected.body is not None else None
        try:
            accepted = await quarantine.replay(quarantine_id, body)
        except PayloadError as error:
            return refusal(422, str(error), fields=list(error.fields))
        return _enqueued("queued", accepted.job_id, accepted.correlation_id, 202)

    @routes.post("/{quarantine_id}/discard")
    async def discard_quarantined(quarantine_id: QuarantineId) -> JSONResponse:
        """Mark the entry as not wanted."""
        await quarantine.discard(quarantine_id)
        return JSONResponse({"state": "discarded"})

    return routes


def _delivery(found: EnqueueRequest) -> Delivery:
    seen = found.changed_at.isoformat() if found.changed_at else str(uuid4())
    return Delivery(
        tenant_id=found.tenant_id,
        delivery_id=f"poll:{found.ticket_id}:{seen}",
        remember_seconds=REMEMBER_SECONDS,
        ticket_id=found.ticket_id,
        subject=found.subject,
        description=found.description,
        event=found.event,
        priority=found.priority,
        created_at=found.created_at,
        asked_again=found.asked_again,
    )


def _enqueued(status: str, job_id: object, correlation_id: object, code: int) -> JSONResponse:
    answer = {"status": status, "job_id": str(job_id), "correlation_id": str(correlation_id)}
    return JSONResponse(answer, status_code=code)
