import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser

from enhancer_dagster.domain.text import (
    content_hash,
    html_to_text,
    looks_like_html,
    shorten,
    storable,
    without_hidden,
)


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("plain & simple < text >", "plain & simple < text >"),
        ("one\r\n\r\n  two", "one\ntwo"),
        ("<p>one</p><p>two</p>", "one\ntwo"),
        ("one<br>two<BR/>three", "one\ntwo\nthree"),
        ("<div>a&nbsp;&amp;&nbsp;b</div>", "a & b"),
        ("<b>bo</b>ld", "bold"),
        ("<ul><li>a<li>b</ul>", "a\nb"),
        ("<table><tr><td>a</td><td>b</td></tr><tr><td>c</table>", "a b\nc"),
        ("<style>p {}</style><script>x = '<p>'</script>seen", "seen"),
        ("<!-- hidden --><p title='a > b'>seen</p>", "seen"),
        ("<svg><text>no</text></svg><template>no</template>seen", "seen"),
        ("<p>unclosed <b>bold", "unclosed bold"),
        ("<p>a</p", "a"),
        ("5 &lt; 6", "5 < 6"),
        ("", ""),
    ],
)
def test_html_reads_as_people_see_it(html: str, text: str) -> None:
    assert html_to_text(html) == text


FRAGMENTS = st.sampled_from(
    [
        *(
            "<p>",
            "</p>",
            "<div>",
            "</div>",
            "<b>",
            "</b>",
            "<br>",
            "<br/>",
            "<hr />",
            "foo ",
            "bar",
            "&amp;",
            "&lt;",
        ),
        *(
            "&nbsp;",
            "<!-- x -->",
            "<!--",
            "-->",
            "<script>",
            "</script>",
            "<style>a{}</style>",
            '<a href="x>y">',
        ),
        *(
            "</a>",
            "<h2 style='a'>",
            "</h2>",
            "\n",
            " ",
            "<",
            "</",
            ">",
            "<!",
            "<?x>",
            "<textarea>",
            "</textarea>",
        ),
        *(
            "<pre>",
            "</pre>",
            "<ul><li>",
            "</li></ul>",
            "<table><tr><td>",
            "</td></tr></table>",
            "<x y=z w>",
            "'",
        ),
        *('"', "=", "&#65;", "&bogus;", "<P CLASS=a>", "</P>", "<a b='", '<a b="', "/>", "é", "<\u00c0"),
    ]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(FRAGMENTS, max_size=10).map("".join))
def test_the_text_is_what_an_html5_parser_sees(html: str) -> None:
    if not looks_like_html(html):
        return
    tree = LexborHTMLParser(html)
    for node in tree.css("script,style"):
        node.decompose()
    seen = tree.body.text() if tree.body else ""
    assert "".join(html_to_text(html).split()) == "".join(seen.split())


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece", ["<div>", "<a", "<!--", "<svg>", "<title>", '<a b="', "&#", "</p>", "<table>"]
)
def test_a_megabyte_of_markup_is_read_in_linear_time(piece: str) -> None:
    html_to_text(piece * (1_000_000 // len(piece)) + ">")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a < b", False), ("a <b", False), ("a & b", False), ("<b>", True), ("a &amp; b", True), ("</p>", True)],
)
def test_html_is_told_from_plain_text(text: str, expected: bool) -> None:
    assert looks_like_html(text) is expected


def test_the_hash_ignores_white_space_and_unicode_form() -> None:
    assert content_hash("Caf\u00e9  down", "a\n b") == content_hash("Cafe\u0301 down ", "a b\n")


def test_the_hash_tells_texts_apart() -> None:
    texts = [("a", "b"), ("b", "a"), ("a b", ""), ("", "a b"), ("ab", ""), ("A", "b")]
    assert len({content_hash(*text) for text in texts}) == len(texts)


def test_what_postgresql_refuses_is_replaced() -> None:
    assert storable("a\x00b\ud800c") == "a\ufffdb\ufffdc"
    storable("\udc00" * 3).encode()


def test_hidden_characters_go_and_scripts_that_need_joiners_stay() -> None:
    assert without_hidden("a\u200bb\u202ec\u00add\x07e\U000e0041f\u2060g\u200dh\ufeff") == "abcdefgh"
    persian = "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645"
    assert without_hidden(f"{persian} 👩\u200d💻") == f"{persian} 👩\u200d💻"
    assert without_hidden("a\r\nb\u2028c\x0bd\te") == "a\nb\nc\nd\te"


def test_long_text_is_cut_at_a_word() -> None:
    assert shorten("one  two\nthree", 100) == "one two three"
    assert shorten("one two, three", 12) == "one two…"
    assert len(shorten("x" * 50, 10)) == 10


def test_a_links_address_is_named_behind_its_label_where_that_is_asked_for() -> None:
    html = (
        '<p>See <a class="x" href="https://wiki.example/vpn?a=1&amp;b=2">the <b>guide</b></a>, '
        '<a href="javascript:alert(1)">not this</a> <a name="here">nor that</a> '
        "<A HREF='http://files.example/a b'>files</A> and <a href=https://open.example/>unclosed</p>"
    )
    assert html_to_text(html) == "See the guide, not this nor that files and unclosed"
    assert html_to_text(html, with_addresses=True) == (
        "See the guide (https://wiki.example/vpn?a=1&b=2), not this nor that "
        "files (http://files.example/a) and unclosed"
    )


def test_the_address_of_a_link_that_nobody_sees_is_not_named() -> None:
    html = '<template><a href="https://hidden.example/">x</a></template><p>shown</p>'
    assert html_to_text(html, with_addresses=True) == "shown"
