"""Checks and figures: each shows what it is there to show."""

import json
from pathlib import Path

import numpy as np
import pytest

from bench.labelled import load
from enhancer_dagster.search.build import build_index
from enhancer_dagster.search.checks import check_dimension, check_finds_itself, check_finite, check_row_count
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.corpus_index import CorpusIndex
from enhancer_dagster.search.encoder import open_encoder
from enhancer_dagster.search.manifest import CorpusFacts, Manifest
from enhancer_dagster.search.quality import evaluate, sample_neighbours
from enhancer_dagster.search.settings import SearchSettings
from enhancer_dagster.search.snapshot import TICKETS, Snapshot
from enhancer_dagster.search.status import index_status, open_snapshot
from tests.search_fixtures import content, new_work_dir, tickets

SETTINGS = SearchSettings()


@pytest.fixture
def snapshot(tmp_path: Path, encoders: Path) -> Snapshot:
    work_dir = new_work_dir(tmp_path / "work", encoders)
    build_index("acme", content(), tmp_path / "index", work_dir)
    return open_snapshot(tmp_path / "index", "acme", tmp_path / "cache")


def _facts(rows: int) -> dict[str, CorpusFacts]:
    return {TICKETS: CorpusFacts(rows=rows, vectors="exact", title_repeats=3)}


def test_half_the_rows_gone_is_a_collapse(snapshot: Snapshot) -> None:
    last = snapshot.manifest.model_copy(update={"corpora": _facts(100)})
    assert check_row_count(_facts(60), last, allow_shrinking=False).passed
    assert not check_row_count(_facts(49), last, allow_shrinking=False).passed
    assert check_row_count(_facts(0), None, allow_shrinking=False).passed


def _with_vectors(snapshot: Snapshot, vectors: np.ndarray) -> CorpusIndex:
    """The tickets, with other vectors in the place of their own."""
    folder = snapshot.folder / TICKETS
    np.save(folder / "vectors.npy", vectors)
    return CorpusIndex(folder, snapshot.manifest.corpora[TICKETS])


def test_a_vector_that_is_not_one_is_noticed(snapshot: Snapshot) -> None:
    vectors = np.array(snapshot.corpora[TICKETS].vectors.vectors)
    assert check_finite({TICKETS: snapshot.corpora[TICKETS].vectors}).passed
    for bad in (np.nan, np.inf, 0.9):
        vectors[2] = bad
        assert check_finite({TICKETS: _with_vectors(snapshot, vectors).vectors}).value == 1


def test_another_dimension_is_noticed(snapshot: Snapshot) -> None:
    narrow = _with_vectors(snapshot, np.array(snapshot.corpora[TICKETS].vectors.vectors)[:, :100])
    assert not check_dimension({TICKETS: narrow.vectors}, 384).passed


def test_rows_that_belong_to_other_texts_do_not_find_themselves(snapshot: Snapshot) -> None:
    encoder, rng = open_encoder(snapshot.folder / "encoder"), np.random.default_rng(1)
    right, wrong = {TICKETS: tickets()}, {TICKETS: tickets()[::-1]}
    assert check_finds_itself(
        snapshot.corpora, right | {"articles": content().articles}, encoder, SETTINGS, rng
    ).passed
    only = {TICKETS: snapshot.corpora[TICKETS]}
    assert not check_finds_itself(only, wrong, encoder, SETTINGS, rng).passed


def test_perturbed_texts_find_their_tickets(snapshot: Snapshot) -> None:
    quality = evaluate(snapshot, tickets(), SETTINGS)
    assert (quality.queries, quality.source) == (6, "perturbed text")
    assert quality.precision_at_1 == quality.recall_at_10 == quality.ann_recall_at_10 == 1.0


def test_known_duplicates_are_measured_where_there_are_some(snapshot: Snapshot) -> None:
    wrong = evaluate(snapshot, tickets(), SETTINGS, known={"1": ["6", "gone"]})
    assert (wrong.queries, wrong.source) == (1, "known duplicates")
    # Six tickets are among the first ten, but one on another matter is not offered.
    assert (wrong.recall_at_10, wrong.offered) == (1.0, 0.0)


def test_neighbours_leave_the_ticket_itself_out(snapshot: Snapshot) -> None:
    frame = sample_neighbours(snapshot, tickets(), SETTINGS, count=3)
    pairs = list(zip(frame["ticket"].tolist(), frame["neighbour"].tolist(), strict=True))
    assert len({ticket for ticket, _ in pairs}) == 3
    assert all(ticket != neighbour for ticket, neighbour in pairs)


def test_status_tells_live_from_old_and_damaged(tmp_path: Path, encoders: Path) -> None:
    work_dir, location = new_work_dir(tmp_path / "work", encoders), tmp_path / "index"
    assert index_status(location, "acme") == []
    build_index("acme", content(), location, work_dir)
    build_index("acme", content(), location, work_dir)
    new, old = index_status(location, "acme")
    assert (new.is_live, old.is_live) == (True, False)
    assert isinstance(new.manifest, Manifest)
    assert new.manifest.corpora[TICKETS].rows == 6
    (location / "acme" / "snapshots" / old.snapshot_id / "manifest.json").write_text(
        json.dumps({"format": 1})
    )
    assert index_status(location, "acme")[1].damage


@pytest.mark.slow
def test_real_duplicates_are_found_as_often_as_promised(shared: Path, tmp_path: Path, encoders: Path) -> None:
    labelled = load(shared / "data" / "retrieval" / "seamonkey", "tickets")
    documents = labelled.documents
    build_index(
        "acme", IndexContent(documents), tmp_path / "index", new_work_dir(tmp_path / "work", encoders)
    )
    snapshot = open_snapshot(tmp_path / "index", "acme", tmp_path / "cache")
    known = {q.query_id: [documents[row].document_id for row in q.relevant] for q in labelled.questions}
    quality = evaluate(snapshot, documents, SETTINGS, known=known)
    assert quality.mean_average_precision >= 0.67
    assert quality.recall_at_10 >= 0.82
    assert quality.offered >= 0.8
