"""What can be tuned about searching and building; defaults were chosen on labelled sets (docs/search.md)."""

from dataclasses import dataclass, field, replace
from typing import Self

from enhancer_dagster.settings import Settings

DEFAULT_MODEL = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True)
class CorpusWeights:
    """How one corpus is indexed and its hits are scored.

    Attributes:
        lexical_weight: Share of the lexical score in a hit's score; the rest is the dense score. 0 to 1.
        floor: A hit whose score is lower is not offered: better none than a wrong one. 0 to 1.
        title_repeats: How often a title's words count against once for the body's, in BM25.
        title_vector_weight: Weight of the title's own vector in a document's, against 1 for title and body.
    """

    lexical_weight: float
    floor: float
    title_repeats: int
    title_vector_weight: float


TICKETS = CorpusWeights(lexical_weight=0.5, floor=0.33, title_repeats=3, title_vector_weight=0.0)
ARTICLES = CorpusWeights(lexical_weight=0.13, floor=0.32, title_repeats=3, title_vector_weight=1.0)


@dataclass(frozen=True)
class SearchSettings:
    """What a query may be told.

    Attributes:
        tickets: Weights of the ticket corpus.
        articles: Weights of the knowledge base.
        candidates: How many rows each of the two searches proposes; all are then scored exactly.
        posting_budget: Most BM25 postings read to propose candidates, rarest words first. It bounds the
            time of a long ticket among a million.
        refresh_seconds: How often `CURRENT` is looked at.
    """

    tickets: CorpusWeights = TICKETS
    articles: CorpusWeights = ARTICLES
    candidates: int = 200
    posting_budget: int = 500_000
    refresh_seconds: float = 1.0

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the weights and floors of the installation."""
        return cls(
            tickets=replace(
                TICKETS,
                lexical_weight=settings.search_ticket_lexical_weight,
                floor=settings.search_ticket_floor,
            ),
            articles=replace(
                ARTICLES,
                lexical_weight=settings.search_article_lexical_weight,
                floor=settings.search_article_floor,
            ),
        )


@dataclass(frozen=True)
class BuildSettings:
    """What a build may be told.

    Attributes:
        model: A Hugging Face name or a folder with a sentence-transformers model.
        revision: Commit or tag of a Hugging Face model; None is its default branch.
        search: Weights, some of which (titles) are part of the index.
        exact_up_to: Up to so many rows every vector is compared; above, faiss proposes candidates.
        threads: Threads for encoding and training.
        seed: Makes samples repeatable.
    """

    model: str = DEFAULT_MODEL
    revision: str | None = None
    search: SearchSettings = field(default_factory=SearchSettings)
    exact_up_to: int = 50_000
    threads: int = 2
    seed: int = 20_251_102

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """With the model and the weights of the installation."""
        return cls(
            model=settings.embedding_model,
            revision=settings.embedding_revision,
            search=SearchSettings.of(settings),
        )
