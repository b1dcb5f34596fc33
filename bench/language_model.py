"""An OpenAI-compatible server for benchmarks: `python -m bench.language_model HOST PORT`.

It answers with the four sections, citing ids that it finds in the prompt, after the delay that was set last
with `PUT /delay` (a number, seconds).
"""

import asyncio
import json
import re
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

_SOURCE_ID = re.compile(r"\b(?:TKT|KB|IP|HOST)-[\w.:-]*\w")
_SECTIONS = (
    "Similar Tickets",
    "Relevant Documentation",
    "System Information",
    "Recommended Next Steps",
)


def main(host: str, port: int) -> None:
    """Serve until SIGTERM."""
    app = Starlette(
        routes=[
            Route("/v1/chat/completions", _complete, methods=["POST"]),
            Route("/delay", _set_delay, methods=["PUT"]),
            Route("/ready", _ready),
        ]
    )
    app.state.delay_seconds = 0.0
    uvicorn.run(app, host=host, port=port, log_config=None, access_log=False, lifespan="off")


def answer_to(prompt: str) -> str:
    """Markdown whose sentences cite the first ids of `prompt`."""
    ids = list(dict.fromkeys(_SOURCE_ID.findall(prompt)))[: len(_SECTIONS)] or ["TKT-1"]
    parts = [
        f"### {name}\n- This was seen before and is described there [{ids[number % len(ids)]}]."
        for number, name in enumerate(_SECTIONS)
    ]
    return "\n\n".join(parts)


async def _complete(request: Request) -> JSONResponse:
    body = json.loads(await request.body())
    await asyncio.sleep(request.app.state.delay_seconds)
    message = {"role": "assistant", "content": answer_to(body["messages"][-1]["content"])}
    return JSONResponse(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200},
        }
    )


async def _set_delay(request: Request) -> JSONResponse:
    request.app.state.delay_seconds = float(await request.body())
    return JSONResponse({"delay_seconds": request.app.state.delay_seconds})


async def _ready(request: Request) -> JSONResponse:
    return JSONResponse({"delay_seconds": request.app.state.delay_seconds})


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
