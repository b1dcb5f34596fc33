"""A snapshot from content: built beside the live one, checked, then published by replacing one small file."""

import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from loguru import logger

from enhancer_dagster.search import checks
from enhancer_dagster.search.changes import Changes, changes, write_row_keys
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.corpus_build import build_corpus
from enhancer_dagster.search.corpus_index import CorpusIndex
from enhancer_dagster.search.embeddings import Progress
from enhancer_dagster.search.encoder import Encoder, open_encoder
from enhancer_dagster.search.encoding import embedding_cache, encoder_folder, texts_of
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
from enhancer_dagster.search.publish import drafted, last_manifest, publish
from enhancer_dagster.search.settings import BuildSettings
from enhancer_dagster.search.snapshot import ARTICLES, ENCODER, INVENTORY, TICKETS


@dataclass(frozen=True)
class EmbeddingReport:
    """What encoding a tenant's texts took.

    Attributes:
        texts: How many documents there are.
        new: How many texts had to be encoded; an article has two.
        seconds: That this took.
        model: Name, revision and kind of the encoder.
    """

    texts: int
    new: int
    seconds: float
    model: Mapping[str, str | int | float]


@dataclass(frozen=True)
class BuildReport:
    """What a build made. `manifest` holds rows, checks and sizes; its `statistics` changes and seconds."""

    manifest: Manifest
    published: bool

    @property
    def failed_checks(self) -> tuple[CheckResult, ...]:
        """The checks that kept it from being published."""
        return tuple(check for check in self.manifest.checks if not check.passed)


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
        work_dir: For what builds keep: encoders, and a folder a tenant with vectors.
        settings: Name the model.
        progress: Told after every batch.

    Raises:
        ConfigurationError: The model cannot be had.
    """
    encoder = open_encoder(encoder_folder(work_dir, settings), settings.threads)
    cache = embedding_cache(work_dir, tenant_id, encoder)
    encoded = [text.encode(cache, encoder, progress) for text in texts_of(content, settings).values()]
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
    place = TenantLocation(location, tenant_id)
    with place.lock(work_dir), drafted(place, work_dir, new_snapshot_id()) as draft:
        build = _Build(draft, content, settings or BuildSettings())
        build.encode_and_write(work_dir, tenant_id, progress)
        build.check(last_manifest(place), allow_shrinking=allow_shrinking)
        manifest = build.finish(tenant_id, changes(draft, place, build.facts))
        failed = [check.name for check in manifest.checks if not check.passed]
        if failed:
            logger.bind(tenant_id=tenant_id).error("index not published, failed: {}", ", ".join(failed))
        else:
            publish(place, draft, manifest.snapshot_id)
    return BuildReport(manifest, published=not failed)


@dataclass
class _Build:
    """A build in progress. `seconds` is what each part took."""

    draft: Path
    content: IndexContent
    settings: BuildSettings
    encoder: Encoder = field(init=False)
    encoded: int = 0
    inventory_rows: int = 0
    facts: dict[str, CorpusFacts] = field(default_factory=dict)
    corpora: dict[str, CorpusIndex] = field(default_factory=dict)
    checks: tuple[CheckResult, ...] = ()
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.started = time.monotonic()
        self._random = np.random.default_rng(self.settings.seed)

    def encode_and_write(self, work_dir: Path, tenant_id: str, progress: Progress | None) -> None:
        """Write everything but the manifest."""
        with self._measured("encoder"):
            folder = encoder_folder(work_dir, self.settings)
            self.encoder = open_encoder(folder, self.settings.threads)
            shutil.copytree(folder, self.draft / ENCODER)
        cache = embedding_cache(work_dir, tenant_id, self.encoder)
        for name, text in texts_of(self.content, self.settings).items():
            with self._measured("encode"):
                encoded = text.encode(cache, self.encoder, progress)
                self.encoded += encoded.new
            with self._measured("index"):
                folder = self.draft / name
                self.facts[name] = build_corpus(
                    folder,
                    text,
                    encoded.vectors,
                    exact_up_to=self.settings.exact_up_to,
                    seed=self.settings.seed,
                )
                write_row_keys(folder, text.documents)
                index = self.corpora[name] = CorpusIndex(folder, self.facts[name])
            with self._measured("calibration"):
                checks.calibrate(folder, index, text.documents, self.encoder, self._random)
        self.inventory_rows = build_inventory(self.draft / INVENTORY, self.content.assets)

    def check(self, last: Manifest | None, *, allow_shrinking: bool) -> None:
        """Make all checks, on what was written."""
        documents = {TICKETS: self.content.tickets, ARTICLES: self.content.articles}
        vectors = {name: index.vectors for name, index in self.corpora.items()}
        with self._measured("checks"):
            self.checks = (
                checks.check_row_count(self.facts, last, allow_shrinking=allow_shrinking),
                checks.check_dimension(vectors, self.encoder.card.dimension),
                checks.check_unique_ids(documents),
                checks.check_finite(vectors),
                checks.check_ann_recall(self.corpora, documents, self.encoder, self._random),
                checks.check_finds_itself(
                    self.corpora, documents, self.encoder, self.settings.search, self._random
                ),
            )

    def finish(self, tenant_id: str, changed: Changes) -> Manifest:
        """Write the manifest."""
        with self._measured("checksums"):
            files = describe_files(self.draft)
        manifest = Manifest(
            tenant_id=tenant_id,
            snapshot_id=self.draft.name.lstrip("."),
            built_at=datetime.now(UTC),
            encoder=self.encoder.card.as_dict(),
            corpora=self.facts,
            inventory_rows=self.inventory_rows,
            checks=self.checks,
            statistics=self._statistics(changed),
            files=files,
        )
        write_manifest(self.draft, manifest)
        seal(self.draft, manifest)
        return manifest

    def _statistics(self, changed: Changes) -> dict[str, float]:
        seconds = time.monotonic() - self.started
        rows = sum(facts.rows for facts in self.facts.values())
        return {
            **{name: float(count) for name, count in asdict(changed).items()},
            "encoded": float(self.encoded),
            "seconds": round(seconds, 2),
            "docs_per_second": round(rows / seconds, 1),
            **{f"{part}_seconds": round(took, 3) for part, took in self.seconds.items()},
        }

    @contextmanager
    def _measured(self, part: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.seconds[part] = self.seconds.get(part, 0.0) + time.monotonic() - started
