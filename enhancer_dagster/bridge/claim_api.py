"""The pipeline's listener, never public: claims, the fence, the end of a job, and questions about it."""

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.responses import JSONResponse
from pydantic import SecretStr
from starlette.types import ASGIApp, Receive, Scope, Send

from enhancer_dagster.bridge.answers import answer_errors, refusal
from enhancer_dagster.bridge.health import IsReady, add_health
from enhancer_dagster.bridge.ledger import Ledger
from enhancer_dagster.bridge.poller import Poller
from enhancer_dagster.bridge.quarantine import UnknownQuarantineError
from enhancer_dagster.bridge.queue import Queue, RunStart, UnknownJobError
from enhancer_dagster.bridge.schemas import (
    ClaimRequest,
    FinishRequest,
    JobFilter,
    OwnershipRequest,
    StartRequest,
    WrittenRequest,
)
from enhancer_dagster.domain.errors import PermanentError
from enhancer_dagster.domain.tickets import Claim

NOT_FOUND = (UnknownJobError, UnknownQuarantineError)
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})


class BearerToken:
    """Lets only holders of the token through, before anything else of a request is read."""

    def __init__(self, app: ASGIApp, token: SecretStr) -> None:
        self._app = app
        self._expected = b"Bearer " + token.get_secret_value().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 401, or pass the request on."""
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS and not self._admits(scope):
            answer = refusal(401, "a bearer token is needed: ENHANCER_CLAIM_TOKEN")
            answer.headers["WWW-Authenticate"] = "Bearer"
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _admits(self, scope: Scope) -> bool:
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)


@dataclass(frozen=True)
class Desk:
    """What the claim listener works with."""

    queue: Queue
    poller: Poller
    ledger: Ledger


def claim_api(desk: Desk, more: Iterable[APIRouter], is_ready: IsReady, token: SecretStr) -> FastAPI:
    """The application of the claim listener."""
    app = FastAPI(title="enhancer claims", version="1", docs_url=None, redoc_url=None)
    app.add_middleware(BearerToken, token=token)
    answer_errors(app)
    add_health(app, is_ready)
    for routes in (job_routes(desk), *more):
        app.include_router(routes)

    @app.exception_handler(PermanentError)
    async def refused(_: Request, error: PermanentError) -> JSONResponse:
        return refusal(404 if isinstance(error, NOT_FOUND) else 409, str(error))

    return app


def job_routes(desk: Desk) -> APIRouter:
    """Jobs, from their claim to their end."""
    routes = APIRouter(prefix="/v1", responses={401: {"description": "No or wrong bearer token."}})

    @routes.post("/claims")
    async def claim_jobs(wanted: ClaimRequest, request: Request) -> dict[str, list[Claim]]:
        """Lease jobs, waiting for the first."""
        claims = await desk.poller.claim(wanted.limit, wanted.wait_seconds, request.is_disconnected)
        return {"jobs": list(claims)}

    @routes.post("/jobs/{job_id}/start")
    async def start_job(job_id: UUID, wanted: StartRequest) -> Claim:
        """The fence: whether this run may touch the ticket."""
        return await desk.queue.start(RunStart(job_id, wanted.attempt, wanted.run_id, wanted.parent_run_id))

    @routes.post("/jobs/{job_id}/finish")
    async def finish_job(job_id: UUID, wanted: FinishRequest) -> dict[str, str]:
        """End the job, or give it back."""
        run = RunStart(job_id, wanted.attempt, wanted.run_id)
        return {"state": await desk.queue.finish(run, wanted.as_finish())}

    @routes.post("/jobs/{job_id}/retry")
    async def retry_job(job_id: UUID) -> dict[str, str]:
        """Put an ended job back because a person asked."""
        return {"state": await desk.queue.reopen(job_id)}

    @routes.get("/jobs")
    async def list_jobs(wanted: Annotated[JobFilter, Query()]) -> dict[str, Any]:
        """Jobs, newest first; `next` is the `before` of the next page."""
        jobs = await desk.ledger.jobs(wanted)
        return {"jobs": jobs, "next": jobs[-1]["job_id"] if len(jobs) == wanted.limit else None}

    @routes.get("/counts")
    async def count_jobs() -> dict[str, Any]:
        """Jobs by state for each tenant, and its pause."""
        return {"tenants": await desk.ledger.counts()}

    @routes.post("/correlation-ids")
    async def owned_correlation_ids(asked: OwnershipRequest) -> dict[str, list[UUID]]:
        """Those that the queue knows for this tenant and ticket."""
        owned = await desk.queue.owned_correlation_ids(
            asked.tenant_id, asked.ticket_id, asked.correlation_ids
        )
        return {"owned": owned}

    @routes.get("/history/unwritten")
    async def unwritten_history(limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
        """Outcomes that history has not acknowledged, oldest first."""
        return {"records": await desk.ledger.unwritten(limit)}

    @routes.post("/history/written")
    async def acknowledge_history(done: WrittenRequest) -> dict[str, int]:
        """History has these outcomes now."""
        return {"acknowledged": await desk.ledger.acknowledge(done.written)}

    return routes
