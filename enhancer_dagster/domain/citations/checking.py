"""The check of a whole answer, section by section and sentence by sentence."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from enhancer_dagster.domain.citations.code import holds_code
from enhancer_dagster.domain.citations.ids import SourceIds
from enhancer_dagster.domain.citations.sentences import CLOSERS, STOPS, WIDE_STOPS, has_words, split_sentences
from enhancer_dagster.domain.errors import AnswerUnusableError
from enhancer_dagster.domain.links import AllowedLinks
from enhancer_dagster.domain.markdown import Block, BlockKind, read_blocks, write_blocks

SIMILAR_TICKETS = "Similar Tickets"
RELEVANT_DOCUMENTATION = "Relevant Documentation"
SYSTEM_INFORMATION = "System Information"
NEXT_STEPS = "Recommended Next Steps"
SECTIONS = (SIMILAR_TICKETS, RELEVANT_DOCUMENTATION, SYSTEM_INFORMATION, NEXT_STEPS)

MOST_WORDS = 500
UNSOURCED = "(unsourced)"

_UNUSABLE = {
    "length": "it was cut off at the limit of tokens",
    "max_tokens": "it was cut off at the limit of tokens",
    "content_filter": "the gateway's content filter stopped it",
    "tool_calls": "the model called a tool instead of answering",
    "function_call": "the model called a tool instead of answering",
    "error": "the model failed while answering",
}
_BEFORE_SECTIONS = ""
_TITLES = (
    (SIMILAR_TICKETS, re.compile(r"\b(?:similar|related)\b.*\b(?:ticket|incident|issue|case)s?\b")),
    (NEXT_STEPS, re.compile(r"\b(?:steps?|actions?)\b")),
    (RELEVANT_DOCUMENTATION, re.compile(r"\b(?:documentation|documents?|knowledge|articles?)\b")),
    (SYSTEM_INFORMATION, re.compile(r"\b(?:systems?|inventory|infrastructure)\b")),
)
_THOUGHT = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCED = re.compile(
    r"\A\s*(?P<fence>```+|~~~+)[a-z]*[ \t]*\n(?P<text>.*)\n(?P=fence)\s*\Z", re.DOTALL | re.IGNORECASE
)
_END_OF_SENTENCE = re.compile(rf"[{STOPS}{WIDE_STOPS}]*[{CLOSERS}]*\Z")


@dataclass(frozen=True, slots=True)
class CheckedAnswer:
    """What is left of an answer.

    Attributes:
        text: Markdown of at most `MOST_WORDS` words, the known sections in their order.
        citations_kept: Citations in `text`.
        citations_removed: Citations of something that was not among the sources.
        sentences_removed: Sentences that presented a fact without a valid citation.
        sentences_marked: Steps without a valid citation, kept and marked.
        sentences_cut: Sentences beyond the limit of words.
        code_removed: Blocks of code that the source before them does not hold.
        cited: The sources that `text` cites, in order.
    """

    text: str
    citations_kept: int
    citations_removed: int
    sentences_removed: int
    sentences_marked: int
    sentences_cut: int
    code_removed: int
    cited: tuple[str, ...]


def check_answer(
    text: str, finish_reason: str | None, sources: Mapping[str, str], links: AllowedLinks | None = None
) -> CheckedAnswer:
    """Hold an answer against its sources.

    Args:
        text: The model's markdown.
        finish_reason: The gateway's word for why it ended.
        sources: What may be cited: texts by id.
        links: Which links stay links; by default none.

    Raises:
        AnswerUnusableError: The answer is cut off or empty, nothing is left of it, or there are sources and
            none is cited.
    """
    if finish_reason in _UNUSABLE:
        raise AnswerUnusableError(f"the answer cannot be used: {_UNUSABLE[finish_reason]}")
    answer = _Answer(sources, SourceIds(sources))
    for block in read_blocks(_unwrapped(text), links):
        answer.add(block)
    checked = answer.checked()
    if not checked.text:
        raise AnswerUnusableError("the answer cannot be used: it is empty, or no source backs what it says")
    if sources and not checked.cited:
        raise AnswerUnusableError("the answer cannot be used: it cites none of its sources")
    return checked


def _unwrapped(text: str) -> str:
    """The answer without the reasoning before it and the code fence that some models put around it."""
    text = _THOUGHT.sub("", text)
    fenced = _FENCED.match(text)
    return fenced.group("text") if fenced else text


@dataclass(slots=True)
class _Unit:
    """A block, as the sentences that are left of it. Code is one sentence."""

    block: Block
    sentences: list[str]


@dataclass(slots=True)
class _Answer:
    """An answer while it is being read."""

    sources: Mapping[str, str]
    ids: SourceIds
    units: dict[str, list[_Unit]] = field(
        default_factory=lambda: {s: [] for s in (_BEFORE_SECTIONS, *SECTIONS)}
    )
    section: str = _BEFORE_SECTIONS
    section_level: int = 0
    cited_last: Sequence[str] = ()
    citations_removed: int = 0
    sentences_removed: int = 0
    sentences_cut: int = 0
    code_removed: int = 0

    def add(self, block: Block) -> None:
        title = _title(block)
        if title is not None:
            self.section, self.section_level, self.cited_last = title, block.level or 6, ()
        elif block.kind is BlockKind.HEADING:
            self._leave_section(block)
        elif block.kind is BlockKind.CODE:
            self._add_code(block)
        else:
            self._add_sentences(block)

    def checked(self) -> CheckedAnswer:
        self._cut_to_length()
        blocks = list(self._blocks())
        sentences = [s for units in self.units.values() for unit in units for s in unit.sentences]
        cited = [source_id for sentence in sentences for source_id in self.ids.cited(sentence)]
        return CheckedAnswer(
            text=write_blocks(blocks),
            citations_kept=len(cited),
            citations_removed=self.citations_removed,
            sentences_removed=self.sentences_removed,
            sentences_marked=sum(UNSOURCED in sentence for sentence in sentences),
            sentences_cut=self.sentences_cut,
            code_removed=self.code_removed,
            cited=tuple(dict.fromkeys(cited)),
        )

    def _leave_section(self, heading: Block) -> None:
        """A heading of another name ends a section, unless it stands below it."""
        if heading.level <= self.section_level:
            self.section, self.section_level = _BEFORE_SECTIONS, 0
        self.cited_last = ()

    def _add_sentences(self, block: Block) -> None:
        normalised = self.ids.normalise(block.text)
        self.citations_removed += normalised.removed
        sentences = split_sentences(normalised.text)
        kept = [checked for sentence in sentences if (checked := self._checked(sentence))]
        self.sentences_removed += len(sentences) - len(kept)
        self.cited_last = [source_id for sentence in kept for source_id in self.ids.cited(sentence)]
        if kept:
            self.units[self.section].append(_Unit(block, kept))

    def _checked(self, sentence: str) -> str | None:
        invented = self.ids.invented(sentence)
        if invented:
            self.citations_removed += len(invented)
            return None
        if self.ids.cited(sentence):
            return sentence
        return _marked(sentence) if self.section == NEXT_STEPS else None

    def _add_code(self, block: Block) -> None:
        """Code cannot cite: it stays where a source that is cited right before it holds it."""
        if any(holds_code(self.sources[source_id], block.text) for source_id in self.cited_last):
            self.units[self.section].append(_Unit(block, [block.text]))
        else:
            self.code_removed += 1

    def _cut_to_length(self) -> None:
        """Shorten the longest section from its end until the whole fits."""
        words = {section: sum(map(_words, units)) for section, units in self.units.items()}
        while sum(words.values()) + sum(1 + len(s.split()) for s in SECTIONS if words[s]) > MOST_WORDS:
            longest = max(words, key=lambda section: words[section])
            units = self.units[longest]
            units[-1].sentences.pop()
            self.sentences_cut += 1
            if not units[-1].sentences:
                units.pop()
            words[longest] = sum(map(_words, units))

    def _blocks(self) -> Iterator[Block]:
        for section, units in self.units.items():
            if section and units:
                yield Block(BlockKind.HEADING, section, 3)
            numbers: dict[int, int] = {}
            for unit in units:
                block = replace(unit.block, text=" ".join(unit.sentences))
                numbers = {level: n for level, n in numbers.items() if level <= block.level}
                if block.number is not None:
                    numbers[block.level] = numbers.get(block.level, 0) + 1
                    block = replace(block, number=numbers[block.level])
                yield block


def _title(block: Block) -> str | None:
    """The section that a block opens: a heading of its sense, or a line that is nothing but its title."""
    if block.kind is BlockKind.CODE:
        return None
    words = " ".join(re.findall(r"[a-z]+", block.visible.casefold()))
    exact = {section.casefold(): section for section in SECTIONS}.get(words)
    if exact or block.kind is not BlockKind.HEADING:
        return exact
    return next((section for section, pattern in _TITLES if pattern.search(words)), None)


def _marked(sentence: str) -> str | None:
    if not has_words(sentence):
        return None
    if UNSOURCED in sentence:
        return sentence
    end = _END_OF_SENTENCE.search(sentence)
    place = end.start() if end else len(sentence)
    return f"{sentence[:place]} {UNSOURCED}{sentence[place:]}"


def _words(unit: _Unit) -> int:
    markers = {BlockKind.CODE: 2, BlockKind.ITEM: 1}.get(unit.block.kind, 0)
    return markers + sum(len(sentence.split()) for sentence in unit.sentences)
