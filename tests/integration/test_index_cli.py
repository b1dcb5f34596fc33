"""`enhancer search` and `enhancer index`, without a system that runs."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from enhancer_dagster.search.build import build_index
from enhancer_dagster.simulator.server import running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.search_fixtures import PROBLEMS, content, new_work_dir, solved, ticket, tickets
from tests.shell import ENHANCER

PRINTER = ("--subject", "Printer prints nothing", "The printer on floor two is silent, ask 10.0.1.100")


class Installation:
    """A data folder that holds an index of tenant acme, and the command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def enhancer(self, *arguments: str, status: int = 0, stdin: str = "", **environment: str) -> str:
        given = {"ENHANCER_DATA_DIR": str(self.folder), "COLUMNS": "220", **environment}
        done = subprocess.run(
            [ENHANCER, *arguments], env=os.environ | given, input=stdin,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == status, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr if status else done.stdout

    def search(self, *arguments: str, **given: str) -> dict[str, list[dict[str, object]]]:
        return json.loads(self.enhancer("search", "--tenant", "acme", "--json", *arguments, **given))

    def build(self, *documents: str) -> str:
        more = [ticket(number, *PROBLEMS[0]) for number in documents]
        report = build_index(
            "acme", content([*tickets(), *more]), self.folder / "index", self.folder / "index-work"
        )
        return report.manifest.snapshot_id


@pytest.fixture(scope="module")
def installed(encoders: Path, tmp_path_factory: pytest.TempPathFactory) -> Installation:
    folder = tmp_path_factory.mktemp("installed")
    new_work_dir(folder / "index-work", encoders)
    installation = Installation(folder)
    installation.build()
    return installation


def test_a_text_is_answered_with_what_would_be_offered(installed: Installation) -> None:
    found = installed.search(*PRINTER)
    assert [hit["id"] for hit in found["tickets"]][:1] == ["1"]
    assert found["tickets"][0]["resolution"] == "Restarted the spooler"
    assert all(hit["offered"] for hit in found["tickets"])
    assert found["inventory"][0]["hostname"] == "srv-1.example.org"
    shown = installed.enhancer("search", "--tenant", "acme", *PRINTER)
    assert "Restarted the spooler" in shown
    assert "srv-1.example.org" in shown


def test_the_ticket_itself_can_be_left_out_and_the_text_come_from_stdin(installed: Installation) -> None:
    found = installed.search("-", "--leave-out", "1", stdin=f"<p>{PRINTER[2]}</p>")
    assert "1" not in [hit["id"] for hit in found["tickets"]]
    assert "1" in [hit["id"] for hit in installed.search(PRINTER[2])["tickets"]]


def test_explained_hits_say_why_and_why_not(installed: Installation) -> None:
    hits = installed.search("--explain", *PRINTER)["tickets"]
    assert len(hits) == len(PROBLEMS)
    offered, last = hits[0], hits[-1]
    assert offered["score"] == pytest.approx(0.5 * offered["lexical"] + 0.5 * offered["dense"], abs=1e-3)
    assert "printer" in offered["shared_terms"]
    assert (last["offered"], last["why_not"]) == (False, "below 0.33")
    shown = installed.enhancer("search", "--tenant", "acme", "--explain", *PRINTER)
    assert "words in common" in shown
    assert "below 0.33" in shown


def test_weights_and_floors_are_settings(installed: Installation) -> None:
    assert installed.search(*PRINTER, ENHANCER_SEARCH_TICKET_FLOOR="0.99")["tickets"] == []
    by_words = installed.search(*PRINTER, ENHANCER_SEARCH_TICKET_LEXICAL_WEIGHT="1")["tickets"][0]
    assert by_words["score"] == by_words["lexical"]
    said = installed.enhancer(
        "search", "--tenant", "acme", "x", status=1, ENHANCER_SEARCH_TICKET_LEXICAL_WEIGHT="2"
    )
    assert "search_ticket_lexical_weight" in said


@pytest.mark.parametrize(
    "command",
    [("search", "x"), ("index", "status"), ("index", "rollback"), ("index", "evaluate")],
    ids=lambda command: command[-1],
)
def test_a_tenant_without_an_index_is_told_who_has_one(
    installed: Installation, command: tuple[str, ...]
) -> None:
    said = installed.enhancer(*command, "--tenant", "amce", status=1)
    assert "there is one of acme" in said
    assert "enhancer index build --tenant amce" in said


def test_status_tells_what_there_is_and_rollback_takes_a_build_back(tmp_path: Path, encoders: Path) -> None:
    new_work_dir(tmp_path / "index-work", encoders)
    installation = Installation(tmp_path)
    assert json.loads(installation.enhancer("index", "status", "--json")) == []
    old, new = installation.build(), installation.build("new")
    told = json.loads(installation.enhancer("index", "status", "--json"))
    assert [(row["snapshot"], row["live"], row["tickets"]) for row in told] == [
        (new, True, 7),
        (old, False, 6),
    ]
    assert (told[0]["articles"], told[0]["machines"], told[0]["checks_passed"]) == (2, 1, 6)
    assert old in installation.enhancer("index", "rollback", "--tenant", "acme")
    told = json.loads(installation.enhancer("index", "status", "--tenant", "acme", "--json"))
    assert [row["live"] for row in told] == [False, True]
    assert "no snapshot before" in installation.enhancer("index", "rollback", "--tenant", "acme", status=1)


def test_an_index_is_built_and_measured_where_no_system_runs(
    open_folder: Path, tmp_path: Path, encoders: Path
) -> None:
    folder = open_folder / "index-by-hand"
    folder.mkdir(mode=0o711)
    new_work_dir(folder / "index-work", encoders)
    installation, desk = Installation(folder), Simulator()
    for problem in PROBLEMS:
        solved(desk, *problem)
    with running_simulator(desk) as served:
        here = {"ENHANCER_ALLOW_HTTP": "true", "ENHANCER_PRIVATE_NETWORKS": "127.0.0.1"}
        given = here | {"ENHANCER_DAGSTER_PORT": "1", "SDP_API_KEY": "simulator"}
        build = ("index", "build", "--tenant", "acme")
        assert "there is no tenant" in installation.enhancer(*build, status=1, **given)
        added = ("tenants", "add", "acme", "--url", served.url, "--write-back", "note")
        installation.enhancer(*added, **given)
        (row,) = json.loads(installation.enhancer(*build, "--full", "--json", **given))
        assert (row["live"], row["tickets"]) == (True, len(PROBLEMS))
        measure = ("index", "evaluate", "--tenant", "acme", "--json")
        assert json.loads(installation.enhancer(*measure, **given))["tickets"]["precision_at_1"] == 1.0
        known = tmp_path / "known.tsv"
        known.write_text("ticket\tother\n" + "\t".join(list(desk.desk.tickets)[:2]))
        told = json.loads(installation.enhancer(*measure, "--known", str(known), **given))["tickets"]
        assert (told["queries"], told["source"]) == (2, "known duplicates")
        known.write_text("ticket\tother\nnothing")
        assert "line 2" in installation.enhancer(*measure, "--known", str(known), status=1, **given)
        for ticket_id in desk.desk.tickets:
            desk.edit_ticket(ticket_id, status="Open")
        assert "row_count" in installation.enhancer(*build, status=1, **given)
        (row,) = json.loads(installation.enhancer(*build, "--allow-shrinking", "--json", **given))
        assert row["tickets"] == 0
