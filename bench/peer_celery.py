"""The empty steps as a chain of four Celery tasks; runs in the peers' environment.

Worker: `celery --app bench.peer_celery worker`. Sender: `python -m bench.peer_celery COUNT GAP_SECONDS`,
which prints when it sent each, epoch seconds by id.
"""

import json
import os
import sys
import time
from typing import Any
from uuid import uuid4

from celery import Celery, chain

from bench import empty_steps

BROKER_VARIABLE = "BENCH_REDIS_URL"

app = Celery("bench", broker=os.environ.get(BROKER_VARIABLE))
app.conf.task_ignore_result = True

gather: Any = app.task(empty_steps.gather, name="gather")
synthesize: Any = app.task(empty_steps.synthesize, name="synthesize")
update: Any = app.task(empty_steps.update, name="update")
record: Any = app.task(empty_steps.record, name="record")


def main(count: int, gap_seconds: float) -> None:
    """Send `count` tickets."""
    sent = {}
    for _ in range(count):
        ticket_id = uuid4().hex
        sent[ticket_id] = time.time()
        chain(gather.s(ticket_id), synthesize.s(), update.s(), record.s()).apply_async()
        time.sleep(gap_seconds)
    print(json.dumps(sent))


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]))
