"""Tells from a call that passes by which boundary the system is at, and whose run it is."""

import json
import re
from dataclasses import dataclass
from typing import Any

from bench.chaos.boundaries import Boundary
from bench.chaos.proxy import Call, Moment

_JOB = re.compile(r"/v1/jobs/[^/]+/(start|finish)$")
_TICKET = re.compile(r"/api/v3/requests/[^/]+$")


@dataclass(frozen=True)
class Sighting:
    """A boundary at which somebody is. `run_id` is that run's, None where it is no run's."""

    boundary: Boundary
    run_id: str | None = None


class Watch:
    """Remembers of each run what is needed to tell its ops apart."""

    def __init__(self) -> None:
        self._run_of: dict[str, str] = {}
        self._has_read: set[str] = set()
        self._has_written: set[str] = set()

    def see(self, call: Call, moment: Moment) -> Sighting | None:
        """The boundary that this moment of the call is, if it is one."""
        if call.service == "webhook":
            at_commit = moment is Moment.ANSWERED and call.status == 202
            return Sighting(Boundary.COMMITTED) if at_commit else None
        if call.service == "claims":
            return self._see_claims(call, moment)
        run_id = self._run_of.get(call.headers.get("x-correlation-id", ""))
        if run_id is None:
            return None
        boundary = (
            self._at_the_llm(moment) if call.service == "llm" else self._at_the_desk(call, moment, run_id)
        )
        return Sighting(boundary, run_id) if boundary else None

    def _see_claims(self, call: Call, moment: Moment) -> Sighting | None:
        if call.path == "/v1/claims":
            has_jobs = moment is Moment.ANSWERED and call.status == 200 and _json(call.answer).get("jobs")
            return Sighting(Boundary.CLAIMED) if has_jobs else None
        found = _JOB.match(call.path)
        if found is None:
            return None
        asked = _json(call.body)
        run_id = str(asked.get("run_id"))
        if found[1] == "start":
            return self._see_start(call, moment, run_id)
        if asked.get("outcome") != "completed" or asked.get("record", {}).get("skipped"):
            return None
        boundary = {Moment.ARRIVED: Boundary.BEFORE_FINISH, Moment.ANSWERED: Boundary.FINISHED}.get(moment)
        return Sighting(boundary, run_id) if boundary else None

    def _see_start(self, call: Call, moment: Moment, run_id: str) -> Sighting | None:
        if moment is not Moment.ANSWERED or call.status != 200:
            return None
        self._run_of[str(_json(call.answer).get("correlation_id"))] = run_id
        return Sighting(Boundary.RECORD, run_id) if run_id in self._has_written else None

    def _at_the_llm(self, moment: Moment) -> Boundary | None:
        return {Moment.ARRIVED: Boundary.SYNTHESIZE, Moment.DELIVERED: Boundary.LLM_ANSWERED}.get(moment)

    def _at_the_desk(self, call: Call, moment: Moment, run_id: str) -> Boundary | None:
        if not _TICKET.search(call.path.partition("?")[0]):
            return None
        if call.method == "GET" and moment is Moment.ARRIVED and run_id not in self._has_read:
            self._has_read.add(run_id)
            return Boundary.GATHER
        if call.method != "PUT":
            return None
        if moment is Moment.ANSWERED and call.status == 200:
            self._has_written.add(run_id)
            return Boundary.WRITTEN
        return Boundary.UPDATE if moment is Moment.ARRIVED else None


def _json(body: bytes) -> dict[str, Any]:
    try:
        content = json.loads(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
