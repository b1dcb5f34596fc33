"""From content to answers: build, publish, ask, replace, damage, roll back."""

import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Event

import pytest
from loguru import logger
from upath import UPath

from enhancer_dagster.domain.errors import ConfigurationError, IndexUnavailableError
from enhancer_dagster.domain.tenants import TicketFilter
from enhancer_dagster.search.build import BuildReport, build_index, embed_content
from enhancer_dagster.search.content import IndexContent
from enhancer_dagster.search.documents import Document
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.manifest import verify
from enhancer_dagster.search.publish import roll_back
from enhancer_dagster.search.query import SnapshotSearch
from enhancer_dagster.search.settings import BuildSettings, SearchSettings
from tests.live import eventually
from tests.search_fixtures import content, new_work_dir, ticket, tickets

EAGER = SearchSettings(refresh_seconds=0)
PRINTER = ("Printer prints nothing", "The printer on floor two is silent, its queue is full")


class Place:
    """A location with its builds and its readers."""

    def __init__(self, location: Path | str, work_dir: Path) -> None:
        self.location = location
        self.work_dir = work_dir

    def build(
        self, what: IndexContent | None = None, tenant_id: str = "acme", *, allow_shrinking: bool = False
    ) -> BuildReport:
        return build_index(
            tenant_id,
            content() if what is None else what,
            self.location,
            self.work_dir,
            BuildSettings(threads=1),
            allow_shrinking=allow_shrinking,
        )

    def reader(self) -> SnapshotSearch:
        return SnapshotSearch(self.location, self.work_dir / "cache", EAGER)

    def folder(self, report: BuildReport) -> Path:
        return TenantLocation(self.location, "acme").snapshot(report.manifest.snapshot_id)


@pytest.fixture
def place(tmp_path: Path, encoders: Path) -> Place:
    return Place(tmp_path / "index", new_work_dir(tmp_path / "work", encoders))


@pytest.fixture
def warnings() -> Iterator[list[str]]:
    lines: list[str] = []
    sink = logger.add(lambda message: lines.append(str(message)), level="WARNING")
    yield lines
    logger.remove(sink)


def _ids(
    search: SnapshotSearch, subject: str, text: str, tenant_id: str = "acme", exclude: str = ""
) -> list[str]:
    hits = search.similar_tickets(tenant_id, subject, text, exclude_ticket_id=exclude, limit=5)
    return [hit.ticket_id for hit in hits]


def test_a_published_index_answers_all_three_questions(place: Place) -> None:
    report = place.build()
    assert report.published
    assert [check.name for check in report.manifest.checks if not check.passed] == []
    search = place.reader()
    best = search.similar_tickets("acme", *PRINTER, exclude_ticket_id="", limit=3)[0]
    assert (best.ticket_id, best.resolution) == ("1", "Restarted the spooler")
    assert 0.3 < best.similarity_score <= 1
    assert best.resolved_at is not None
    article = search.kb_articles("acme", "print queue stuck", "need to restart the spooler", limit=1)[0]
    assert article.article_id == "A1"
    known, unknown = search.inventory("acme", "srv-1 (10.0.1.100) cannot reach 192.0.2.9")
    assert (known.hostname, unknown.hostname) == ("srv-1.example.org", None)


def test_the_ticket_itself_is_never_offered(place: Place) -> None:
    place.build()
    own = tickets()[0]
    assert "1" in _ids(place.reader(), own.title, own.body)
    assert "1" not in _ids(place.reader(), own.title, own.body, exclude="1")


def test_nothing_is_offered_below_the_floor(place: Place) -> None:
    place.build()
    assert _ids(place.reader(), "Lunch menu", "Is there soup on Friday in the canteen?") == []
    explained = place.reader().explain("acme", "tickets", "Lunch menu", "Is there soup on Friday?")
    assert explained.hits
    assert all(hit.score < explained.weights.floor for hit in explained.hits)


def test_explained_hits_say_why(place: Place) -> None:
    place.build()
    best = place.reader().explain("acme", "tickets", *PRINTER).hits[0]
    weight = EAGER.tickets.lexical_weight
    assert best.score == pytest.approx(weight * best.lexical + (1 - weight) * best.dense)
    assert "printer" in [term for term, _ in best.shared_terms]


def test_a_filter_leaves_others_out(place: Place) -> None:
    twins = [ticket(str(i), *PRINTER, group="Network" if i == 7 else "Desk") for i in range(10)]
    place.build(content(twins))
    hits = place.reader().similar_tickets(
        "acme", *PRINTER, exclude_ticket_id="", limit=3, only=TicketFilter(groups=("network",))
    )
    assert [hit.ticket_id for hit in hits] == ["7"]


def test_a_tenant_never_sees_anothers_ticket(place: Place) -> None:
    place.build(content(tickets("a-")), "acme")
    place.build(content(tickets("b-")), "beta")
    search = place.reader()
    for tenant_id, prefix in (("acme", "a-"), ("beta", "b-"), ("acme", "a-")):
        assert all(found.startswith(prefix) for found in _ids(search, *PRINTER, tenant_id=tenant_id))
    with pytest.raises(IndexUnavailableError):
        _ids(search, *PRINTER, tenant_id="gamma")


@pytest.mark.parametrize("tenant_id", ["../acme", "acme/../beta", "", ".", "ACME"])
def test_a_tenant_id_cannot_lead_elsewhere(place: Place, tenant_id: str) -> None:
    place.build()
    with pytest.raises(ConfigurationError):
        _ids(place.reader(), *PRINTER, tenant_id=tenant_id)


def test_nothing_published_is_said_so(place: Place) -> None:
    with pytest.raises(IndexUnavailableError, match="published"):
        place.reader().inventory("acme", "10.0.0.1")


def test_a_new_snapshot_is_noticed_and_the_old_one_finishes_undisturbed(place: Place) -> None:
    place.build()
    search = place.reader()
    assert "new" not in _ids(search, *PRINTER)
    old = search._snapshot("acme")
    for _ in range(3):
        place.build()
    last = place.build(content([*tickets(), ticket("new", *PRINTER)]))
    assert _ids(search, *PRINTER)[0] == "new"
    assert search.manifest("acme").snapshot_id == last.manifest.snapshot_id
    assert not old.folder.exists()
    index = old.corpora["tickets"]
    assert index.records[0]["id"] == "1"
    assert len(index.vectors.exact_scores(index.vectors.vectors[0].astype("f4"))) == 6


def test_the_live_snapshot_and_the_two_before_are_kept(place: Place) -> None:
    built = [place.build().manifest.snapshot_id for _ in range(5)]
    assert TenantLocation(place.location, "acme").snapshot_ids() == built[:1:-1]


def test_roll_back_brings_the_snapshot_before_back(place: Place) -> None:
    first = place.build()
    place.build(content([*tickets(), ticket("new", *PRINTER)]))
    search = place.reader()
    assert "new" in _ids(search, *PRINTER)
    assert roll_back(TenantLocation(place.location, "acme"), place.work_dir) == first.manifest.snapshot_id
    assert "new" not in _ids(search, *PRINTER)
    with pytest.raises(IndexUnavailableError):
        roll_back(TenantLocation(place.location, "acme"), place.work_dir)


def _truncate(folder: Path) -> None:
    path = folder / "tickets" / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-10])


def _flip_a_byte(folder: Path) -> None:
    path = folder / "tickets" / "vectors.npy"
    contents = bytearray(path.read_bytes())
    contents[-1] ^= 0xFF
    path.write_bytes(contents)


def _lose_a_file(folder: Path) -> None:
    (folder / "encoder" / "model.onnx").unlink()


def _garble_the_manifest(folder: Path) -> None:
    (folder / "manifest.json").write_text('{"half": ')


@pytest.mark.parametrize(
    "damage", [_truncate, _flip_a_byte, _lose_a_file, _garble_the_manifest, shutil.rmtree]
)
def test_a_damaged_snapshot_is_detected_and_the_one_before_used(
    place: Place, warnings: list[str], damage
) -> None:
    first = place.build()
    second = place.build(content([*tickets(), ticket("new", *PRINTER)]))
    damage(place.folder(second))
    search = place.reader()
    assert search.manifest("acme").snapshot_id == first.manifest.snapshot_id
    assert _ids(search, *PRINTER)[0] == "1"
    assert any("DAMAGED" in line for line in warnings)
    assert any("OLDER" in line for line in warnings)


def test_with_nothing_left_to_read_the_index_is_unavailable(place: Place) -> None:
    _truncate(place.folder(place.build()))
    with pytest.raises(IndexUnavailableError):
        _ids(place.reader(), *PRINTER)


def test_a_damaged_pointer_leads_to_the_newest_snapshot(place: Place, warnings: list[str]) -> None:
    place.build()
    second = place.build()
    (Path(place.location) / "acme" / "CURRENT").write_bytes(b"\xff\x00half")
    assert place.reader().manifest("acme").snapshot_id == second.manifest.snapshot_id
    assert warnings


def test_a_second_build_encodes_nothing(place: Place) -> None:
    assert place.build().manifest.statistics["encoded"] > 0
    assert place.build().manifest.statistics["encoded"] == 0


def test_a_build_says_what_is_new_changed_and_gone(place: Place) -> None:
    def counted(report: BuildReport) -> tuple[float, ...]:
        return tuple(report.manifest.statistics[name] for name in ("new", "changed", "removed"))

    assert counted(place.build()) == (8, 0, 0)
    assert counted(place.build()) == (0, 0, 0)
    _, second, *others = tickets()
    solved_otherwise = ticket("2", second.title, second.body, "Password reset")
    report = place.build(content([ticket("new", *PRINTER), solved_otherwise, *others]))
    assert counted(report) == (1, 1, 1)
    assert report.manifest.statistics["docs_per_second"] > 0
    (place.folder(report) / "tickets" / "row_keys.npy").write_bytes(b"damaged")
    assert counted(place.build()) == (6, 0, 0), "against a snapshot that cannot be read, all tickets are new"


def test_embedding_ahead_leaves_nothing_to_encode(place: Place) -> None:
    report = embed_content("acme", content(), place.work_dir, BuildSettings(threads=1))
    assert report.new == 6 + 2 * 2  # articles have a vector of the title beside that of the whole
    assert place.build().manifest.statistics["encoded"] == 0


def test_a_collapsed_corpus_is_not_published_unless_told(place: Place) -> None:
    first = place.build()
    shrunk = place.build(content(tickets()[:2]))
    assert [check.name for check in shrunk.failed_checks] == ["row_count"]
    assert place.reader().manifest("acme").snapshot_id == first.manifest.snapshot_id
    assert place.build(content(tickets()[:2]), allow_shrinking=True).published


def test_a_repeated_id_is_not_published(place: Place) -> None:
    report = place.build(content([*tickets(), tickets()[0]]))
    assert [check.name for check in report.failed_checks] == ["unique_ids"]
    with pytest.raises(IndexUnavailableError):
        _ids(place.reader(), *PRINTER)


STACK = "Traceback (most recent call last):\n" + "\n".join(
    f'  File "/srv/app/part{i}.py", line {i}, in run\n    step_{i}()' for i in range(40)
)


@pytest.mark.parametrize(
    ("documents", "asked", "expected"),
    [
        pytest.param([], PRINTER, [], id="empty corpus"),
        pytest.param([ticket("1", *PRINTER)], PRINTER, ["1"], id="one ticket"),
        pytest.param(
            [ticket(f"{i:03}", *PRINTER) for i in range(300)], PRINTER, None, id="identical tickets"
        ),
        pytest.param(
            [*tickets(), ticket("big", "Log attached", "disk full on node seven\n" * 45_000)],
            ("Log attached", "disk full on node seven\n" * 45_000),
            ["big"],
            id="a 1 MB ticket",
        ),
        pytest.param(
            [*tickets(), ticket("ja", "印刷できません", "プリンターが動きません")],
            ("印刷できない", "プリンターが動きません"),
            ["ja"],
            id="no Latin letters",
        ),
        pytest.param(
            [*tickets(), ticket("stop", "it is", "not the")],
            ("the of", "and to it is"),
            None,
            id="stop words",
        ),
        pytest.param(
            [*tickets(), ticket("trace", "", STACK)], ("", STACK), ["trace"], id="only a stack trace"
        ),
        pytest.param([*tickets(), ticket("none", "", "")], ("", " \n"), [], id="nothing said"),
        pytest.param(
            tickets(), ("\ud800printer\x00", "prints nothing \udfff floor two"), ["1"], id="lone surrogates"
        ),
    ],
)
def test_unusual_text(
    place: Place, documents: list[Document], asked: tuple[str, str], expected: list[str] | None
) -> None:
    report = place.build(content(documents))
    assert report.failed_checks == ()
    found = _ids(place.reader(), *asked)
    if expected is not None:
        assert found[:1] == expected[:1]
    assert len(found) == len(set(found)) <= 5


def test_identical_tickets_come_in_the_order_they_were_given(place: Place) -> None:
    place.build(content([ticket(name, *PRINTER) for name in ("newest", "middle", "oldest")]))
    assert _ids(place.reader(), *PRINTER) == ["newest", "middle", "oldest"]


def test_two_builds_at_once_do_each_other_no_harm(place: Place) -> None:
    more = content([*tickets(), ticket("new", *PRINTER)])
    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(place.build, [content(), more, content()]))
    assert all(report.published for report in reports)
    last = max(reports, key=lambda report: report.manifest.snapshot_id)
    assert place.reader().manifest("acme").snapshot_id == last.manifest.snapshot_id
    assert ("new" in _ids(place.reader(), *PRINTER)) == (last is reports[1])
    for report in reports:
        # Each is whole: none wrote into another's folder. Without the seal the contents are read.
        (place.folder(report) / "verified.json").unlink()
        verify(place.folder(report), report.manifest)


def test_fifty_queries_a_second_go_on_while_indexes_are_built(place: Place) -> None:
    place.build()
    search, done, answers = place.reader(), Event(), list[str]()

    def ask() -> None:
        while not done.wait(0.1):
            answers.append(_ids(search, *PRINTER)[0])

    published: set[str] = set()
    with ThreadPoolExecutor(5) as pool:
        asking = [pool.submit(ask) for _ in range(5)]
        try:
            for number in range(3):
                more = [ticket(f"new-{number}", *PRINTER), *tickets()]
                published.add(place.build(content(more)).manifest.snapshot_id)
            # A slow machine asks less often; what matters is that every answer is one.
            eventually(lambda: answers[-1:] == ["new-2"] and len(answers) >= 100, "the last build answers")
        finally:
            done.set()
        for one in asking:
            one.result()
    assert len(published) == 3
    assert set(answers) <= {"1", "new-0", "new-1", "new-2"}, "whichever snapshot is live answers, and whole"


def test_a_build_killed_at_any_point_leaves_the_old_index_serving(place: Place, warnings: list[str]) -> None:
    first = place.build().manifest.snapshot_id
    more = content([ticket("new", *PRINTER), *tickets()])
    events = _file_events_of_a_build(place, more, kill_at=None)
    assert events > 20
    last = place.reader().manifest("acme").snapshot_id
    assert last > first
    # A sample of all file operations, and each of the last ones, which publish.
    for kill_at in sorted({*range(0, events - 8, max(1, events // 10)), *range(events - 8, events)}):
        _file_events_of_a_build(place, more, kill_at)
        search = place.reader()
        now = search.manifest("acme").snapshot_id
        assert now == last or kill_at >= events - 8, "only what comes after the checks publishes"
        assert now >= last
        assert _ids(search, *PRINTER)[0] == "new"
        last = now
    assert warnings == []
    assert place.build(more).published
    assert [p.name for p in (Path(place.location) / "acme" / "snapshots").glob(".*")] == []


def _file_events_of_a_build(place: Place, what: IndexContent, kill_at: int | None) -> int:
    """Build in a fork that kills itself at the given file operation; returns how many there were."""
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        _build_and_die(place, what, kill_at, send)
    os.close(send)
    os.waitpid(child, 0)
    with os.fdopen(receive) as pipe:
        return int(pipe.read() or 0)


def _build_and_die(place: Place, what: IndexContent, kill_at: int | None, send: int) -> None:
    import sys

    counted = 0

    def count(event: str, arguments: tuple) -> None:
        nonlocal counted
        if event in ("os.rename", "shutil.rmtree", "os.truncate") or (
            event == "open" and "index" in str(arguments)
        ):
            if counted == kill_at:
                os.kill(os.getpid(), 9)
            counted += 1

    sys.addaudithook(count)
    try:
        place.build(what)
        os.write(send, str(counted).encode())
    finally:
        os._exit(0)


def test_a_remote_location_is_fetched_once_and_cached(place: Place, tmp_path: Path) -> None:
    remote = Place(f"memory://{tmp_path.name}", place.work_dir)
    first = remote.build()
    search = remote.reader()
    assert _ids(search, *PRINTER)[0] == "1"
    remote.build(content([*tickets(), ticket("new", *PRINTER)]))
    assert _ids(search, *PRINTER)[0] == "new"
    for _ in range(3):
        remote.build()
    place_of = TenantLocation(remote.location, "acme")
    assert len(place_of.snapshot_ids()) == 3
    assert first.manifest.snapshot_id not in place_of.snapshot_ids()
    assert len(list((place.work_dir / "cache").glob("*/acme/2*"))) == 2


def test_a_damaged_remote_snapshot_is_not_used(place: Place, tmp_path: Path, warnings: list[str]) -> None:
    remote = Place(f"memory://{tmp_path.name}", place.work_dir)
    first, second = remote.build(), remote.build()
    damaged = (
        UPath(remote.location)
        / "acme"
        / "snapshots"
        / second.manifest.snapshot_id
        / "tickets"
        / "vectors.npy"
    )
    damaged.write_bytes(b"short")
    assert remote.reader().manifest("acme").snapshot_id == first.manifest.snapshot_id
    assert any("DAMAGED" in line for line in warnings)


def test_a_remote_location_without_a_cache_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        SnapshotSearch("memory://nowhere").inventory("acme", "")


def test_what_was_preloaded_works_after_a_fork(place: Place) -> None:
    place.build()
    search = SnapshotSearch(place.location)
    search.preload(["acme", "unknown"])
    receive, send = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.write(send, ",".join(_ids(search, *PRINTER)).encode())
        finally:
            os._exit(0)
    os.close(send)
    os.waitpid(child, 0)
    with os.fdopen(receive) as pipe:
        assert pipe.read().split(",") == _ids(search, *PRINTER)
