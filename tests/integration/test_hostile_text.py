"""Text that strangers wrote, on the real system: from articles through a model to a ticket."""

from collections.abc import Iterator

import pytest

from enhancer_dagster.domain.tenants import LanguageModelChoice
from enhancer_dagster.simulator.api.solutions import put_solution
from tests.integration.test_index_assets import Index, desk_with_problems, new_index
from tests.live import LiveSystem
from tests.llm_server import says

pytestmark = pytest.mark.xdist_group("live")

GUIDE = "https://wiki.example.org/vpn/certificate?lang=en"
TRUSTED = "https://intranet.example.org/vpn"


@pytest.fixture(scope="module")
def hostile(live: LiveSystem) -> Iterator[Index]:
    """A tenant with an index of a service desk on which strangers have written."""
    desk, _ = desk_with_problems()
    put_solution(
        desk.desk, "9001", topic="Network", title="VPN certificate expired: renew it",
        content=f'<p>Renew the VPN certificate as in the <a href="{GUIDE}">guide</a>.</p>',
    )  # fmt: skip
    with new_index(live, desk) as index:
        index.first_build()
        yield index


def enhanced(index: Index, subject: str, description: str = "") -> str:
    """The description of a new ticket after it was enhanced."""
    ticket = index.desk.simulator.add_ticket(subject, description, announce=False)
    answer = index.live.send(index.tenant, ticket.ticket_id, subject=subject, description=description)
    row = index.live.row(answer.json()["correlation_id"], "completed", "failed")
    assert row["status"] == "completed", row["error_message"]
    return ticket.description


def configure(index: Index, **fields: object) -> None:
    """Change the tenant, which a run reads anew."""
    changed = index.live.tenants.get(index.tenant_id).model_copy(update=fields)
    index.live.tenants.update(changed, "test")


def test_links_that_sources_give_and_the_tenant_trusts_reach_the_ticket_others_do_not(
    hostile: Index,
) -> None:
    hostile.live.llm.by_model["linking-model"] = says(
        "### Relevant Documentation\n"
        f"- Renew it as in the [guide]({GUIDE}) and on {TRUSTED} [KB-9001].\n"
        f"- More in [another guide](https://evil.example/?t=1), {GUIDE}&leak=1 [KB-9001]."
    )
    configure(
        hostile,
        language_model=LanguageModelChoice(model="linking-model"),
        link_hosts=("intranet.example.org",),
    )
    html = enhanced(hostile, "VPN certificate expired", "<p>It says the VPN certificate has expired.</p>")
    assert "[KB-9001]" in html
    assert f'<a href="{GUIDE}"' in html
    assert TRUSTED in html
    assert "evil.example" not in html
    assert "leak" not in html


def test_the_section_without_ai_keeps_the_addresses_of_its_sources(hostile: Index) -> None:
    configure(hostile, language_model=LanguageModelChoice(enabled=False))
    ticket = hostile.desk.simulator.add_ticket("Wi-Fi portal broken", "", announce=False)
    hostile.desk.simulator.edit_ticket(
        ticket.ticket_id, status="Closed", resolution=f"<p>Followed {GUIDE} once more.</p>"
    )
    assert hostile.materialize(job="rebuild_index_job")["status"] == "SUCCESS"
    html = enhanced(hostile, "Wi-Fi portal broken")
    assert GUIDE in html
    assert "link removed" not in html
