"""The world outside: a simulated service desk and an LLM gateway, processes of their own."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr

from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.supervisor import Program, Supervisor
from enhancer_dagster.runtime.system import REPOSITORY, answers
from enhancer_dagster.simulator.seed import sample_seed

DESK_KEY = "bench-technician-key"

Fact = TypeVar("Fact")


class Services:
    """Both services, running.

    Args:
        desk_url: Base address of the service desk.
        gateway: Address of the LLM's process.
    """

    def __init__(self, desk_url: str, gateway: str) -> None:
        self.desk_url = desk_url
        self.llm_base_url = f"{gateway}/v1"
        self.desk_delay = 0.0
        self._admin = _client(f"{desk_url}/_admin")
        self._desk = _client(f"{desk_url}/api/v3", authtoken=DESK_KEY)
        self._gateway = _client(gateway)

    def delay(self, *, llm: float = 0.0, desk: float = 0.0) -> None:
        """Set the seconds that each call takes at least."""
        self._gateway.put("/delay", content=str(llm)).raise_for_status()
        self._admin.put("/options", json={"delay_seconds": desk}).raise_for_status()
        self.desk_delay = desk

    def new_tickets(self, count: int) -> list[dict[str, Any]]:
        """Tickets that were just opened, worded as those of the sample; no webhook is sent."""
        sample = sample_seed().new
        chosen = (sample[number % len(sample)] for number in range(count))
        return [self._new_ticket(one.subject, one.description, one.priority) for one in chosen]

    def updates(self) -> dict[str, list[float]]:
        """When each ticket was changed through the API, epoch seconds: arrival of the call plus the delay."""
        return self._changes(lambda call: call["seconds"] + self.desk_delay)

    def writes(self) -> dict[str, list[str]]:
        """What each ticket was changed to through the API, in order."""
        return self._changes(lambda call: call["text"] or "")

    def description(self, ticket_id: str) -> str:
        """What stands on a ticket now."""
        shown = self._desk.get(f"/requests/{ticket_id}").raise_for_status().json()
        return shown["request"]["description"] or ""

    def refuse_a_write(self) -> None:
        """Have the service desk answer the next change of a ticket with 404."""
        fault = {"kind": "status", "status": 404, "method": "PUT", "times": 1}
        self._admin.post("/faults", json=fault).raise_for_status()

    def tell_of_changes(self, url: str, secret: SecretStr) -> None:
        """Have the service desk send a webhook whenever a ticket is edited, by us too."""
        target = {
            "url": url,
            "secret": secret.get_secret_value(),
            "scheme": "standard",
            "events": ["updated"],
        }
        self._admin.put("/webhook", json=target).raise_for_status()

    def _changes(self, told: Callable[[dict[str, Any]], Fact]) -> dict[str, list[Fact]]:
        """By ticket, a fact of each call that changed it, in order."""
        calls = self._admin.get("/log", params={"changed": "true"}).raise_for_status().json()["calls"]
        found: dict[str, list[Fact]] = {}
        for call in calls:
            found.setdefault(call["ticket_id"], []).append(told(call))
        return found

    def _new_ticket(self, subject: str, description: str, priority: str) -> dict[str, Any]:
        wanted = {
            "subject": subject, "description": description, "priority": priority, "announce": False,
        }  # fmt: skip
        return self._admin.post("/tickets", json=wanted).raise_for_status().json()["request"]


@contextmanager
def running_services(log_folder: Path, host: str = "127.0.0.1") -> Iterator[Services]:
    """Both services on free ports of an address of this machine, for the length of a `with` block."""
    desk_port, llm_port = free_port(), free_port()
    desk_url, gateway = f"http://{host}:{desk_port}", f"http://{host}:{llm_port}"
    desk = Program(
        "simulator",
        (
            str(Path(sys.executable).parent / "enhancer"), "simulate-servicedesk",
            "--host", host, "--port", str(desk_port), "--api-key", DESK_KEY,
        ),
        answers(f"{desk_url}/_admin/new_tickets"),
    )  # fmt: skip
    llm = Program(
        "language-model",
        (sys.executable, "-m", "bench.language_model", host, str(llm_port)),
        answers(f"{gateway}/ready"),
    )
    supervisor = Supervisor(bench_environment(), log_folder)
    try:
        supervisor.start(desk, llm)
        yield Services(desk_url, gateway)
    finally:
        supervisor.stop()


def _client(base_url: str, **headers: str) -> httpx.Client:
    # uvicorn closes a connection that was idle for five seconds, maybe just when it is used again.
    limits = httpx.Limits(keepalive_expiry=2)
    return httpx.Client(base_url=base_url, timeout=60, limits=limits, headers=headers)


def bench_environment() -> dict[str, str]:
    """This process's environment, in which the modules of `bench` are found."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), os.environ.get("PYTHONPATH", "")])}
