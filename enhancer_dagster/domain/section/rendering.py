"""A section as it is written: markdown for people's tools, HTML for ServiceDesk Plus."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import nh3

from enhancer_dagster.domain.links import AllowedLinks
from enhancer_dagster.domain.markdown import MARKDOWN, Block, BlockKind, read_blocks, write_blocks
from enhancer_dagster.domain.section.marks import HEADING, HEADING_WITHOUT_AI, footer, is_mark

_QUOTED = "(quoted) "
_TAGS = {"a", "code", "em", "h3", "h4", "h5", "h6", "li", "ol", "p", "pre", "s", "strong", "ul"}


@dataclass(frozen=True, slots=True)
class Section:
    """One section in its two forms.

    Attributes:
        markdown: From the rule before the heading to the footer.
        html: The same, sanitised.
    """

    markdown: str
    html: str


def render_section(
    content: str,
    correlation_id: UUID,
    generated_at: datetime,
    *,
    without_ai: bool,
    links: AllowedLinks | None = None,
) -> Section:
    """The section that a ticket or a note will carry.

    Args:
        content: Markdown from a model or from `format_without_ai`. Whatever it holds, it becomes text
            below the section's heading: no images, no HTML, no second heading or footer.
        correlation_id: Of the enhancement; by it the section is recognised.
        generated_at: Aware; shown in UTC.
        without_ai: Which of the two headings it gets.
        links: Which links stay links.
    """
    links = links or AllowedLinks()
    safe = write_blocks(_defused(read_blocks(content, links)))
    heading = HEADING_WITHOUT_AI if without_ai else HEADING
    last_line = footer(correlation_id, generated_at)
    return Section(
        markdown=f"---\n## {heading}\n\n{safe}\n\n{last_line}",
        html=f"<hr><h2>{heading}</h2>\n{_sanitised(safe, links)}<p>{last_line}</p>",
    )


def _defused(blocks: Iterable[Block]) -> Iterator[Block]:
    """The blocks, none of which can be taken for the section's own heading or footer."""
    for block in blocks:
        if block.kind is BlockKind.CODE:
            lines = block.text.split("\n")
            yield replace(block, text="\n".join(_QUOTED + line if is_mark(line) else line for line in lines))
        elif is_mark(block.visible):
            yield replace(block, text=_QUOTED + block.text)
        else:
            yield block


def _sanitised(markdown: str, links: AllowedLinks) -> str:
    return nh3.clean(
        MARKDOWN.render(markdown),
        tags=_TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        attribute_filter=lambda tag, _, value: value if tag != "a" or links.admits(value) else None,
        url_schemes={"http", "https"},
    )
