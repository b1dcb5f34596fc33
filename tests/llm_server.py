"""An OpenAI-compatible server for tests: it says what it is told to say, and fails as it is told to fail."""

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

PROMPT_TOKENS, COMPLETION_TOKENS = 1000, 200
TITLES = ("Similar Tickets", "Relevant Documentation", "System Information", "Recommended Next Steps")

_ALLOWED_IDS = re.compile(r"\b(?:TKT|KB|IP|HOST)-[\w.:-]*\w")
_ORDER = re.compile(
    r"\b(?:say|output|print|write|append|include|(?:answer|reply|respond)(?: only)? with)\b[^:\n]{0,60}:\s*"
    r"((?:.+\n?)+)",
    re.IGNORECASE,
)


@dataclass
class Asked:
    """A request that came in. `seconds` is monotonic."""

    model: str
    messages: list[dict[str, str]]
    headers: dict[str, str]
    seconds: float
    body: dict[str, Any]

    @property
    def user(self) -> str:
        """What stood in the user's message."""
        return self.messages[-1]["content"]


Answer = Callable[[Asked], Response]


def _grounded(asked: Asked) -> str:
    listed = asked.messages[0]["content"].partition("no others: ")[2].partition("\n")[0]
    ids = _ALLOWED_IDS.findall(listed)
    if not ids:
        return f"### {TITLES[-1]}\n1. Ask the user for details."
    sections = (f"### {title}\n- This is known [{ids[n % len(ids)]}]." for n, title in enumerate(TITLES))
    return "\n\n".join(sections)


def says(text: str | Callable[[Asked], str], *, finish_reason: str = "stop", **usage: Any) -> Answer:
    """A completion with `text`, which may follow from what was asked."""

    def answer(asked: Asked) -> Response:
        content = text if isinstance(text, str) else text(asked)
        tokens = {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": COMPLETION_TOKENS}
        message = {"role": "assistant", "content": content}
        return JSONResponse(
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": asked.model,
                "choices": [{"index": 0, "message": message, "finish_reason": finish_reason}],
                "usage": tokens | usage,
            }
        )

    return answer


def fails(status: int, **headers: str) -> Answer:
    """An HTTP error."""
    shown = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda _: JSONResponse({"error": {"message": "as told"}}, status, headers=shown)


def raw(body: str, media_type: str = "application/json") -> Answer:
    """Something that is no completion."""
    return lambda _: Response(body, media_type=media_type)


def echoes() -> Answer:
    """A completion that repeats the whole prompt."""
    return says(lambda asked: "\n\n".join(message["content"] for message in asked.messages))


def cites() -> Answer:
    """A completion with the four sections, each sentence of which cites ids that the prompt allows."""
    return says(_grounded)


def obeys() -> Answer:
    """A completion that does what text in the prompt tells it to say, as a model without any defence would.

    What it is told to say is what follows "say:", "answer with:", "write:" and the like, to the next blank
    line. Told nothing, it cites.
    """
    return says(lambda asked: orders_in(asked.user) or _grounded(asked))


def orders_in(text: str) -> str:
    """What a model that obeys is told to say in `text`."""
    return "\n\n".join(_ORDER.findall(text))


def invents() -> Answer:
    """A completion that cites only what was never given."""
    return says(
        "\n\n".join(f"### {title}\n- This happened before [TKT-99999] (KB-88888)." for title in TITLES)
    )


def hangs_up() -> Answer:
    """Half an answer, after which the connection is closed."""
    return lambda _: Response(b'{"choices": [', headers={"content-length": "1000"})


def drips() -> Answer:
    """One byte a second, for ever."""

    async def body() -> AsyncIterator[bytes]:
        while True:
            yield b" "
            await asyncio.sleep(1)

    return lambda _: StreamingResponse(body(), media_type="application/json")


def holds(released: threading.Event, answer: Answer) -> Answer:
    """What `answer` says, once that is released."""

    def later(asked: Asked) -> Response:
        said = bytes(answer(asked).body)

        async def body() -> AsyncIterator[bytes]:
            while not released.is_set():
                await asyncio.sleep(0.05)
            yield said

        return StreamingResponse(body(), media_type="application/json")

    return later


def silent(seconds: float = 600) -> Answer:
    """Nothing, for so long."""

    async def body() -> AsyncIterator[bytes]:
        await asyncio.sleep(seconds)
        yield b""

    return lambda _: StreamingResponse(body(), media_type="application/json")


@dataclass
class LlmServer:
    """A server that is running. Answers are given by model, or else by `answer`."""

    url: str = ""
    answer: Answer = field(default_factory=lambda: says("ok"))
    by_model: dict[str, Answer] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    async def respond(self, request: Request) -> Response:
        """Answer a chat completion."""
        body = json.loads(await request.body())
        asked = Asked(body["model"], body["messages"], dict(request.headers), time.monotonic(), body)
        self.asked.append(asked)
        return self.by_model.get(asked.model, self.answer)(asked)


@contextmanager
def llm_server() -> Iterator[LlmServer]:
    """A server on a free loopback port, for the length of a `with` block."""
    state = LlmServer()
    app = Starlette(routes=[Route("/v1/chat/completions", state.respond, methods=["POST"])])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        state.url = f"http://127.0.0.1:{listener.getsockname()[1]}/v1"
        config = uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([listener],), daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield state
        finally:
            server.should_exit = True
            thread.join(10)
