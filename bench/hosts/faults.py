"""One host is cut off and comes back, another one dies whole, while tickets come; and what that did."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loguru import logger

from bench.chaos.senders import Senders
from bench.chaos.system import url_of
from bench.chaos.verdict import Evidence, Verdict, is_at_rest, jobs_by_ticket, judge
from bench.hosts.runs import Run, by_worker, runs_of
from bench.hosts.system import WORKERS, Hosts
from bench.tracking import Tracker

LIMITS = {"lease_seconds": 45, "run_soft_limit_seconds": 50, "run_hard_limit_seconds": 60}
"""Longer than a host is cut off, and short enough to see what a lost host's leases lead to."""

DIES, LEAVES = WORKERS
SENDING_SECONDS = 60.0
CUT_OFF_AT, CUT_OFF_SECONDS, KILLED_AT = 6.0, 30.0, 40.0
LLM_SECONDS = 2.0
STALL_SECONDS = 200.0


@dataclass(frozen=True)
class Faults:
    """What happened, when (epoch seconds), and how it ended.

    Attributes:
        fetched: By host, how many snapshots of the index it has in its cache.
    """

    cut_off_at: float
    killed_at: float
    verdict: Verdict
    runs: list[Run]
    fetched: dict[str, int]

    @property
    def died_with_host(self) -> list[Run]:
        """The runs that the killed host had."""
        return [run for run in self.runs if run.was_with(f"tickets@{DIES}", self.killed_at)]

    @property
    def cut_off(self) -> list[Run]:
        """The runs that the other host had when it was cut off."""
        return [run for run in self.runs if run.was_with(f"tickets@{LEAVES}", self.cut_off_at)]

    def as_json(self) -> dict[str, Any]:
        """The figures."""
        ends = [run.ended_at - self.killed_at for run in self.died_with_host if run.ended_at]
        return {
            "tickets": self.verdict.states.total(),
            **{state: self.verdict.states[state] for state in ("completed", "failed", "dead")},
            "lost": self.verdict.lost,
            "doubled": self.verdict.doubled,
            "runs": by_worker(self.runs),
            "runs_without_end": sum(not run.has_ended for run in self.runs),
            "runs_executed_twice": sum(run.executions > 1 for run in self.runs),
            "snapshots_fetched": self.fetched,
            "killed_host": {"runs": len(ends), "last_end_s": round(max(ends, default=0.0), 1)},
            "cut_off_host": {
                "runs": len(self.cut_off),
                "marked_as_failed": sum(run.was_failure for run in self.cut_off),
                "succeeded": sum(run.status == "SUCCESS" for run in self.cut_off),
            },
            "problems": list(self.verdict.problems),
        }


def suffer(hosts: Hosts, tickets: int) -> Faults:
    """Send tickets, do to the hosts what is to be done, wait until all is at rest, and judge."""
    tenant, services, leaves = hosts.tenant, hosts.services, hosts.network.hosts[LEAVES]
    services.delay(llm=LLM_SECONDS)
    base = hosts.settings.webhook_base
    services.tell_of_changes(f"{base}/webhook/servicedesk/{tenant.tenant_id}", tenant.webhook_secrets[0])
    senders = Senders(base, tenant, lambda: services.new_tickets(1)[0])
    over, began = threading.Event(), time.time()
    sending = threading.Thread(target=senders.run, args=(SENDING_SECONDS / tickets, over))
    sending.start()
    try:
        _await(hosts, LEAVES, began + CUT_OFF_AT)
        cut_off_at = _now(f"host {LEAVES} is cut off", leaves.cut_off)
        time.sleep(CUT_OFF_SECONDS)
        _now(f"host {LEAVES} is back", leaves.connect)
        _await(hosts, DIES, began + KILLED_AT)
        killed_at = _now(f"host {DIES} is killed", hosts.network.hosts[DIES].kill)
        while len(senders.deliveries) < tickets:
            time.sleep(0.1)
    finally:
        over.set()
        sending.join()
    _drain(hosts)
    jobs = jobs_by_ticket(url_of(hosts.settings, "database_url"))
    verdict = judge(senders.deliveries, Evidence(jobs, services.writes(), services.description))
    runs = runs_of(hosts.ui, url_of(hosts.settings, "dagster_database_url"), hosts.claimants())
    fetched = {name: len(hosts.fetched_snapshots(name)) for name in WORKERS}
    return Faults(cut_off_at, killed_at, verdict, runs, fetched)


def _await(hosts: Hosts, host: str, moment: float) -> None:
    """Wait for a moment, and until the host executes runs."""
    time.sleep(max(0.0, moment - time.time()))
    while not hosts.is_busy(host):
        time.sleep(0.1)


def _now(what: str, act: Callable[[], None]) -> float:
    now = time.time()
    act()
    logger.info("hosts: {}", what)
    return now


def _drain(hosts: Hosts) -> None:
    """Wait until every job has ended, history knows it, and no run is on its way."""
    url, tracker = url_of(hosts.settings, "database_url"), Tracker(hosts.settings)
    left, moved_at = -1, time.monotonic()
    while left and time.monotonic() - moved_at < STALL_SECONDS:
        now_left = sum(not is_at_rest([one]) for one in jobs_by_ticket(url).values())
        now_left += not tracker.is_quiet()
        if now_left != left:
            left, moved_at = now_left, time.monotonic()
            logger.info("hosts: {} tickets are not at rest", left)
        time.sleep(1)
