"""The ASGI app: the routes of the v3 API and of the admin API, behind the gate."""

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from enhancer_dagster.simulator.admin import admin_routes
from enhancer_dagster.simulator.answers import not_found
from enhancer_dagster.simulator.api import assets, links, notes, requests, resolutions, solutions
from enhancer_dagster.simulator.api.call import Handler, endpoint, response_of
from enhancer_dagster.simulator.gate import ADMIN_PREFIX, Gate
from enhancer_dagster.simulator.simulator import Simulator

_TICKET = "/requests/{ticket_id}"
_NOTES = f"{_TICKET}/notes"

_TABLE: tuple[tuple[str, str, Handler], ...] = (
    ("GET", "/requests", requests.list_requests),
    ("POST", "/requests", requests.add_request),
    ("GET", _TICKET, requests.show_request),
    ("PUT", _TICKET, requests.edit_request),
    ("DELETE", _TICKET, requests.delete_request),
    ("PUT", f"{_TICKET}/assign", requests.assign_request),
    ("PUT", f"{_TICKET}/pickup", requests.pick_up_request),
    ("PUT", f"{_TICKET}/close", requests.close_request),
    ("DELETE", f"{_TICKET}/move_to_trash", requests.trash_request),
    ("PUT", f"{_TICKET}/restore_from_trash", requests.restore_request),
    ("GET", f"{_TICKET}/resolutions", resolutions.show_resolution),
    ("POST", f"{_TICKET}/resolutions", resolutions.add_resolution),
    ("PUT", f"{_TICKET}/resolutions", resolutions.edit_resolution),
    ("GET", f"{_TICKET}/link_requests", links.list_links),
    ("POST", f"{_TICKET}/link_requests", links.add_links),
    ("DELETE", f"{_TICKET}/link_requests", links.delete_links),
    ("GET", _NOTES, notes.list_notes),
    ("POST", _NOTES, notes.add_note),
    ("GET", f"{_NOTES}/{{note_id}}", notes.show_note),
    ("PUT", f"{_NOTES}/{{note_id}}", notes.edit_note),
    ("DELETE", f"{_NOTES}/{{note_id}}", notes.delete_note),
    ("GET", "/solutions", solutions.list_solutions),
    ("POST", "/solutions", solutions.add_solution),
    ("GET", "/solutions/{solution_id}", solutions.show_solution),
    ("PUT", "/solutions/{solution_id}", solutions.edit_solution),
    ("GET", "/assets", assets.list_assets),
    ("GET", "/assets/{asset_id}", assets.show_asset),
    ("GET", "/workstations", assets.list_workstations),
    ("GET", "/workstations/{asset_id}", assets.show_workstation),
    ("GET", "/asset_{module}", assets.list_new),
    ("GET", "/asset_{module}/{asset_id}", assets.show_new),
)


def create_app(simulator: Simulator) -> ASGIApp:
    """The app that serves `simulator`, in the edition of its options."""
    api = [Route(path, endpoint(handler), methods=[method]) for method, path, handler in _TABLE]
    app = Starlette(
        routes=[Mount(ADMIN_PREFIX, routes=admin_routes()), Mount(simulator.options.api_root, routes=api)],
        exception_handlers={404: _no_such_path, 405: _no_such_path},
    )
    app.state.simulator = simulator
    return Gate(app, simulator)


async def _no_such_path(request: Request, error: Exception) -> Response:
    return response_of(not_found().answer())
