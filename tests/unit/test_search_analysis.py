"""Words, template lines and perturbation: what is compared of a text."""

import numpy as np

from enhancer_dagster.search.analysis import term_keys, words
from enhancer_dagster.search.perturbation import perturbed
from enhancer_dagster.search.templates import find_template_lines, without_template_lines


def test_words_are_stemmed_and_stop_words_left_out() -> None:
    assert words("The printers are printing") == words("printer print")


def test_only_stop_words_leave_nothing() -> None:
    assert words("it is not the") == []


def test_an_identifier_is_kept_whole_beside_its_parts() -> None:
    found = words("error in C:\\temp\\app.log on srv-01.example.org")
    assert "#srv-01.example.org" in found
    assert "#c:\\temp\\app.log" in found
    assert "srv" in found


def test_a_script_without_spaces_is_read_in_pairs() -> None:
    assert words("印刷できません")[:2] == ["印刷", "刷で"]


def test_other_alphabets_are_words() -> None:
    assert words("Принтер не печатает") != []


def test_a_megabyte_without_a_space_is_read_once_and_not_kept() -> None:
    assert words("A" * 1_000_000) == []
    assert words("a." * 500_000)[-1].startswith("#a.a.")


def test_lone_surrogates_have_keys() -> None:
    assert len(term_keys(["\ud800", "a"])) == 2


def test_keys_differ_between_terms_and_stay_between_processes() -> None:
    keys = term_keys(["print", "printer"])
    assert keys[0] != keys[1]
    # Stored in snapshots, so it must never change.
    assert int(keys[0]) == 18027104394815503199


def test_lines_that_many_documents_share_are_templates() -> None:
    bodies = [f"Steps to reproduce:\nproblem number {i}" for i in range(20)]
    templates = find_template_lines(bodies)
    assert without_template_lines("steps  to reproduce:\nmine", templates) == "mine"


def test_a_line_in_few_documents_is_none() -> None:
    assert find_template_lines(["same line\nand more"] * 4) == frozenset()


def test_a_ticket_that_is_all_template_is_left_as_it_is() -> None:
    templates = find_template_lines(["disk full\non srv-1"] * 50)
    assert without_template_lines("disk full\non srv-1", templates) == "disk full\non srv-1"


def test_perturbed_text_loses_words_and_gains_none() -> None:
    text = " ".join(f"w{i}" for i in range(200))
    shorter = perturbed(text, np.random.default_rng(1)).split()
    assert 110 < len(shorter) < 170
    assert set(shorter) <= set(text.split())
