"""The admin API under `/_admin`: faults, the log, edits from outside the API, held-back tickets, webhooks.

It asks for no key: a simulator belongs on the loopback address.
"""

import json
from collections.abc import Awaitable, Callable
from dataclasses import fields, replace
from typing import Any

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route

from enhancer_dagster.simulator.answers import Json, Refusal
from enhancer_dagster.simulator.faults import Fault
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.simulator import PARTS, Simulator
from enhancer_dagster.simulator.webhooks import WebhookTarget

_FAULTS = TypeAdapter(list[Fault] | Fault)
_CHANGEABLE = ("delay_seconds", "calls_per_minute", "build_number", "token_seconds")


class _Edit(BaseModel):
    model_config = ConfigDict(extra="forbid")

    ticket_id: str
    subject: str | None = None
    description: str | None = None
    resolution: str | None = None
    status: str | None = None
    priority: str | None = None
    group: str | None = None
    site: str | None = None


class _NewTicket(BaseModel):
    model_config = ConfigDict(extra="forbid")

    subject: str
    description: str = ""
    priority: str = "Medium"
    group: str = "Network"
    announce: bool = True


class _Release(BaseModel):
    model_config = ConfigDict(extra="forbid")

    count: int = 1
    announce: bool = True


class _Reset(BaseModel):
    model_config = ConfigDict(extra="forbid")

    parts: tuple[str, ...] = PARTS


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid")

    delay_seconds: float | None = None
    calls_per_minute: int | None = None
    build_number: int | None = None
    token_seconds: float | None = None


AdminHandler = Callable[[Simulator, Request, bytes], Any]


def admin_routes() -> list[BaseRoute]:
    """The routes below `/_admin`."""
    table: tuple[tuple[str, str, AdminHandler], ...] = (
        ("GET", "/faults", _list_faults),
        ("POST", "/faults", _add_faults),
        ("DELETE", "/faults", _clear_faults),
        ("DELETE", "/faults/{number:int}", _remove_fault),
        ("GET", "/log", _log),
        ("POST", "/reset", _reset),
        ("POST", "/edit", _edit),
        ("POST", "/tickets", _add_ticket),
        ("DELETE", "/tickets/{ticket_id}", _delete_ticket),
        ("GET", "/new_tickets", _count_held),
        ("POST", "/new_tickets", _release),
        ("GET", "/webhook", _show_deliveries),
        ("PUT", "/webhook", _set_webhook),
        ("DELETE", "/webhook", _drop_webhook),
        ("GET", "/options", _show_options),
        ("PUT", "/options", _set_options),
    )
    return [Route(path, _endpoint(handler), methods=[method]) for method, path, handler in table]


def _endpoint(handler: AdminHandler) -> Callable[[Request], Awaitable[Response]]:
    async def respond(request: Request) -> Response:
        body = await request.body()
        try:
            return JSONResponse(handler(request.app.state.simulator, request, body))
        except ValidationError as error:
            return JSONResponse({"errors": json.loads(error.json(include_url=False))}, 422)
        except Refusal as refusal:
            return JSONResponse(refusal.answer().body, refusal.http_status)

    return respond


def _list_faults(simulator: Simulator, request: Request, body: bytes) -> Json:
    return {"faults": [_shown(number, fault) for number, fault in simulator.faults.all().items()]}


def _add_faults(simulator: Simulator, request: Request, body: bytes) -> Json:
    given = _FAULTS.validate_json(body)
    added = given if isinstance(given, list) else [given]
    return {"faults": [_shown(simulator.faults.add(fault), fault) for fault in added]}


def _clear_faults(simulator: Simulator, request: Request, body: bytes) -> Json:
    simulator.faults.clear()
    return {"faults": []}


def _remove_fault(simulator: Simulator, request: Request, body: bytes) -> Json:
    return {"removed": simulator.faults.remove(request.path_params["number"])}


def _log(simulator: Simulator, request: Request, body: bytes) -> Json:
    asked = request.query_params
    changed = {"true": True, "false": False}.get(asked.get("changed", ""))
    found = simulator.journal.calls(
        ticket_id=asked.get("ticket"), method=asked.get("method"), path=asked.get("path"), changed=changed
    )
    return {"calls": [call.as_json() for call in found]}


def _reset(simulator: Simulator, request: Request, body: bytes) -> Json:
    parts = _Reset.model_validate_json(body or b"{}").parts
    simulator.reset(parts)
    return {"reset": list(parts)}


def _edit(simulator: Simulator, request: Request, body: bytes) -> Json:
    edit = _Edit.model_validate_json(body).model_dump(exclude_none=True)
    ticket = simulator.edit_ticket(**edit)
    return {"request": simulator.desk.dialect.request(ticket)}


def _add_ticket(simulator: Simulator, request: Request, body: bytes) -> Json:
    ticket = simulator.add_ticket(**_NewTicket.model_validate_json(body).model_dump())
    return {"request": simulator.desk.dialect.request(ticket)}


def _delete_ticket(simulator: Simulator, request: Request, body: bytes) -> Json:
    ticket = simulator.desk.ticket(request.path_params["ticket_id"])
    simulator.desk.purge(ticket.ticket_id)
    return {"deleted": ticket.ticket_id}


def _count_held(simulator: Simulator, request: Request, body: bytes) -> Json:
    return {"held": len(simulator.held)}


def _release(simulator: Simulator, request: Request, body: bytes) -> Json:
    asked = _Release.model_validate_json(body or b"{}")
    arrivals = simulator.release(asked.count, announce=asked.announce)
    return {"tickets": [arrival.as_json() for arrival in arrivals], "held": len(simulator.held)}


def _show_deliveries(simulator: Simulator, request: Request, body: bytes) -> Json:
    target = simulator.webhooks.target
    return {
        "target": None if target is None else target.model_dump(mode="json"),
        "deliveries": [one.model_dump(mode="json") for one in list(simulator.webhooks.deliveries)],
    }


def _set_webhook(simulator: Simulator, request: Request, body: bytes) -> Json:
    simulator.webhooks.target = WebhookTarget.model_validate_json(body)
    return _show_deliveries(simulator, request, body)


def _drop_webhook(simulator: Simulator, request: Request, body: bytes) -> Json:
    simulator.webhooks.target = None
    return _show_deliveries(simulator, request, body)


def _show_options(simulator: Simulator, request: Request, body: bytes) -> Json:
    named = {field.name: getattr(simulator.options, field.name) for field in fields(SimulatorOptions)}
    return {name: named[name] for name in _CHANGEABLE}


def _set_options(simulator: Simulator, request: Request, body: bytes) -> Json:
    given = _Options.model_validate_json(body).model_dump(exclude_unset=True)
    simulator.options = replace(simulator.options, **given)
    return _show_options(simulator, request, body)


def _shown(number: int, fault: Fault) -> Json:
    return {"id": number, **fault.model_dump(mode="json")}
