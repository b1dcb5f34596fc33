import pytest

from enhancer_dagster.domain.context import KbArticle, SimilarTicket, WorkflowState
from enhancer_dagster.domain.links import REMOVED, AllowedLinks

STATE = WorkflowState(
    similar_tickets=(
        SimilarTicket(
            ticket_id="1",
            similarity_score=1,
            resolution="Done as in (https://wiki.example/vpn?x=1), see there.",
        ),
    ),
    kb_articles=(
        KbArticle(
            article_id="7",
            relevance_score=1,
            content="Download: https://files.example/a%20b_(c).zip. Or\nHTTPS://Portal.example/",
        ),
    ),
)
LINKS = AllowedLinks.from_sources(STATE, hosts=["Intranet.example"])


@pytest.mark.parametrize(
    "address",
    [
        "https://wiki.example/vpn?x=1",
        "https://WIKI.example/vpn?x=1",
        "https://files.example/a%20b_(c).zip",
        "https://files.example/a%20b_%28c%29.zip",
        "https://portal.example",
        "https://intranet.example/any?thing=at#all",
        "http://intranet.example:8080/",
    ],
)
def test_addresses_of_sources_and_hosts_of_the_tenant_are_allowed(address: str) -> None:
    assert LINKS.admits(address)
    assert LINKS.filtered(f"see {address}, please") == f"see {address}, please"


@pytest.mark.parametrize(
    "address",
    [
        "https://wiki.example/vpn?x=secret",
        "https://wiki.example/",
        "https://evil.example/",
        "https://intranet.example.evil.example/",
        "https://intranet.example@evil.example/",
        "https://user:pw@intranet.example/",
        r"https://evil.example\@intranet.example/",
        r"https://intranet.example\.evil.example/",
        "https://intranet.example:x@evil.example/",
        "//intranet.example/",
        "/relative",
        "javascript://intranet.example/%0aalert(1)",
        "ftp://intranet.example/",
        "https:intranet.example",
        "",
    ],
)
def test_all_others_are_not(address: str) -> None:
    assert not LINKS.admits(address)


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("see https://evil.example/?d=1.", f"see {REMOVED}."),
        ("(https://evil.example/a)", f"({REMOVED})"),
        ("https://evil.example/a)](https://evil.example/b)", f"{REMOVED})]({REMOVED})"),
        ("a:https://evil.example", f"a:{REMOVED}"),
        ("xhttps://evil.example", REMOVED),
        ("smb://evil.example/x and www.evil.example", f"{REMOVED} and {REMOVED}"),
        ("C:\\x and 10:30 and a//b and e.g. www", "C:\\x and 10:30 and a//b and e.g. www"),
    ],
)
def test_addresses_in_text_are_taken_out(text: str, left: str) -> None:
    assert LINKS.filtered(text) == left


def test_nothing_is_allowed_by_default() -> None:
    assert not AllowedLinks().admits("https://wiki.example/vpn?x=1")


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["https://", "a://b)", "www.", "a", "x:/", ")"])
def test_a_long_text_is_filtered_in_linear_time(piece: str) -> None:
    LINKS.filtered(piece * (20_000 // len(piece)))
