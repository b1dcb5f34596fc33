"""Labelled sets: documents, what is asked, and which documents are right answers.

Texts lose their credentials as in a pull and before a search, so that what this costs is measured, too.

documents.jsonl   {id, subject, description, …} (tickets) or {id, title, content} (kb)
queries.jsonl     {id, text}; absent where the queries are documents themselves
relevant.tsv or duplicates.tsv   query_id <TAB> document_id, with a heading
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from enhancer_dagster.domain.redaction import without_credentials
from enhancer_dagster.search.documents import Document, Query

Kind = Literal["tickets", "kb"]
SHARED = Path(__file__).parents[2] / "shared" / "data" / "retrieval"
KNOWN: dict[str, Kind] = {"seamonkey": "tickets", "stackfaq": "kb"}


@dataclass(frozen=True)
class Question:
    """One query. `own_row` is the row of its own document, which is no answer; None if it has none."""

    query: Query
    relevant: frozenset[int]
    own_row: int | None
    query_id: str


@dataclass(frozen=True)
class LabelledSet:
    """A set, with answers as rows of `documents`."""

    name: str
    kind: Kind
    documents: list[Document]
    questions: list[Question]


def load(folder: Path, kind: Kind) -> LabelledSet:
    """Read a set."""
    documents = [_document(row) for row in _lines(folder / "documents.jsonl")]
    row_of = {document.document_id: row for row, document in enumerate(documents)}
    answers = _answers(folder)
    queries_file = folder / "queries.jsonl"
    asked = (
        {row["id"]: Query("", without_credentials(row["text"])) for row in _lines(queries_file)}
        if queries_file.exists()
        else {document.document_id: Query(document.title, document.body) for document in documents}
    )
    questions = [
        Question(
            query,
            frozenset(row_of[answer] for answer in answers[query_id] if answer in row_of),
            None if queries_file.exists() else row_of[query_id],
            query_id,
        )
        for query_id, query in asked.items()
        if answers.get(query_id)
    ]
    return LabelledSet(folder.name, kind, documents, questions)


def _answers(folder: Path) -> dict[str, set[str]]:
    path = next(p for p in (folder / "relevant.tsv", folder / "duplicates.tsv") if p.exists())
    answers: dict[str, set[str]] = {}
    for line in path.read_text(encoding="utf-8").splitlines()[1:]:
        query_id, _, document_id = line.partition("\t")
        answers.setdefault(query_id, set()).add(document_id.strip())
    return answers


def _document(row: dict[str, Any]) -> Document:
    title = str(row.get("subject") or row.get("title") or "")
    body = str(row.get("description") or row.get("content") or "")
    return Document(str(row["id"]), without_credentials(title), without_credentials(body), {})


def _lines(path: Path) -> list[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file if line.strip()]
