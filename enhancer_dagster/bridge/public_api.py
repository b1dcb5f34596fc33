"""The public listener: webhooks, and whether the bridge lives and is ready."""

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from loguru import logger

from enhancer_dagster.bridge.answers import answer_errors, refusal, unavailable
from enhancer_dagster.bridge.body import BodyReader, BodyTooLargeError, BodyTooSlowError, TooManyBodiesError
from enhancer_dagster.bridge.directory import TenantDirectory
from enhancer_dagster.bridge.health import add_health
from enhancer_dagster.bridge.intake import Accepted, Intake
from enhancer_dagster.bridge.limits import RateLimiter, address_key, retry_after
from enhancer_dagster.bridge.payload import PayloadError, WebhookPayload, parse_payload
from enhancer_dagster.bridge.quarantine import Quarantine, delivery_of
from enhancer_dagster.bridge.verification import DeliveryKey, Verifier

DOCUMENTED: dict[str, Any] = {
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": WebhookPayload.model_json_schema()}},
        },
        "parameters": [
            {"name": name, "in": "header", "required": False, "schema": {"type": "string"}}
            for name in (
                "webhook-id", "webhook-timestamp", "webhook-signature",
                "X-ServiceDesk-Signature", "X-ServiceDesk-Timestamp", "X-ServiceDesk-Token",
            )
        ],
    },
    "responses": {
        200: {"description": "Taken in before: `status` is `duplicate`."},
        202: {"description": "Taken in durably: `status` is `queued`."},
        401: {"description": "Unknown tenant, disabled tenant or bad signature."},
        408: {"description": "The body did not arrive in time."},
        413: {"description": "The body is larger than 1 MiB."},
        422: {"description": "Genuine but unreadable; `fields` says why. Kept in quarantine."},
        429: {"description": "Too many; see `Retry-After`."},
        503: {"description": "Not stored; see `Retry-After`."},
    },
    "status_code": 202,
}  # fmt: skip


@dataclass(frozen=True)
class Limits:
    """Who may send how much."""

    by_address: RateLimiter
    by_tenant: RateLimiter


@dataclass(frozen=True)
class Door:
    """What a webhook passes, in this order: size, address limit, signature, tenant limit, content, commit."""

    directory: TenantDirectory
    verifier: Verifier
    limits: Limits
    bodies: BodyReader
    intake: Intake
    quarantine: Quarantine
    clock: Callable[[], float] = field(default=time.time)

    async def admit(self, request: Request, tenant_id: str) -> JSONResponse:
        """The answer to a webhook that claims to come from `tenant_id`.

        Raises:
            DatabaseUnavailableError: Nothing was stored.
        """
        wait = self.limits.by_address.seconds_until_free(
            address_key(request.client.host if request.client else "")
        )
        if wait:
            return _too_many(wait)
        try:
            body = await self.bodies.read(request)
        except BodyTooLargeError:
            return refusal(413, "the body is larger than 1 MiB")
        except BodyTooSlowError:
            return _too_slow()
        except TooManyBodiesError:
            return unavailable()
        return await self._admit_body(request, tenant_id, body)

    async def _admit_body(self, request: Request, tenant_id: str, body: bytes) -> JSONResponse:
        tenant = self.directory.find(tenant_id)
        key = self.verifier.verify(tenant, request.headers.raw, body)
        if key is None:
            logger.bind(tenant_id=tenant_id[:64]).warning("webhook refused")
            return refusal(401, "unknown tenant or bad signature")
        wait = self.limits.by_tenant.seconds_until_free(tenant_id)
        if wait:
            logger.bind(tenant_id=tenant_id).warning("webhook over the tenant's limit")
            return _too_many(wait)
        try:
            payload = parse_payload(body)
        except PayloadError as error:
            return await self._put_aside(tenant_id, key, body, error)
        accepted = await self.intake.accept(delivery_of(tenant_id, key, payload))
        return _taken_in(tenant_id, payload, accepted)

    async def _put_aside(
        self, tenant_id: str, key: DeliveryKey, body: bytes, error: PayloadError
    ) -> JSONResponse:
        number = await self.quarantine.put(tenant_id, key, body, error)
        logger.bind(tenant_id=tenant_id, quarantine_id=number).warning("webhook quarantined")
        return refusal(422, str(error), fields=list(error.fields), quarantine_id=number)


def public_api(door: Door, is_ready: Callable[[], Any]) -> FastAPI:
    """The application of the public listener."""
    app = FastAPI(title="enhancer bridge", version="1", docs_url=None, redoc_url=None)
    answer_errors(app)
    add_health(app, is_ready)
    app.include_router(webhook_routes(door))
    return app


def webhook_routes(door: Door) -> APIRouter:
    """Where webhooks come in."""
    routes = APIRouter(route_class=_DirectRoute)

    @routes.post("/webhook/servicedesk/{tenant_id}", **DOCUMENTED)
    async def receive_webhook(request: Request, tenant_id: str) -> JSONResponse:
        """Take in a change of a ticket."""
        return await door.admit(request, tenant_id)

    @routes.post("/webhook/servicedesk", **DOCUMENTED)
    async def receive_webhook_of_header(request: Request) -> JSONResponse:
        """The same, with the tenant in `X-Tenant-ID`."""
        named = request.headers.getlist("x-tenant-id")
        return await door.admit(request, named[0] if len(named) == 1 else "")

    return routes


class _DirectRoute(APIRoute):
    """Hands the request over as it is: FastAPI would touch the body, and take longer than all the rest."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        async def handle(request: Request) -> Response:
            return await self.endpoint(request, **request.path_params)

        return handle


def _taken_in(tenant_id: str, payload: WebhookPayload, accepted: Accepted) -> JSONResponse:
    status = "duplicate" if accepted.duplicate else "queued"
    correlation_id = str(accepted.correlation_id)
    wished = str(payload.correlation_id) if payload.correlation_id else None
    other = {"sender_correlation_id": wished} if wished and wished != correlation_id else {}
    logger.bind(
        correlation_id=correlation_id,
        tenant_id=tenant_id,
        ticket_id=payload.ticket_id,
        job_id=str(accepted.job_id),
        **other,
    ).info("webhook {}", status)
    answer = {"status": status, "job_id": str(accepted.job_id), "correlation_id": correlation_id}
    return JSONResponse(answer, status_code=200 if accepted.duplicate else 202)


def _too_many(seconds: float) -> JSONResponse:
    return JSONResponse(
        {"detail": "too many requests"}, status_code=429, headers={"Retry-After": retry_after(seconds)}
    )


def _too_slow() -> JSONResponse:
    return JSONResponse(
        {"detail": "the body did not arrive in time"}, status_code=408, headers={"Connection": "close"}
    )
