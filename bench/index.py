"""A million tickets: how fast they are indexed and asked, how much is found, memory and disk.

Texts are recombined from real tickets. Their vectors are made from those of the halves and put into the cache
of embeddings, so that the build finds all of them there, as a nightly rebuild does. Queries are real tickets
with words missing, encoded by the model.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from loguru import logger

from bench.report import show_json, show_table
from bench.tickets import Recombiner, queries
from enhancer_dagster.search import checks
from enhancer_dagster.search.build import BuildReport, build_index
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.documents import Document, passage
from enhancer_dagster.search.encoder import open_encoder
from enhancer_dagster.search.encoding import embedding_cache, encoder_folder
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.settings import BuildSettings
from enhancer_dagster.search.snapshot import TICKETS, Snapshot

TENANT = "bench"
_QUERIES = 500
_RAW_TEXT = "tickets/records.bin"


def main(
    vectors: Annotated[int, typer.Option(help="Tickets in the index.")] = 1_000_000,
    seed: Annotated[int, typer.Option(help="Of the generator.")] = 20_251_102,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object instead of a table.")] = False,
    folder: Annotated[Path | None, typer.Option(help="Work here and keep it; 4 GB at a million.")] = None,
) -> None:
    """Build, recall, latency, memory and disk of an index."""
    logger.remove()
    logger.add(sys.stderr, level="INFO")
    work = folder or Path(tempfile.mkdtemp(prefix="enhancer-bench-index-"))
    try:
        figures = _measure(work, vectors, seed)
    finally:
        if folder is None:
            shutil.rmtree(work, ignore_errors=True)
    if as_json:
        show_json(figures)
    else:
        show_table(f"{vectors:,} tickets", ("measure", "value"), list(figures.items()))


def _measure(work: Path, count: int, seed: int) -> dict[str, Any]:
    generator = Recombiner(seed)
    documents = _prepare(work, generator, count)
    started, cpu_started = time.monotonic(), time.process_time()
    report = build_index(TENANT, IndexContent(tickets=documents), work / "index", work / "work")
    build_s, build_cpu_s = time.monotonic() - started, time.process_time() - cpu_started
    if not report.published:
        raise SystemExit(f"not published: {report.failed_checks}")
    del documents
    logger.info("built in {:.0f} s: {}", build_s, report.manifest.statistics)
    texts = queries(_QUERIES, seed)
    asked = _ask(work, texts)
    return {
        "vectors": count,
        "recall_at_10": _recall(work, report, texts),
        **asked,
        "build_s": round(build_s, 1),
        "build_cpu_s": round(build_cpu_s, 1),
        "disk_mb": round((report.manifest.bytes - report.manifest.files[_RAW_TEXT].bytes) / 1e6),
        "disk_with_raw_text_mb": round(report.manifest.bytes / 1e6),
        "encoded": report.manifest.statistics["encoded"],
    }


def _prepare(work: Path, generator: Recombiner, count: int) -> list[Document]:
    """The tickets, their vectors in the cache of embeddings."""
    settings = BuildSettings()
    encoder = open_encoder(encoder_folder(work / "work", settings), settings.threads)
    cache = embedding_cache(work / "work", TENANT, encoder)
    pairs = generator.pairs(count)
    documents = list(generator.documents(pairs))
    if len(cache) < count:
        heads, tails = generator.half_vectors(work, encoder)
        made = generator.vectors(pairs, heads, tails)
        cache.add([passage(document.title, document.body) for document in documents], made)
    return documents


def _ask(work: Path, texts: list[str]) -> dict[str, Any]:
    """What a fresh process takes, started twice: once to warm the file cache, once to measure."""
    path = work / "queries.json"
    path.write_text(json.dumps(texts))
    command = [sys.executable, "-m", "bench.asker", str(work / "index"), TENANT, str(path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    answers: dict[str, Any] = {}
    for _ in range(2):
        started = time.time()
        output = subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout
        answers = json.loads(output)
        answers["cold_s"] = round(answers.pop("answered_at") - started, 3)
    return answers


def _recall(work: Path, report: BuildReport, texts: list[str]) -> float:
    place = TenantLocation(work / "index", TENANT)
    snapshot = Snapshot(place.snapshot(report.manifest.snapshot_id))
    asked = snapshot.encoder.queries([passage("", text) for text in texts])
    return round(checks.recall(snapshot.corpora[TICKETS].vectors, asked), 4)
