"""A call of the API as the handlers see it, and the bridge from Starlette to them."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from enhancer_dagster.simulator.answers import Answer, Json, Refusal
from enhancer_dagster.simulator.desk import SimulatedDesk
from enhancer_dagster.simulator.dialects import Dialect
from enhancer_dagster.simulator.input_data import read_input
from enhancer_dagster.simulator.journal import CallRecord
from enhancer_dagster.simulator.options import SimulatorOptions


@dataclass(frozen=True, slots=True)
class Call:
    """What a handler needs to know.

    Attributes:
        path: The variable parts of the path.
        input_data: The call's JSON, `{}` where it has none.
        record: Where the handler says what it changed.
    """

    desk: SimulatedDesk
    options: SimulatorOptions
    path: dict[str, str]
    input_data: Json
    record: CallRecord

    @property
    def dialect(self) -> Dialect:
        """The edition's dialect."""
        return self.desk.dialect


Handler = Callable[[Call], Answer]
Endpoint = Callable[[Request], Awaitable[Response]]


def endpoint(handler: Handler) -> Endpoint:
    """A Starlette endpoint that asks `handler` and turns refusals into answers."""

    async def respond(request: Request) -> Response:
        simulator = request.app.state.simulator
        try:
            input_data = read_input(request.scope["query_string"], await request.body())
            call = Call(
                desk=simulator.desk,
                options=simulator.options,
                path=request.path_params,
                input_data=input_data,
                record=request.scope["simulator.record"],
            )
            return response_of(handler(call))
        except Refusal as refusal:
            return response_of(refusal.answer())

    return respond


def response_of(answer: Answer) -> Response:
    """`answer` as Starlette sends it."""
    if isinstance(answer.body, str):
        return PlainTextResponse(answer.body, answer.status, answer.headers, media_type="text/html")
    return _AsciiJSON(answer.body, answer.status, answer.headers)


class _AsciiJSON(JSONResponse):
    def render(self, content: object) -> bytes:
        # Escaped, because text from outside may hold what UTF-8 cannot say.
        return json.dumps(content, separators=(",", ":")).encode("ascii")
