"""A system whose fence lets everybody in, to see that this is noticed. Made of answers, not of code."""

import json
import re

from bench.chaos.proxy import Call, Moment, Observer

_START = re.compile(r"/v1/jobs/([^/]+)/start$")
REFUSED = 409


class OpenFence:
    """Turns the bridge's refusals at the fence into what it says to a run that it lets in.

    Args:
        observer: Sees every call first, and may still cut it.
    """

    def __init__(self, observer: Observer) -> None:
        self.opened = 0
        self._observer = observer
        self._claims: dict[str, bytes] = {}

    def observe(self, call: Call, moment: Moment) -> bool:
        """As an `Observer`."""
        if call.service == "claims" and moment is Moment.ANSWERED:
            self._change(call)
        return self._observer(call, moment)

    def _change(self, call: Call) -> None:
        start = _START.match(call.path)
        if call.path == "/v1/claims" and call.status == 200:
            for claim in json.loads(call.answer)["jobs"]:
                self._claims[claim["job"]["job_id"]] = json.dumps(claim).encode()
        elif start and call.status == REFUSED and start[1] in self._claims:
            call.replace(self._claims[start[1]])
            self.opened += 1
