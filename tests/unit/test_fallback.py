from datetime import UTC, datetime
from uuid import uuid4

import pytest

from enhancer_dagster.domain.context import IpInfo, KbArticle, NodeError, SimilarTicket, WorkflowState
from enhancer_dagster.domain.fallback import NOTHING_FOUND, format_without_ai
from enhancer_dagster.domain.section import render_section
from enhancer_dagster.domain.text import html_to_text

OWNERS_EXAMPLE = """\
### Similar Tickets (2)
- **TKT-11111**: Server unreachable, Restarted the network service
- **203**: Printer offline

### Knowledge Base Articles (1)
- **KB-7**: Server connectivity

### IP Cross-Reference (3)
- server-prod-01 (10.0.1.100) [web-server role]
- 10.0.1.7
- printer-5 [printer role]

### Errors (1)
- kb_search: Timeout after 10s"""

STATE = WorkflowState(
    similar_tickets=(
        SimilarTicket(
            ticket_id="TKT-11111",
            similarity_score=0.9,
            subject="Server unreachable",
            resolution="Restarted the network service",
        ),
        SimilarTicket(ticket_id="203", similarity_score=0.8, subject="Printer offline"),
    ),
    kb_articles=(KbArticle(article_id="KB-7", relevance_score=0.9, title="Server connectivity"),),
    ip_info=(
        IpInfo(ip="10.0.1.100", hostname="server-prod-01", role="web-server"),
        IpInfo(ip="10.0.1.7"),
        IpInfo(ip=None, hostname="printer-5", role="printer"),
    ),
    errors=(NodeError(node_name="kb_search", message="Timeout after 10s"),),
)


def rendered(state: WorkflowState) -> str:
    return render_section(
        format_without_ai(state), uuid4(), datetime(2025, 11, 2, tzinfo=UTC), without_ai=True
    ).markdown


def test_the_owners_format() -> None:
    assert format_without_ai(STATE) == OWNERS_EXAMPLE


def test_the_section_shows_it_unchanged() -> None:
    assert f"## Enhancement Context (Generated Without AI)\n\n{OWNERS_EXAMPLE}\n\nGenerated: " in rendered(
        STATE
    )


def test_groups_without_entries_are_left_out() -> None:
    state = WorkflowState(errors=(NodeError(node_name="kb_search", message="down"),))
    assert format_without_ai(state) == f"{NOTHING_FOUND}\n\n### Errors (1)\n- kb_search: down"


def test_an_empty_context_is_said_to_be_empty() -> None:
    assert format_without_ai(WorkflowState()) == NOTHING_FOUND


def test_long_texts_are_cut_at_a_word() -> None:
    ticket = SimilarTicket(ticket_id="1", similarity_score=1, subject="s", resolution="restart it " * 100)
    (_, line) = format_without_ai(WorkflowState(similar_tickets=(ticket,))).split("\n")
    assert len(line) < 300
    assert line.endswith("restart…")


@pytest.mark.parametrize(
    "text",
    [
        "*bold* _it_ **x** ~~y~~ `code`",
        "[click](https://evil.example) ![x](https://evil.example/x.png)",
        "<b>x</b> <script>alert(1)</script> &lt;i&gt;",
        r"back\slash \\server\share C:\*.*",
        "# heading > quote - item 1. one",
        "a | b | c",
        "line one\n# line two\n- line three",
    ],
)
def test_hostile_text_is_shown_as_it_is(text: str) -> None:
    ticket = SimilarTicket(ticket_id="1", similarity_score=1, subject=text, resolution=text)
    html = render_section(
        format_without_ai(WorkflowState(similar_tickets=(ticket,))),
        uuid4(),
        datetime(2025, 11, 2, tzinfo=UTC),
        without_ai=True,
    ).html
    shown = " ".join(text.split()).replace("https://evil.example/x.png", "[link removed]")
    shown = shown.replace("https://evil.example", "[link removed]")
    assert f"1: {shown}, {shown}" in html_to_text(html)
    assert html.count("<strong>") == 1
    assert html.count("<h3>") == 1
