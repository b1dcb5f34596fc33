"""How the simulator stores HTML and shows times."""

import pytest

from enhancer_dagster.simulator.values import excerpt, shown_time, stored_html


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ("plain text", "plain text"),
        ("<p>one</p><h2>two</h2><hr>", "<p>one</p><h2>two</h2><hr>"),
        ("<ul><li><strong>a</strong></li></ul>", "<ul><li><strong>a</strong></li></ul>"),
        ("<script>alert(1)</script>rest", "rest"),
        ("<style>p {color: red}</style>rest", "rest"),
        ("<!-- marker -->rest", "rest"),
        ('<p onclick="x()">a</p>', "<p>a</p>"),
        ('<p class="ours" id="ours" data-ours="1">a</p>', "<p>a</p>"),
        ('<a href="https://example.org/x" target="_blank">l</a>', '<a href="https://example.org/x">l</a>'),
        ('<a href="javascript:x()">l</a>', "<a>l</a>"),
        ("<section>a</section>", "a"),
        ("\ud800 and \x00", "\ufffd and \ufffd"),
    ],
)
def test_no_hidden_marker_survives(given: str, stored: str) -> None:
    assert stored_html(given) == stored
    assert stored_html(stored) == stored


def test_times_are_strings_of_milliseconds_with_a_display() -> None:
    assert shown_time(1660050395904) == {"display_value": "Aug 9, 2022 01:06 PM", "value": "1660050395904"}
    assert shown_time(0) == {"display_value": "Jan 1, 1970 12:00 AM", "value": "0"}
    assert shown_time(None) is None


def test_an_excerpt_is_text_and_short() -> None:
    assert excerpt("<p>Required <b>for</b> user</p>") == "Required for user"
    assert excerpt("") is None
    assert len(excerpt("word " * 500) or "") <= 250
