"""What is indexed and what is asked, as plain values: the index knows nothing of where they come from."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Query:
    """What is asked: a ticket's subject and its text, both plain."""

    title: str
    body: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to search with."""
        return not (self.title.strip() or self.body.strip())


@dataclass(frozen=True)
class Document:
    """A resolved ticket or an article.

    Attributes:
        document_id: The ticket's or article's id.
        title: Subject or title.
        body: Description or content, plain text.
        record: What a hit needs to be shown; kept as JSON.
    """

    document_id: str
    title: str
    body: str
    record: dict[str, str | None] = field(default_factory=dict)


LONGEST_PASSAGE = 8_000
"""Characters handed to the encoder: more than any small model's window holds."""


def passage(title: str, body: str = "") -> str:
    """The text that is encoded for a title and a body."""
    return f"{title.strip()}\n{body.strip()}".strip()[:LONGEST_PASSAGE]
