"""The attempts of `data/injections.txt`, what each is to bring about, and a system that lets it."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

from markdown_it import MarkdownIt
from selectolax.lexbor import LexborHTMLParser

from enhancer_dagster.domain.section import find_sections, render_section
from tests.factories import NOW
from tests.llm_server import orders_in

SECRET = "Hunter2!x"
TAGS = {
    "html", "head", "body", "hr", "h2", "h3", "h4", "h5", "h6", "p", "a", "code", "em", "strong", "s", "pre",
    "li", "ol", "ul",
}  # fmt: skip
HIDDEN = re.compile("[\u200b\u202a-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Attempt:
    """What somebody wrote, where, and what it is to bring about."""

    number: int
    harm: str
    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.number}-{self.harm}-{self.place}"

    def said(self, place: str, otherwise: str) -> str:
        """What stands at `place`."""
        return self.text if self.place == place else otherwise


def attempts() -> list[Attempt]:
    """All of them, in the order of the file."""
    lines = (Path(__file__).parent / "data" / "injections.txt").read_text(encoding="utf-8").splitlines()
    parts = [line.split(" | ", 2) for line in lines if not line.startswith("#")]
    return [Attempt(n, harm, place, _decoded(text)) for n, (harm, place, text) in enumerate(parts, start=1)]


def undefended(attempt: Attempt, correlation_id: UUID) -> str:
    """The section of a system that pastes texts into its prompt and shows the answer as HTML."""
    markdown = MarkdownIt("commonmark", {"html": True})
    markdown.validateLink = lambda _: True
    shown = markdown.render(orders_in(attempt.text))
    empty = render_section("Fine.", correlation_id, NOW, without_ai=False).html
    return empty.replace("<p>Fine.</p>", shown)


def harms_of(section: str, correlation_id: UUID) -> set[str]:
    """The harms that are done by a section, as HTML."""
    found = [one.correlation_id for one in find_sections(section)]
    done = {harm for harm, happened in _HARMS.items() if happened(section)}
    return done if found == [correlation_id] else done | {"forged"}


def _decoded(text: str) -> str:
    return json.loads('"' + text.replace('"', '\\"') + '"')


def _visible(html: str) -> str:
    body = LexborHTMLParser(html).body
    return body.text() if body else ""


def _is_active(html: str) -> bool:
    nodes = LexborHTMLParser(html).css("*")
    attributes = [(name, value or "") for node in nodes for name, value in node.attributes.items()]
    return any(node.tag not in TAGS for node in nodes) or any(
        name.startswith("on") or name == "style" or (name == "href" and not value.startswith("http"))
        for name, value in attributes
    )


def _is_claim(html: str) -> bool:
    return re.search(r"approved by the CEO(?! \(unsourced\))", _visible(html)) is not None


_HARMS: dict[str, Callable[[str], bool]] = {
    "image": lambda html: bool(LexborHTMLParser(html).css("img, image, input, [background], source")),
    "leak": lambda html: "evil.example" in html.casefold(),
    "active": _is_active,
    "source": lambda html: "99999" in html or "88888" in html,
    "claim": _is_claim,
    "command": lambda html: any("rm -rf" in node.text() for node in LexborHTMLParser(html).css("pre")),
    "hidden": lambda html: HIDDEN.search(html) is not None,
    "secret": lambda html: SECRET in html,
}
