"""Credentials reach neither LLM, section, index nor log; personal data goes where the tenant wants it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast
from uuid import UUID

import pytest
from loguru import logger

from enhancer_dagster.domain.context import IpInfo, KbArticle, SimilarTicket
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import IndexUnavailableError
from enhancer_dagster.domain.ports import ContextSearch, Ports
from enhancer_dagster.domain.tenants import PersonalData, TicketFilter
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from enhancer_dagster.search.build import build_index
from enhancer_dagster.search.content import read_content
from enhancer_dagster.search.corpus import Corpus
from enhancer_dagster.search.pulls import Pull, pull_articles, pull_assets, pull_resolved_tickets
from enhancer_dagster.search.query import SnapshotSearch
from enhancer_dagster.search.settings import BuildSettings
from enhancer_dagster.simulator.api.solutions import put_solution
from enhancer_dagster.simulator.records import Asset
from tests.llm_server import Asked, cites, fails, says
from tests.pipeline import Pipeline, running_pipeline
from tests.search_fixtures import new_work_dir

IN_TICKET, IN_SUBJECT = "T1cket!canary", "Subj3ct!canary"
IN_RESOLUTION, IN_OLD_SUBJECT, IN_OLD_BODY = "Res0lution!canary", "0ldSubject!canary", "0ldBody!canary"
IN_ARTICLE, IN_TITLE, IN_ROLE = "Art1cle!canary", "T1tle!canary", "R0le!canary"
CANARIES = (
    IN_TICKET, IN_SUBJECT, IN_RESOLUTION, IN_OLD_SUBJECT, IN_OLD_BODY, IN_ARTICLE, IN_TITLE, IN_ROLE,
)  # fmt: skip


@dataclass
class Masking:
    """A pipeline with an index, and everything that it has logged."""

    pipeline: Pipeline
    search: SnapshotSearch
    folder: Path
    logged: list[str]

    def enhance(self, subject: str, description: str) -> tuple[str, UUID, str]:
        """A new ticket, worked on: its id, its job and its run."""
        ticket_id = self.pipeline.new_ticket(subject, description)
        job_id = self.pipeline.send(ticket_id)
        run_id = self.pipeline.run(self._with_index)
        assert self.pipeline.row(job_id)["status"] == "completed"
        return ticket_id, job_id, run_id

    def configure(self, **fields: object) -> None:
        """Change the tenant."""
        tenants = self.pipeline.tenants.tenants
        tenants[:] = [tenant.model_copy(update=fields) for tenant in tenants]

    def asked(self) -> str:
        """All that the LLM was sent."""
        return "\n".join(str(one.body) for one in self.pipeline.llm.asked)

    def events(self, run_id: str) -> str:
        """What Dagster keeps of a run: config, tags, events with their metadata, messages."""
        instance = self.pipeline.instance
        return f"{instance.get_run_by_id(run_id)!r}{instance.all_logs(run_id)!r}"

    def outputs(self, run_id: str) -> str:
        """What the ops handed on."""
        rows = self.pipeline.bridge.sql(
            "SELECT value::text FROM pipeline.op_outputs WHERE run_id = %s", run_id
        )
        return str(rows)

    def history(self, job_id: UUID) -> dict[str, Any]:
        return self.pipeline.row(job_id)

    def _with_index(self, ports: Ports) -> Ports:
        return replace(ports, search=self.search)


@pytest.fixture(scope="module")
def masking(
    postgres: EmbeddedPostgres, encoders: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Masking]:
    folder = tmp_path_factory.mktemp("masking")
    work = new_work_dir(folder / "work", encoders)
    logged: list[str] = []
    sink = logger.add(lambda message: logged.append(f"{message} {message.record['extra']}"), level="DEBUG")
    with running_pipeline(postgres) as pipeline:
        write_old_tickets(pipeline)
        publish(pipeline, folder, work)
        search = SnapshotSearch(folder / "index", work / "cache")
        yield Masking(pipeline, search, folder, logged)
    logger.remove(sink)


def write_old_tickets(pipeline: Pipeline) -> None:
    simulator = pipeline.desk.simulator
    old = simulator.add_ticket(
        f"VPN drops every hour, pw: {IN_OLD_SUBJECT}",
        f"<p>The VPN tunnel drops. My password is <b>{IN_OLD_BODY}</b></p>",
        announce=False,
    )
    simulator.edit_ticket(
        old.ticket_id,
        status="Closed",
        resolution=f"Renewed the VPN certificate, new password for jdoe is {IN_RESOLUTION}.",
    )
    put_solution(
        simulator.desk, "9001", topic="Network", title=f"VPN drops: what to do, admin password: {IN_TITLE}",
        content=f"<p>VPN drops when the certificate is old. Login: admin / {IN_ARTICLE}</p>",
    )  # fmt: skip
    simulator.add_asset(Asset("1", "vpn-01", ("vpn-01",), ("10.0.1.100",), role=f"gateway, pw={IN_ROLE}"))


def publish(pipeline: Pipeline, folder: Path, work: Path) -> None:
    desk = pipeline.ports.service_desks.connect(pipeline.tenants.get("acme"))
    with Corpus(work / "acme.duckdb") as corpus:
        pull = Pull(desk, corpus, TicketFilter(), Deadline.after(60))
        assert pull_resolved_tickets(pull).total == 1
        assert pull_articles(pull).total == 1
        assert pull_assets(pull).total == 1
        build_index("acme", read_content(corpus), folder / "index", work, BuildSettings(threads=1))


SUBJECT = f"VPN drops on 10.0.1.100, password: {IN_SUBJECT}"
DESCRIPTION = (
    f"<p>The VPN tunnel drops every hour.</p><p>Log in with <i>pass</i>word {IN_TICKET} if need be</p>"
)


def test_no_credential_reaches_the_llm_the_section_or_what_is_kept(masking: Masking) -> None:
    masking.pipeline.llm.answer = cites()
    ticket_id, job_id, run_id = masking.enhance(SUBJECT, DESCRIPTION)
    asked = masking.asked()
    assert "[PASSWORD_1]" in asked
    assert "Renewed the VPN certificate" in asked, "the ticket of old was found and sent"
    assert "when the certificate is old" in asked, "so was the article"
    assert "vpn-01" in asked, "and the machine"
    section = masking.pipeline.description(ticket_id).removeprefix(DESCRIPTION)
    assert "[TKT-" in section
    for place in (
        asked,
        section,
        masking.events(run_id),
        masking.outputs(run_id),
        str(masking.history(job_id)),
    ):
        assert [canary for canary in CANARIES if canary in place] == []
    assert [line for line in masking.logged if any(canary in line for canary in CANARIES)] == []


def test_the_persons_own_text_stays_as_it_is(masking: Masking) -> None:
    ticket_id, _, _ = masking.enhance(SUBJECT, DESCRIPTION)
    assert masking.pipeline.description(ticket_id).startswith(DESCRIPTION)


def test_no_credential_is_in_a_section_without_ai(masking: Masking) -> None:
    masking.pipeline.llm.answer = fails(500)
    ticket_id, _, run_id = masking.enhance(SUBJECT, DESCRIPTION)
    section = masking.pipeline.description(ticket_id).removeprefix(DESCRIPTION)
    assert "Generated Without AI" in section
    assert "Renewed the VPN certificate" in section
    for place in (section, masking.events(run_id)):
        assert [canary for canary in CANARIES if canary in place] == []


def test_a_credential_that_a_model_writes_does_not_reach_the_ticket(masking: Masking) -> None:
    masking.pipeline.llm.answer = says(
        "### Recommended Next Steps\n1. Log in as admin with the password Inv3nted!pw.\n"
        "2. Renew the certificate [KB-9001]."
    )
    ticket_id, job_id, _ = masking.enhance(SUBJECT, DESCRIPTION)
    section = masking.pipeline.description(ticket_id).removeprefix(DESCRIPTION)
    assert "Renew the certificate" in section
    assert "[PASSWORD]" in section
    assert "Inv3nted!pw" not in section
    assert "Inv3nted!pw" not in str(masking.history(job_id))


def test_what_an_older_index_holds_is_masked_before_it_is_used(masking: Masking) -> None:
    class OlderIndex:
        def similar_tickets(self, *_: object, **__: object) -> list[SimilarTicket]:
            return [SimilarTicket(ticket_id="7", similarity_score=0.9, subject=f"pw: {IN_OLD_SUBJECT}")]

        def kb_articles(self, *_: object, **__: object) -> list[KbArticle]:
            return [KbArticle(article_id="9", relevance_score=0.9, content=f"password is {IN_ARTICLE}")]

        def inventory(self, *_: object) -> list[IpInfo]:
            raise IndexUnavailableError(f"password={IN_ROLE}")

    masking.pipeline.llm.asked.clear()
    masking.pipeline.llm.answer = cites()
    ticket_id = masking.pipeline.new_ticket("Mail is down")
    masking.pipeline.send(ticket_id)
    run_id = masking.pipeline.run(lambda ports: replace(ports, search=cast("ContextSearch", OlderIndex())))
    assert "[TKT-7]" in masking.asked()
    for place in (masking.asked(), masking.events(run_id), masking.pipeline.description(ticket_id)):
        assert [canary for canary in CANARIES if canary in place] == []


def test_no_credential_is_in_a_file_of_corpus_and_index(masking: Masking) -> None:
    files = [path for path in masking.folder.rglob("*") if path.is_file()]
    assert any(b"certificate" in path.read_bytes() for path in files if path.name == "records.bin")
    for path in files:
        content = path.read_bytes()
        assert [canary for canary in CANARIES if canary.encode() in content] == [], path


EMAIL, PHONE = "jane_doe@customer.example", "+49 30 901820"
PERSONAL_TEXT = f"<p>The VPN tunnel drops. Call {PHONE} or write to {EMAIL}</p>"


@pytest.mark.parametrize(
    ("mode", "llm_gets_it", "section_has_it"),
    [(PersonalData.KEEP, True, True), (PersonalData.MASK, False, False), (PersonalData.RESTORE, False, True)],
)
def test_personal_data_goes_where_the_tenant_wants_it(
    masking: Masking, mode: PersonalData, llm_gets_it: bool, section_has_it: bool
) -> None:
    masking.configure(personal_data=mode)
    masking.pipeline.llm.asked.clear()
    masking.pipeline.llm.answer = says(repeats_who_is_named)
    ticket_id, _, run_id = masking.enhance("VPN drops", PERSONAL_TEXT)
    section = masking.pipeline.description(ticket_id).removeprefix(PERSONAL_TEXT)
    assert "Renew the certificate" in section
    for value in (EMAIL, PHONE):
        assert (value in masking.asked()) == llm_gets_it
        assert (value in section) == section_has_it
    if mode is PersonalData.MASK:
        assert "[EMAIL_1]" in section
        assert EMAIL not in masking.outputs(run_id) + masking.events(run_id)


def repeats_who_is_named(asked: Asked) -> str:
    """An answer that names, as the prompt does, whom to call and to write to."""
    named = re.search(r"Call (.*) or write to (\S*)", asked.user)
    assert named
    return (
        f"### Recommended Next Steps\n1. Call {named[1]}, then write to {named[2]} about it.\n"
        "2. Renew the certificate [KB-9001]."
    )
