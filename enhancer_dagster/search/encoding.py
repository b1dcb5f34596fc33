"""What encoding a tenant's content takes: its texts, the encoder of the settings, the vectors kept so far."""

from pathlib import Path

from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.corpus_build import CorpusText
from enhancer_dagster.search.embeddings import EmbeddingCache
from enhancer_dagster.search.encoder import Encoder
from enhancer_dagster.search.export import exported_encoder
from enhancer_dagster.search.model_source import find_model
from enhancer_dagster.search.settings import BuildSettings
from enhancer_dagster.search.snapshot import ARTICLES, TICKETS


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


def texts_of(content: IndexContent, settings: BuildSettings) -> dict[str, CorpusText]:
    """The two corpora, as they are compared."""
    return {
        TICKETS: CorpusText(content.tickets, settings.search.tickets),
        ARTICLES: CorpusText(content.articles, settings.search.articles),
    }
