"""A snapshot from content: built beside the live one, checked, then published by replacing one small file."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from loguru import logger
from numpy.typing import NDArray

from enhancer_dagster.search import checks
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.corpus_build import CorpusText, build_corpus
from enhancer_dagster.search.corpus_index import CorpusIndex
from enhancer_dagster.search.embeddings import EmbeddingCache, Progress
from enhancer_dagster.search.encoder import Encoder, open_encoder
from enhancer_dagster.search.export import exported_encoder
from enhancer_dagster.search.inventory import build_inventory
from enhancer_dagster.search.location import TenantLocation, new_snapshot_id
from enhancer_dagster.search.manifest import (
    CheckResult,
    CorpusFacts,
    Manifest,
    describe_files,
    seal,
    write_manifest,
)
from enhancer_dagster.search.model_source import find_model
from enhancer_dagster.search.publish import drafted, last_manifest, publish
from enhancer_dagster.search.settings import BuildSettings
from enhancer_dagster.search.snapshot import ARTICLES, ENCODER, INVENTORY, TICKETS


@dataclass(frozen=True)
class EmbeddingReport:
    """What encoding a tenant's texts took.

    Attributes:
        texts: How many texts there are.
        new: How many had to be encoded.
        seconds: That this took.
        model: Name, revision and kind of the encoder.
    """

    texts: int
    new: int
    seconds: float
    model: Mapping[str, str | int | float]


@dataclass(frozen=True)
class BuildReport:
    """What a build made. `manifest` holds rows, checks, sizes and seconds; see `Manifest.statistics`."""

    manifest: Manifest
    published: bool

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        """The checks that kept it from being published."""
        return tuple(check for check in self.manifest.checks if not check.passed)


@dataclass(frozen=True)
class _Parts:
    """What was built in a folder, opened for the checks."""

    corpora: dict[str, CorpusIndex]
    facts: dict[str, CorpusFacts]
    inventory_rows: int


def embed_content(
    tenant_id: str,
    content: IndexContent,
    work_dir: Path,
    settings: BuildSettings,
    progress: Progress | None = None,
) -> EmbeddingReport:
    """Encode the texts of `content` that are new, and keep their vectors for the next build.

    Args:
        tenant_id: Whose.
        content: Its tickets and articles.
        work_dir: For what builds keep: encoders, and a folder a tenant with vectors and corpus.
        settings: Name the model.
        progress: Told after every batch.

    Raises:
        ConfigurationError: The model cannot be had.
    """
    encoder = open_encoder(encoder_folder(work_dir, settings), settings.threads)
    cache = embedding_cache(work_dir, tenant_id, encoder)
    encoded = [text.encode(cache, encoder, progress) for text in _texts(content, settings).values()]
    return EmbeddingReport(
        texts=sum(len(e.vectors) for e in encoded),
        new=sum(e.new for e in encoded),
        seconds=sum(e.seconds for e in encoded),
        model=encoder.card.as_dict(),
    )


def build_index(
    tenant_id: str,
    content: IndexContent,
    location: str | Path,
    work_dir: Path,
    settings: BuildSettings | None = None,
    *,
    allow_shrinking: bool = False,
    progress: Progress | None = None,
) -> BuildReport:
    """Build a snapshot, check it, and publish it if every check passes.

    Killed at any point, it leaves the live snapshot as it was. A second build of the tenant waits.

    Args:
        tenant_id: Whose.
        content: What goes in.
        location: Path or fsspec address under which every tenant has a folder.
        work_dir: For what builds keep: encoders, and a folder a tenant with vectors and, for a remote
            location, drafts.
        settings: Model, weights, sizes.
        allow_shrinking: Publish even if the corpus has collapsed against the last build.
        progress: Told after every batch that was encoded.

    Raises:
        ConfigurationError: The model cannot be had, or the tenant's id is none.
        TransientError: Another build of the tenant does not end.
    """
    settings = settings or BuildSettings()
    place = TenantLocation(location, tenant_id)
    with place.lock(work_dir), drafted(place, work_dir, new_snapshot_id()) as draft:
        clock = _Clock()
        manifest = _build(draft, place, content, work_dir, settings, allow_shrinking, progress, clock)
        failed = [check.name for check in manifest.checks if not check.passed]
        if failed:
            logger.bind(tenant_id=tenant_id).error(
                "index not published, failed checks: {}", ", ".join(failed)
            )
        else:
            publish(place, draft, manifest.snapshot_id)
    return BuildReport(manifest, published=not failed)


def _build(
    draft: Path,
    place: TenantLocation,
    content: IndexContent,
    work_dir: Path,
    settings: BuildSettings,
    allow_shrinking: bool,
    progress: Progress | None,
    clock: "_Clock",
) -> Manifest:
    documents = {TICKETS: content.tickets, ARTICLES: content.articles}
    with clock.measure("encoder"):
        folder = encoder_folder(work_dir, settings)
        encoder = open_encoder(folder, settings.threads)
        shutil.copytree(folder, draft / ENCODER)
    with clock.measure("encode"):
        texts = _texts(content, settings)
        cache = embedding_cache(work_dir, place.tenant_id, encoder)
        encoded = {name: text.encode(cache, encoder, progress) for name, text in texts.items()}
    rng = np.random.default_rng(settings.seed)
    with clock.measure("index"):
        vectors = {name: e.vectors for name, e in encoded.items()}
        parts = _write_parts(draft, content, texts, vectors, encoder, settings, rng)
    with clock.measure("checks"):
        last = last_manifest(place)
        results = (
            checks.check_row_count(parts.facts, last, allow_shrinking=allow_shrinking),
            checks.check_dimension({n: c.vectors for n, c in parts.corpora.items()}, encoder.card.dimension),
            checks.check_unique_ids(documents),
            checks.check_finite({n: c.vectors for n, c in parts.corpora.items()}),
            checks.check_ann_recall(parts.corpora, documents, encoder, rng),
            checks.check_finds_itself(parts.corpora, documents, encoder, settings.search, rng),
        )
    with clock.measure("checksums"):
        files = describe_files(draft)
    new = sum(e.new for e in encoded.values())
    manifest = Manifest(
        tenant_id=place.tenant_id,
        snapshot_id=draft.name.lstrip("."),
        built_at=datetime.now(UTC),
        encoder=encoder.card.as_dict(),
        corpora=parts.facts,
        inventory_rows=parts.inventory_rows,
        checks=results,
        statistics={"encoded": float(new), **clock.seconds},
        files=files,
    )
    write_manifest(draft, manifest)
    seal(draft, manifest)
    return manifest


def _write_parts(
    draft: Path,
    content: IndexContent,
    texts: Mapping[str, CorpusText],
    vectors: Mapping[str, NDArray[np.float16]],
    encoder: Encoder,
    settings: BuildSettings,
    rng: np.random.Generator,
) -> _Parts:
    facts: dict[str, CorpusFacts] = {}
    corpora: dict[str, CorpusIndex] = {}
    for name, text in texts.items():
        folder = draft / name
        facts[name] = build_corpus(
            folder, text, vectors[name], exact_up_to=settings.exact_up_to, seed=settings.seed
        )
        corpora[name] = CorpusIndex(folder, facts[name])
        checks.calibrate_probes(folder, corpora[name], text.documents, encoder, rng)
    return _Parts(corpora, facts, build_inventory(draft / INVENTORY, content.assets))


def encoder_folder(work_dir: Path, settings: BuildSettings) -> Path:
    """The folder of the settings' encoder, exported on first use.

    Raises:
        ConfigurationError: The model cannot be had.
    """
    return exported_encoder(find_model(settings.model, settings.revision), work_dir / "encoders")


def embedding_cache(work_dir: Path, tenant_id: str, encoder: Encoder) -> EmbeddingCache:
    """The tenant's vectors of this encoder's model."""
    card = encoder.card
    name = f"{card.model.replace('/', '_')}-{card.revision}-{card.kind}"
    return EmbeddingCache(work_dir / tenant_id / "embeddings" / name[-120:], card.dimension)


def _texts(content: IndexContent, settings: BuildSettings) -> dict[str, CorpusText]:
    return {
        TICKETS: CorpusText(content.tickets, settings.search.tickets),
        ARTICLES: CorpusText(content.articles, settings.search.articles),
    }


class _Clock:
    """Seconds that each part of a build took."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def measure(self, part: str) -> Iterator[None]:
        """Note how long the block takes."""
        started = time.monotonic()
        yield
        self.seconds[f"{part}_seconds"] = round(time.monotonic() - started, 3)
