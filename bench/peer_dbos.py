"""The empty steps as a DBOS workflow of four steps; runs in the peers' environment.

Worker: `python -m bench.peer_dbos serve`. Sender: `python -m bench.peer_dbos COUNT GAP_SECONDS`, which prints
when it sent each, epoch seconds by id.
"""

import json
import os
import signal
import sys
import time
from uuid import uuid4

from dbos import DBOS, DBOSClient  # pyright: ignore[reportMissingImports]

from bench import empty_steps

SYSTEM_DATABASE_VARIABLE = "BENCH_DBOS_URL"
READY = "BENCH_DBOS_READY"
QUEUE = "tickets"
POLL_SECONDS = 0.1
"""DBOS looks at its queue once a second unless told otherwise; so it loses less time to waiting."""


def serve() -> None:
    """Execute workflows until SIGTERM."""
    DBOS(config={"name": "bench", "system_database_url": os.environ[SYSTEM_DATABASE_VARIABLE]})
    steps = [
        DBOS.step()(step)
        for step in (empty_steps.gather, empty_steps.synthesize, empty_steps.update, empty_steps.record)
    ]

    @DBOS.workflow(name="enhance")
    def enhance(ticket_id: str) -> str:
        for step in steps:
            ticket_id = step(ticket_id)
        return ticket_id

    DBOS.launch()
    DBOS.register_queue(QUEUE, polling_interval_sec=POLL_SECONDS)
    with open(os.environ[READY], "w"):  # noqa: PTH123 - an empty file that says so
        pass
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    DBOS.destroy()


def send(count: int, gap_seconds: float) -> None:
    """Send `count` tickets."""
    client = DBOSClient(system_database_url=os.environ[SYSTEM_DATABASE_VARIABLE])
    sent = {}
    for _ in range(count):
        ticket_id = uuid4().hex
        sent[ticket_id] = time.time()
        client.enqueue({"queue_name": QUEUE, "workflow_name": "enhance"}, ticket_id)
        time.sleep(gap_seconds)
    client.destroy()
    print(json.dumps(sent))


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        send(int(sys.argv[1]), float(sys.argv[2]))
