"""Answers that both listeners give: what went wrong, as JSON, without repeating what the sender sent."""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from enhancer_dagster.bridge.limits import retry_after
from enhancer_dagster.domain.errors import DatabaseUnavailableError
from enhancer_dagster.domain.text import storable

RETRY_AFTER_SECONDS = 5


def unavailable() -> JSONResponse:
    """503: nothing was stored, so the sender may send it again."""
    return JSONResponse(
        {"detail": "temporarily unavailable, nothing was stored: try again"},
        status_code=503,
        headers={"Retry-After": retry_after(RETRY_AFTER_SECONDS)},
    )


def refusal(status: int, detail: str, **more: Any) -> JSONResponse:
    """An error of the sender's, in words."""
    return JSONResponse({"detail": storable(detail)} | more, status_code=status)


def answer_errors(app: FastAPI) -> None:
    """Have `app` answer what both listeners may run into."""

    @app.exception_handler(DatabaseUnavailableError)
    async def database_is_away(_: Request, __: DatabaseUnavailableError) -> JSONResponse:
        return unavailable()

    @app.exception_handler(RequestValidationError)
    async def wrong_fields(_: Request, error: RequestValidationError) -> JSONResponse:
        fields = [storable(".".join(str(part) for part in one["loc"])) for one in error.errors()]
        return refusal(422, "wrong or missing: " + ", ".join(fields), fields=fields)
