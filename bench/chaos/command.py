"""`python -m bench chaos`: the real system under load, killed again and again, and every ticket checked.

The system runs as `enhancer up` runs it: a supervisor starts again what has died. Only leases and limits are
shorter than by default, so that what a kill leaves is taken up again within the minutes that this takes.
"""

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import typer
from loguru import logger

from bench.chaos.boundaries import Boundary
from bench.chaos.killer import Killer
from bench.chaos.open_fence import OpenFence
from bench.chaos.proxy import running_proxy
from bench.chaos.senders import Senders
from bench.chaos.targets import Targets
from bench.chaos.verdict import ENDED, Evidence, Verdict, is_at_rest, jobs_by_ticket, judge
from bench.deployment import add_tenant, await_index, bench_folder, bench_settings
from bench.report import show_json, show_table
from bench.services import Services, running_services
from enhancer_dagster.domain.errors import ConfigurationError
from enhancer_dagster.runtime.installation import ready_installation
from enhancer_dagster.runtime.supervisor import Supervisor
from enhancer_dagster.runtime.system import running_system
from enhancer_dagster.settings import Settings

TICKETS_PER_MINUTE = 60
REVIVE_SECONDS = 1.0
"""As in `enhancer up`."""

STALL_SECONDS = 240.0
"""Without any job ending for so long, the drain is given up: leases and back-offs are shorter."""

LIMITS = {"lease_seconds": 45, "run_soft_limit_seconds": 25, "run_hard_limit_seconds": 30}
LLM_SECONDS = 0.3


@dataclass(frozen=True)
class Chaos:
    """A run of it: what was killed how often, and the verdict."""

    seed: int
    seconds: float
    sent: int
    verdict: Verdict
    kills: dict[str, int]

    def as_json(self) -> dict[str, Any]:
        """What `--json` prints. `tickets` are those that were promised, by 202 or as a known delivery."""
        states = {state: self.verdict.states[state] for state in ENDED}
        return {
            "tickets": self.verdict.states.total(),
            **states,
            "lost": self.verdict.lost,
            "doubled": self.verdict.doubled,
            "kills": self.kills,
            "sent": self.sent,
            "seed": self.seed,
            "seconds": round(self.seconds, 1),
            "problems": list(self.verdict.problems),
        }


def main(
    minutes: Annotated[float, typer.Option(min=0.5, help="How long it is killed, without the drain.")] = 3.0,
    tickets: Annotated[
        int | None, typer.Option(min=1, help=f"How many are sent; by default {TICKETS_PER_MINUTE} a minute.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Makes the order of the kills repeatable.")] = 1,
    without_fence: Annotated[
        bool, typer.Option(help="Let every run through the fence, to see that it is noticed.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of tables.")] = False,
) -> None:
    """Kill the system at every boundary and check every ticket; exit code 1 where one is lost or doubled."""
    result = run(minutes, tickets or round(minutes * TICKETS_PER_MINUTE), seed, without_fence=without_fence)
    if as_json:
        show_json(result.as_json())
    else:
        _show(result)
    if result.verdict.problems:
        raise typer.Exit(1)


def run(minutes: float, tickets: int, seed: int, *, without_fence: bool = False) -> Chaos:
    """Start the system, let it be killed for `minutes`, wait until all is at rest, and judge.

    Args:
        minutes: Without start and drain.
        tickets: How many are sent.
        seed: Of the kills.
        without_fence: Whether the system is a broken one, whose fence lets every run in.
    """
    rng = random.Random(seed)
    settings: dict[str, Any] = {**LIMITS, "llm_timeout_seconds": 10, "webhook_rate_per_address": 1000}
    with (
        bench_folder() as folder,
        ready_installation(bench_settings(folder, **settings)) as ready,
        running_services(folder / "logs") as services,
    ):
        began = time.monotonic()
        killer = Killer(Targets(ready, rng), _url(ready, "dagster_database_url"), rng)
        fence = OpenFence(killer.observe)
        with running_proxy(fence.observe if without_fence else killer.observe) as proxy:
            webhooks = proxy.in_front_of("webhook", ready.webhook_base)
            watched = {
                "claim_url": proxy.in_front_of("claims", ready.claim_api),
                "llm_base_url": proxy.in_front_of("llm", services.llm_base_url),
            }
            ready = ready.model_copy(update=watched)
            tenant = add_tenant(ready, proxy.in_front_of("desk", services.desk_url))
            services.delay(llm=LLM_SECONDS)
            senders = Senders(webhooks, tenant, lambda: services.new_tickets(1)[0])
            with running_system(ready, folder / "logs") as supervisor:
                await_index(ready, tenant)
                services.tell_of_changes(
                    f"{webhooks}/webhook/servicedesk/{tenant.tenant_id}", tenant.webhook_secrets[0]
                )
                with _in_background(killer.run):
                    _let_loose(killer, senders, supervisor, tickets, minutes * 60)
                _drain(ready, supervisor)
                evidence = _evidence(ready, services)
                verdict = judge(senders.deliveries, evidence)
        kills = {str(boundary): killer.kills[boundary] for boundary in Boundary}
    logger.info("chaos: {} runs were let in that the fence had refused", fence.opened)
    return Chaos(seed, time.monotonic() - began, len(senders.deliveries), verdict, kills)


def _let_loose(
    killer: Killer, senders: Senders, supervisor: Supervisor, tickets: int, seconds: float
) -> None:
    """Kill and send, and start again what died: from this thread, with which the processes would end."""
    sending = threading.Thread(target=senders.run, args=(tickets, seconds))
    sending.start()
    killer.on = True
    give_up_at = time.monotonic() + seconds
    while time.monotonic() < give_up_at:
        supervisor.revive()
        time.sleep(REVIVE_SECONDS)
    killer.on = False
    logger.info("chaos: no more kills, {} so far", killer.kills.total())
    while sending.is_alive():
        supervisor.revive()
        time.sleep(REVIVE_SECONDS)


def _drain(settings: Settings, supervisor: Supervisor) -> None:
    left, moved_at = -1, time.monotonic()
    while time.monotonic() - moved_at < STALL_SECONDS:
        supervisor.revive()
        jobs = jobs_by_ticket(_url(settings, "database_url"))
        if is_at_rest(jobs.values()):
            return
        now_left = sum(not is_at_rest([one]) for one in jobs.values())
        if now_left != left:
            left, moved_at = now_left, time.monotonic()
            logger.info("chaos: {} tickets are not at rest", left)
        time.sleep(REVIVE_SECONDS)
    logger.warning("chaos: {} tickets do not come to rest", left)


def _evidence(settings: Settings, services: Services) -> Evidence:
    return Evidence(
        jobs=jobs_by_ticket(_url(settings, "database_url")),
        writes=services.writes(),
        shown=services.description,
    )


@contextmanager
def _in_background(work: Any) -> Iterator[None]:
    over = threading.Event()
    thread = threading.Thread(target=work, args=(over,), name="killer")
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _url(settings: Settings, name: str) -> str:
    url = getattr(settings, name)
    if url is None:
        raise ConfigurationError(f"the installation is not ready: it has no {name}")
    return url.get_secret_value()


def _show(result: Chaos) -> None:
    shown = result.as_json()
    kills, problems = shown.pop("kills"), shown.pop("problems")
    show_table("Killed", ("boundary", "times"), list(kills.items()))
    show_table("Tickets", ("measure", "value"), list(shown.items()))
    for problem in problems:
        print(problem)
