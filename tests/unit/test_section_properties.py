"""Whatever a description holds: replacing is idempotent, keeps what people wrote, and leaves one section."""

import os
from datetime import UTC, datetime
from uuid import UUID

from hypothesis import given, settings
from hypothesis import strategies as st

from enhancer_dagster.domain.section import find_sections, render_section, replace_sections, strip_sections
from enhancer_dagster.domain.text import content_hash, html_to_text

EXAMPLES = int(os.environ.get("ENHANCER_EXAMPLES", "200"))
AT = datetime(2025, 11, 2, 15, 30, 45, tzinfo=UTC)
OURS = [UUID(int=n, version=4) for n in range(1, 4)]
STRANGER = UUID(int=99, version=4)


def is_ours(correlation_id: UUID) -> bool:
    return correlation_id in OURS


def section(correlation_id: UUID, content: str = "- Restart it [TKT-1].", without_ai: bool = False) -> str:
    return render_section(content, correlation_id, AT, without_ai=without_ai).html


def footer(correlation_id: UUID) -> str:
    return f"<p>Generated: 2025-11-02 15:30:45 UTC | Correlation ID: {correlation_id}</p>"


MARKS = [
    "<h2>Enhancement Recommendations</h2>",
    "<h2>Enhancement Context (Generated Without AI)</h2>",
    "\n## Enhancement Recommendations\n",
    "\n---\n",
    "<hr />",
    footer(OURS[0]),
    footer(STRANGER),
    footer(OURS[1])[3:-4],
    section(OURS[0]),
    section(OURS[1], without_ai=True),
    section(OURS[2]).replace("<p>", "<div>").replace("</p>", "</div>"),
    section(STRANGER),
    render_section("x <y> z", OURS[1], AT, without_ai=False).markdown,
]
MARKUP = [
    "<p>",
    "</p>",
    "<div>",
    "</div>",
    "<b>",
    "</b>",
    "<br>",
    "<table><tr><td>",
    "</td></tr></table>",
    "<pre>",
    "</pre>",
    "<ul><li>",
    "<a href='x>y'>",
    "<!-- c -->",
    "<!--",
    "-->",
    "<textarea>",
    "</textarea>",
    "<script>",
    "</script>",
    "<title>",
    '<p title="',
    '">',
    "<",
    "</",
    "&",
    "&lt;",
    "&#65;",
    "\n",
    " ",
    "\x00",
]
PIECES = st.one_of(
    st.sampled_from(MARKS),
    st.sampled_from(MARKUP),
    st.text(max_size=8),
    st.sampled_from(["user text", "é漢字"]),
)
DESCRIPTIONS = st.lists(PIECES, max_size=12).map("".join)
NEW = section(OURS[0], "- New advice [KB-2].")


@settings(max_examples=EXAMPLES, deadline=None)
@given(DESCRIPTIONS)
def test_there_is_one_section_of_ours_afterwards(description: str) -> None:
    replaced = replace_sections(description, NEW, is_ours)
    ours = [found for found in find_sections(replaced) if is_ours(found.correlation_id)]
    assert [replaced[found.start : found.end] for found in ours] == [NEW]


@settings(max_examples=EXAMPLES, deadline=None)
@given(DESCRIPTIONS)
def test_replacing_again_changes_nothing(description: str) -> None:
    replaced = replace_sections(description, NEW, is_ours)
    assert replace_sections(replaced, NEW, is_ours) == replaced


@settings(max_examples=EXAMPLES, deadline=None)
@given(DESCRIPTIONS)
def test_what_people_wrote_is_still_there(description: str) -> None:
    replaced = replace_sections(description, NEW, is_ours)
    left, expected = strip_sections(replaced, is_ours), strip_sections(description, is_ours)
    assert html_to_text(left).split() == html_to_text(expected).split()
    assert content_hash("s", html_to_text(left)) == content_hash("s", html_to_text(expected))


@settings(max_examples=EXAMPLES, deadline=None)
@given(DESCRIPTIONS)
def test_evidence_is_the_same_before_and_after(description: str) -> None:
    replaced = replace_sections(description, NEW, is_ours)
    assert html_to_text(strip_sections(replaced)).split() == html_to_text(strip_sections(description)).split()


@settings(max_examples=EXAMPLES, deadline=None)
@given(DESCRIPTIONS)
def test_no_section_is_left_in_evidence(description: str) -> None:
    assert "New advice" not in strip_sections(replace_sections(description, NEW, is_ours))
    assert find_sections(strip_sections(description)) == []


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(st.one_of(PIECES, st.sampled_from(["# ", "> ", "- ", "`", "**", "[", "]("])), max_size=15))
def test_no_content_forges_a_mark(pieces: list[str]) -> None:
    rendered = render_section("".join(pieces), OURS[0], AT, without_ai=False)
    html = f"<p>before</p>{rendered.html}<p>after</p>"
    assert strip_sections(html, is_ours) == strip_sections(html) == "<p>before</p>\n<p>after</p>"
