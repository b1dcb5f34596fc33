"""Markdown from strangers, reduced to what a section may hold: headings, paragraphs, list items, code.

`read_blocks` takes a text apart, `write_blocks` puts it together again in one way only. Between the two,
every block is one line of visible text with emphasis, code spans and allowed links; images become their
description, tables become items, and HTML stays text.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum, auto

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token

from enhancer_dagster.domain.links import AllowedLinks
from enhancer_dagster.domain.text import storable, without_hidden

MOST_CHARACTERS = 20_000
"""What is read of a text; a section holds 500 words, and parsing should not become somebody's lever."""

# Without reference definitions, "[KB-7]: …" at the start of a line is text, and "[KB-7]" never a link.
MARKDOWN = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"]).disable("reference")

_MARKUP = {"strong": "**", "em": "*", "s": "~~"}
_SPECIAL = re.compile(r"[\\`*]|<(?=[A-Za-z/!?])|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])|~(?=~)|(?<=\])\(")
_LINE_START = re.compile(r"^(?:[#>+=-]|~(?=~~))")
_NUMBER_START = re.compile(r"^(\d{1,9})(?=[.)](?:\s|$))")
_DEEPEST_ITEM = 3


class BlockKind(Enum):
    """What a block is."""

    HEADING = auto()
    PARAGRAPH = auto()
    ITEM = auto()
    CODE = auto()


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a text.

    Attributes:
        kind: What it is.
        text: One line of inline markdown; for CODE, its lines as they are.
        level: Of a heading 1 to 6; of an item its depth, from 0.
        number: Of an item in a numbered list.
    """

    kind: BlockKind
    text: str
    level: int = 0
    number: int | None = None

    @property
    def visible(self) -> str:
        """What a reader sees of it."""
        return self.text if self.kind is BlockKind.CODE else visible_text(self.text)


def read_blocks(markdown: str, links: AllowedLinks | None = None) -> list[Block]:
    """The blocks of a text, with everything taken out that a section may not hold.

    Args:
        markdown: From anyone; what is beyond `MOST_CHARACTERS` is dropped.
        links: Which links stay links; the others leave their label.
    """
    source = without_hidden(storable(markdown))[:MOST_CHARACTERS]
    return _Reader(links or AllowedLinks()).blocks(MARKDOWN.parse(source))


def write_blocks(blocks: Iterable[Block]) -> str:
    """Markdown that `read_blocks` reads as `blocks`; headings are moved to start at level three."""
    blocks = [block for block in blocks if block.text.strip()]
    shift = 3 - min((b.level for b in blocks if b.kind is BlockKind.HEADING), default=3)
    lines: list[str] = []
    previous: Block | None = None
    open_levels: list[int] = []
    for block in blocks:
        if block.kind is BlockKind.HEADING:
            block = replace(block, level=min(6, max(3, block.level + shift)))
        block = _nested(block, open_levels)
        if previous is not None and _apart(previous, block):
            lines.append("")
        lines += _lines(block)
        previous = block
    return "\n".join(lines)


def visible_text(inline: str) -> str:
    """What a reader sees of one line of inline markdown."""
    return "".join(
        " " if child.type in ("softbreak", "hardbreak") else child.content
        for token in MARKDOWN.parseInline(inline)
        for child in token.children or ()
    )


def escape(text: str) -> str:
    """`text` as markdown that shows it as it is, anywhere but at the start of a line."""
    return _SPECIAL.sub(r"\\\g<0>", text)


class _Reader:
    """Walks markdown-it's tokens once."""

    def __init__(self, links: AllowedLinks) -> None:
        self._links = links
        self._lists: list[int | None] = []
        self._blocks: list[Block] = []
        self._cells: list[str] | None = None
        self._item_is_new = False

    def blocks(self, tokens: Sequence[Token]) -> list[Block]:
        heading = 0
        for token in tokens:
            match token.type:
                case "heading_open":
                    heading = int(token.tag[1])
                case "inline":
                    self._add_inline(token, heading)
                    heading = 0
                case "fence" | "code_block":
                    self._blocks.append(Block(BlockKind.CODE, self._links.filtered(token.content.rstrip())))
                case _:
                    self._note_structure(token)
        return self._blocks

    def _note_structure(self, token: Token) -> None:
        match token.type:
            case "ordered_list_open":
                self._lists.append(int(token.attrGet("start") or 1))
            case "bullet_list_open":
                self._lists.append(None)
            case "ordered_list_close" | "bullet_list_close":
                self._lists.pop()
            case "list_item_open":
                self._item_is_new = True
            case "list_item_close" if self._lists[-1] is not None:
                self._lists[-1] += 1
            case "tr_open":
                self._cells = []
            case "tr_close":
                self._add_row()

    def _add_inline(self, token: Token, heading: int) -> None:
        text = _inline(token.children or (), self._links)
        if self._cells is not None:
            self._cells.append(text)
        elif heading:
            self._blocks.append(Block(BlockKind.HEADING, text, heading))
        elif not self._lists:
            self._blocks.append(Block(BlockKind.PARAGRAPH, text))
        elif self._item_is_new or not self._blocks or self._blocks[-1].kind is not BlockKind.ITEM:
            self._blocks.append(Block(BlockKind.ITEM, text, len(self._lists) - 1, self._lists[-1]))
        else:
            self._blocks[-1] = replace(self._blocks[-1], text=f"{self._blocks[-1].text} {text}")
        self._item_is_new = False

    def _add_row(self) -> None:
        cells = [cell for cell in self._cells or () if cell]
        self._cells = None
        if cells:
            self._blocks.append(Block(BlockKind.ITEM, "; ".join(cells)))


def _inline(children: Sequence[Token], links: AllowedLinks) -> str:
    parts: list[str] = []
    link_ends: list[str] = []
    for child in children:
        if child.type == "link_open":
            address = str(child.attrGet("href") or "")
            admitted = links.admits(address)
            if admitted and parts and parts[-1].endswith("!"):
                parts[-1] = parts[-1][:-1] + r"\!"
            link_ends.append(f"]({address.replace('(', '%28').replace(')', '%29')})" if admitted else "")
            parts.append("[" if admitted else "")
        elif child.type == "link_close":
            parts.append(link_ends.pop())
        else:
            text = _span(child, links)
            parts.append(text.replace("[", r"\[").replace("]", r"\]") if any(link_ends) else text)
    return "".join(parts).strip()


def _span(token: Token, links: AllowedLinks) -> str:
    match token.type:
        case "text":
            return escape(links.filtered(token.content))
        case "image":
            described = RendererHTML().renderInlineAsText(token.children, MARKDOWN.options, {})
            return escape(links.filtered(described.replace("\n", " ")))
        case "code_inline":
            return _code_span(links.filtered(token.content))
        case "softbreak" | "hardbreak":
            return " "
        case _:
            return _MARKUP.get(token.type.rpartition("_")[0], "")


def _code_span(code: str) -> str:
    longest = max((len(run) for run in re.findall("`+", code)), default=0)
    fence = "`" * (longest + 1)
    padding = " " if code.startswith("`") or code.endswith("`") else ""
    return f"{fence}{padding}{code}{padding}{fence}"


def _safe_start(text: str) -> str:
    """`text` without a first character that would make it a heading, a quotation or a list."""
    return _NUMBER_START.sub(r"\1" + "\\\\", _LINE_START.sub(r"\\\g<0>", text))


def _nested(block: Block, open_levels: list[int]) -> Block:
    """An item as deep as it has items above it, whatever depth it had where they were removed."""
    if block.kind is not BlockKind.ITEM:
        open_levels.clear()
        return block
    while open_levels and open_levels[-1] >= block.level:
        open_levels.pop()
    open_levels.append(block.level)
    return replace(block, level=min(len(open_levels) - 1, _DEEPEST_ITEM))


def _apart(previous: Block, block: Block) -> bool:
    if block.kind is BlockKind.HEADING:
        return True
    if block.kind is BlockKind.ITEM and block.level > previous.level and block.number not in (None, 1):
        return True
    return previous.kind is not BlockKind.HEADING and not (previous.kind is block.kind is BlockKind.ITEM)


def _lines(block: Block) -> Iterator[str]:
    match block.kind:
        case BlockKind.HEADING:
            yield f"{'#' * block.level} {block.text}"
        case BlockKind.PARAGRAPH:
            yield _safe_start(block.text)
        case BlockKind.ITEM:
            marker = "-" if block.number is None else f"{min(block.number, 99)}."
            yield f"{'    ' * block.level}{marker} {_safe_start(block.text)}"
        case BlockKind.CODE:
            fence = "`" * max(3, *(len(run) + 1 for run in re.findall("`+", block.text)), 3)
            yield from (fence, *block.text.split("\n"), fence)
