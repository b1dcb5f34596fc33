"""Attempts to make a model do harm by what it reads, with a model that does all it is told.

Each is first shown to succeed: in a system that pastes texts into its prompt and shows the answer as HTML.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import pytest
from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser

from enhancer_dagster.domain.context import IpInfo, KbArticle, SimilarTicket, WorkflowState
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.outcomes import Usage
from enhancer_dagster.domain.ports import Completion, Prompt
from enhancer_dagster.domain.redaction import CredentialMask
from enhancer_dagster.domain.section import find_sections, render_section
from enhancer_dagster.domain.section.marks import HEADING_WITHOUT_AI
from enhancer_dagster.domain.steps.synthesize import ModelChoice, synthesize
from enhancer_dagster.domain.steps.values import GatheredContext, TicketRun
from enhancer_dagster.domain.tenants import PersonalData
from tests.factories import NOW, make_tenant
from tests.llm_server import orders_in

OURS = UUID("11111111-2222-4333-8444-555555555555")
TAGS = {
    "html", "head", "body", "hr", "h2", "h3", "h4", "h5", "h6", "p", "a", "code", "em", "strong", "s", "pre",
    "li", "ol", "ul",
}  # fmt: skip
HIDDEN = re.compile("[\u200b\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Attempt:
    """What somebody wrote, where, and what it is to bring about."""

    harm: str
    place: str
    text: str


def attempts() -> list[Attempt]:
    lines = (Path(__file__).parents[1] / "data" / "injections.txt").read_text(encoding="utf-8").splitlines()
    parts = [line.split(" | ", 2) for line in lines if not line.startswith("#")]
    return [Attempt(harm, place, _decoded(text)) for harm, place, text in parts]


def _decoded(text: str) -> str:
    return json.loads('"' + text.replace('"', '\\"') + '"')


def visible(html: str) -> str:
    body = LexborHTMLParser(html).body
    return body.text() if body else ""


def is_active(html: str) -> bool:
    nodes = LexborHTMLParser(html).css("*")
    attributes = [(name, value or "") for node in nodes for name, value in node.attributes.items()]
    return any(node.tag not in TAGS for node in nodes) or any(
        name.startswith("on") or name == "style" or (name == "href" and not value.startswith("http"))
        for name, value in attributes
    )


def is_claim(html: str) -> bool:
    return re.search(r"approved by the CEO(?! \(unsourced\))", visible(html)) is not None


HARMS: dict[str, Callable[[str], bool]] = {
    "image": lambda html: bool(LexborHTMLParser(html).css("img, image, input, [background], source")),
    "leak": lambda html: "evil.example" in html.casefold(),
    "active": is_active,
    "forged": lambda html: [found.correlation_id for found in find_sections(html)] != [OURS],
    "source": lambda html: "99999" in html or "88888" in html,
    "claim": is_claim,
    "hidden": lambda html: HIDDEN.search(html) is not None,
    "secret": lambda html: "Hunter2!x" in html,
}


def gathered(attempt: Attempt) -> GatheredContext:
    """A ticket with one source of each kind, of which one holds the attempt."""

    def said(place: str, otherwise: str) -> str:
        return attempt.text if attempt.place == place else otherwise

    return GatheredContext(
        run=TicketRun(
            job_id=OURS, tenant_id="acme", ticket_id="42", correlation_id=OURS, attempt=1, run_id="r",
            received_at=NOW, started_at=NOW,
        ),
        subject="VPN drops",
        text=said("ticket", "The VPN drops."),
        priority="",
        state=WorkflowState(
            similar_tickets=(
                SimilarTicket(
                    ticket_id="1", similarity_score=0.9, subject="VPN",
                    resolution=said("resolution", "Renewed the certificate."),
                ),
            ),
            kb_articles=(
                KbArticle(
                    article_id="2", relevance_score=0.9, title="VPN", content=said("article", "Renew it.")
                ),
            ),
            ip_info=(IpInfo(ip="10.0.1.100", hostname=said("hostname", "vpn-01"), role="gateway"),),
        ),
        content_hash="0",
    )  # fmt: skip


class Obedient:
    """Says what it is told in the material, and something that is true, so that its answer can be used."""

    def complete(
        self, prompt: Prompt, models: Sequence[str], correlation_id: UUID, deadline: Deadline
    ) -> Completion:
        true = "### Relevant Documentation\n- Renew the certificate [KB-2]."
        return Completion(f"{true}\n\n{orders_in(prompt.user)}\n\n{true}", "stop", Usage())


def defended(context: GatheredContext) -> str:
    """The description of the ticket after the product has worked on it."""
    context = context.with_texts(CredentialMask().masked)
    links = context.allowed_links(make_tenant())
    enhancement = synthesize(
        context, ModelChoice(["m"]), Obedient(), NOW, Deadline.after(30), links, PersonalData.RESTORE
    )
    section = render_section(
        enhancement.content, OURS, NOW, without_ai=enhancement.generated_without_ai, links=links
    )
    return f"<p>VPN drops</p>{section.html}"


def undefended(context: GatheredContext) -> str:
    """The same of a system without fences, checks, masks and sanitising."""
    state = context.state
    read = (context.text, state.similar_tickets[0].resolution, state.kb_articles[0].content)
    answer = orders_in("\n\n".join((*read, state.ip_info[0].hostname or "")))
    markdown = MarkdownIt("commonmark", {"html": True})
    markdown.validateLink = lambda _: True
    shown = markdown.render(answer)
    empty = render_section("Fine.", OURS, NOW, without_ai=False).html
    return f"<p>VPN drops</p>{empty.replace('<p>Fine.</p>', shown)}"


@pytest.mark.parametrize("attempt", attempts(), ids=lambda attempt: f"{attempt.harm}-{attempt.place}")
def test_an_attempt_that_succeeds_without_defence_comes_to_nothing(attempt: Attempt) -> None:
    does_harm = HARMS[attempt.harm]
    assert does_harm(undefended(gathered(attempt))), "it is no attempt if it does not succeed"
    html = defended(gathered(attempt))
    assert HEADING_WITHOUT_AI not in html, "the answer was used"
    # An address that a source names may be named, as a whole.
    excused = {"leak"} if attempt.place in ("resolution", "article") else set()
    assert [harm for harm, happened in HARMS.items() if harm not in excused and happened(html)] == []


def test_there_are_as_many_attempts_as_are_called_for() -> None:
    assert len(set(attempts())) >= 60
    assert {attempt.place for attempt in attempts()} == {"ticket", "resolution", "article", "hostname"}
