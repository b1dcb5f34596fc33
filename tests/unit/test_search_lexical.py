"""BM25 as stored by us against bm25s, and how texts cover each other."""

from pathlib import Path

import bm25s
import numpy as np
import pytest

from enhancer_dagster.search.lexical import LexicalIndex, build_lexical, document_terms

TEXTS = [
    "printer on floor two does not print",
    "outlook asks for the password again",
    "printer driver crashes spooler print print",
    "vpn disconnects every hour at home",
    "vpn",
    "",
]


def _build(folder: Path, texts: list[str]) -> LexicalIndex:
    build_lexical(folder, [document_terms("", text, 1) for text in texts])
    return LexicalIndex(folder)


@pytest.fixture
def index(tmp_path: Path) -> LexicalIndex:
    return _build(tmp_path, TEXTS)


def _every_row(index: LexicalIndex) -> np.ndarray:
    return np.arange(index.rows)


def test_candidates_come_in_the_order_of_bm25s(index: LexicalIndex) -> None:
    terms = document_terms("", "print spooler vpn", 1)
    model = bm25s.BM25()
    model.index([document_terms("", text, 1) for text in TEXTS], show_progress=False)
    expected = np.flatnonzero(model.get_scores(terms) > 0)
    prepared = index.prepare(terms)
    assert sorted(index.candidates(prepared, 10, 10_000)) == expected.tolist()
    best = int(np.argmax(model.get_scores(terms)))
    assert index.candidates(prepared, 1, 10_000).tolist() == [best]


def test_a_text_covers_itself_wholly(index: LexicalIndex) -> None:
    for row, text in enumerate(TEXTS[:5]):
        coverage = index.coverage(index.prepare(document_terms("", text, 1)), np.array([row]))
        assert coverage[0] == pytest.approx(1.0, abs=1e-4)


def test_coverage_counts_both_ways(index: LexicalIndex) -> None:
    short, long = TEXTS[4], TEXTS[3]
    of_long = index.coverage(index.prepare(document_terms("", short, 1)), np.array([3]))[0]
    of_short = index.coverage(index.prepare(document_terms("", long, 1)), np.array([4]))[0]
    # "vpn" is all of the one and a part of the other, whichever is asked.
    assert of_long == pytest.approx(of_short, abs=0.15)
    assert 0.3 < of_long < 0.8


def test_rows_may_be_in_any_order(index: LexicalIndex) -> None:
    prepared = index.prepare(document_terms("", "print vpn", 1))
    forward = index.coverage(prepared, np.array([0, 2, 4]))
    assert index.coverage(prepared, np.array([4, 0, 2])).tolist() == forward[[2, 0, 1]].tolist()


def test_words_that_no_document_has_lower_every_score(index: LexicalIndex) -> None:
    rows = np.array([4])
    known = index.coverage(index.prepare(document_terms("", "vpn", 1)), rows)[0]
    diluted = index.coverage(index.prepare(document_terms("", "vpn zyx wvu tsr", 1)), rows)[0]
    assert diluted < known


def test_nothing_to_look_up_finds_nothing(index: LexicalIndex) -> None:
    for text in ("", "it is the", "zyxwvu"):
        prepared = index.prepare(document_terms("", text, 1))
        assert not len(index.candidates(prepared, 10, 10_000))
        assert index.coverage(prepared, _every_row(index)).tolist() == [0.0] * index.rows


@pytest.mark.parametrize("texts", [[], [""], ["the", "of it"]])
def test_a_corpus_without_words_can_be_asked(tmp_path: Path, texts: list[str]) -> None:
    index = _build(tmp_path, texts)
    prepared = index.prepare(document_terms("", "printer", 1))
    assert not len(index.candidates(prepared, 10, 10_000))
    assert len(index.coverage(prepared, _every_row(index))) == len(texts)


def test_a_small_budget_still_reads_the_rarest_word(tmp_path: Path) -> None:
    index = _build(tmp_path, ["common rare"] + ["common word"] * 50)
    prepared = index.prepare(document_terms("", "common rare", 1))
    assert index.candidates(prepared, 5, posting_budget=1).tolist() == [0]


def test_shared_words_are_explained_largest_first(index: LexicalIndex) -> None:
    shared = index.shared_terms(index.prepare(document_terms("", "spooler print", 1)), 2)
    assert {term for term, _ in shared} == {"spooler", "print"}
    assert shared == sorted(shared, key=lambda pair: -pair[1])
