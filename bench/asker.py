"""A process that only asks, as a ticket run does: `python -m bench.asker LOCATION TENANT QUERIES`."""

import json
import sys
import time
from pathlib import Path

from bench.latencies import p50_and_p95
from enhancer_dagster.search.query import SnapshotSearch


def main(location: str, tenant_id: str, queries_file: str) -> None:
    """Ask every query and print what it took."""
    search = SnapshotSearch(location)
    queries = json.loads(Path(queries_file).read_text())
    answered_at = None
    milliseconds: list[float] = []
    cpu_milliseconds: list[float] = []
    for query in queries:
        started, cpu_started = time.perf_counter(), time.process_time()
        title = " ".join(query.split()[:7])
        search.similar_tickets(tenant_id, title, query, exclude_ticket_id="", limit=5)
        milliseconds.append((time.perf_counter() - started) * 1000)
        cpu_milliseconds.append((time.process_time() - cpu_started) * 1000)
        answered_at = answered_at or time.time()
    memory = _memory()
    figures = {
        "answered_at": answered_at,
        "warm_ms": p50_and_p95(milliseconds[1:]),
        # What a query takes of a core, however many others want it.
        "warm_cpu_ms": p50_and_p95(cpu_milliseconds[1:]),
        "rss_anon_mb": memory["RssAnon"],
        "rss_file_mb": memory["RssFile"],
        "torch_imported": "torch" in sys.modules,
    }
    print(json.dumps(figures))


def _memory() -> dict[str, int]:
    """Anonymous and file-backed memory of this process in MB, as Linux counts it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return {line.split(":")[0]: int(line.split()[1]) // 1024 for line in lines if line.startswith("Rss")}


if __name__ == "__main__":
    main(*sys.argv[1:4])
