import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enhancer_dagster.domain.links import AllowedLinks
from enhancer_dagster.domain.markdown import (
    MARKDOWN,
    MOST_CHARACTERS,
    escape,
    read_blocks,
    visible_text,
    write_blocks,
)

EXAMPLES = int(os.environ.get("ENHANCER_EXAMPLES", "200"))
LINKS = AllowedLinks(hosts=frozenset({"wiki.example"}))


def rewritten(markdown: str) -> str:
    return write_blocks(read_blocks(markdown, LINKS))


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("# A\n\n## B\ntext", "### A\n\n#### B\ntext"),
        ("A\n===\n\nB\n---", "### A\n\n#### B"),
        ("one\ntwo  \nthree", "one two three"),
        ("* a\n* b\n  * c", "- a\n- b\n    - c"),
        ("1) a\n2) b", "1. a\n2. b"),
        ("- a\n\n  more\n\n- b", "- a more\n- b"),
        ("> quoted", "quoted"),
        ("---", ""),
        ("| a | b |\n|---|---|\n| c | |", "- a; b\n- c"),
        ("    code", "```\ncode\n```"),
        ("~~~python\n```\n~~~", "````\n```\n````"),
        ("`` a`b ``", "``a`b``"),
        ("**b** *i* ~~s~~ __b__", "**b** *i* ~~s~~ **b**"),
        ("[a](https://wiki.example/x_(y))", "[a](https://wiki.example/x_%28y%29)"),
        ("[a](https://evil.example)", "a"),
        ("![alt](https://wiki.example/x.png)", "alt"),
        ("![![a](https://wiki.example/)](https://wiki.example/)", "a"),
        ("!\\[x](https://wiki.example/)", r"![x]\(https://wiki.example/)"),
        ("\\# no heading", r"\# no heading"),
        ("1\\. no list", r"1\. no list"),
        ("&lt;b&gt; <b> &copy;", r"\<b> \<b> ©"),
        ("[x]: https://evil.example\n\n[x]", "[x]: [link removed]\n\n[x]"),
        ("snake_case *a*b_c_", r"snake_case *a*b_c\_"),
    ],
)
def test_markdown_is_brought_into_one_form(markdown: str, expected: str) -> None:
    assert rewritten(markdown) == expected


@pytest.mark.parametrize(
    "text",
    [
        "*a* _b_ **c** `d`",
        "[x](y) ![z](u)",
        "<b> &lt; &#65;",
        r"\* C:\*.* \\server\share",
        "a ~~b~~ c",
        "a_b _c_ d_",
    ],
)
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    assert visible_text(f"x {escape(text)}") == f"x {text}"


PIECES = st.sampled_from(
    [
        "# ",
        "- ",
        "1. ",
        "12. ",
        "> ",
        "    ",
        "\n",
        "\n\n",
        "`",
        "```",
        "~~~",
        "**",
        "*",
        "_",
        "~~",
        "[",
        "]",
        "(",
        ")",
        "](https://wiki.example/a)",
        "](https://evil.example/a)",
        "![",
        "<b>",
        "</b>",
        "<!--",
        "&lt;",
        "&#42;",
        "\\",
        "|",
        "\n|---|---|\n",
        "---",
        "===",
        "word ",
        "https://evil.example/x",
        "https://wiki.example/x ",
        "[x]: y",
        "!",
    ]
)


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(PIECES, st.text(max_size=4)), max_size=25).map("".join))
def test_whatever_is_written_nothing_but_plain_blocks_come_out(markdown: str) -> None:
    written = rewritten(markdown)
    html = MARKDOWN.render(written)
    assert "evil.example" not in html
    assert "<img" not in html
    assert "<h1" not in html
    assert "<h2" not in html
    assert "<hr" not in html
    assert "<table" not in html
    assert "<blockquote" not in html
    assert "<br" not in html


def test_a_text_is_read_up_to_a_limit() -> None:
    assert len(rewritten("word " * 100_000)) <= MOST_CHARACTERS


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece", ["[", "![", "*", "_a", "`", "> ", "- ", "<", "&", "\\", "|", "[a](", "~~", "1. "]
)
def test_hostile_repetition_is_read_in_reasonable_time(piece: str) -> None:
    rewritten(piece * MOST_CHARACTERS)
