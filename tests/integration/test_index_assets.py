"""The index's assets on the real system, and what the sample service desk's new tickets are offered."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bench.sample import offered
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.query import SnapshotSearch
from enhancer_dagster.simulator.faults import Fault, FaultKind
from enhancer_dagster.simulator.seed import sample_seed
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.live import LiveSystem, eventually
from tests.search_fixtures import PROBLEMS, new_work_dir, solved

on_the_live_system = pytest.mark.xdist_group("live")
REPOSITORY = {"repositoryName": "__repository__", "repositoryLocationName": "enhancer"}
PULLS = ("resolved_tickets", "kb_articles", "ip_inventory")
ASSETS = (*PULLS, "ticket_embeddings", "ticket_index", "retrieval_quality")
FIRST_INDEX_SECONDS = 240.0
"""The first build of an installation exports the encoder."""


class Index:
    """A tenant's index on the live system, with a service desk of its own."""

    def __init__(self, live: LiveSystem, desk: RunningSimulator, tenant: Tenant) -> None:
        self.live = live
        self.desk = desk
        self.tenant_id = tenant.tenant_id
        self.tenant = tenant
        self.place = TenantLocation(live.settings.index_location, tenant.tenant_id)
        self.search = SnapshotSearch(live.settings.index_location)

    def materialize(self, *assets: str, job: str = "__ASSET_JOB", config: str = "{}") -> dict[str, Any]:
        """Do what the UI's "Materialize" does for this tenant's partition; the run, ended."""
        selector = {**REPOSITORY, "pipelineName": job}
        if assets:
            selector |= {"assetSelection": [{"path": [name]} for name in assets], "assetCheckSelection": None}
        parameters = {
            "mode": "default",
            "selector": selector,
            "runConfigData": config,
            "executionMetadata": {"tags": [{"key": "dagster/partition", "value": self.tenant_id}]},
        }
        launched = self.live.graphql(
            """mutation($it: ExecutionParams!) { launchPipelineExecution(executionParams: $it) {
                 __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
                 ... on RunConfigValidationInvalid { errors { message } } } }""",
            it=parameters,
        )["launchPipelineExecution"]
        assert launched["__typename"] == "LaunchRunSuccess", launched
        run_id = launched["run"]["runId"]
        return self.live.finished_run(run_id) | {"runId": run_id}

    def first_build(self) -> str:
        """The id of the snapshot that the tenant gets by itself."""
        (run,) = eventually(self.runs, "the first index is built", FIRST_INDEX_SECONDS)
        assert run["status"] == "SUCCESS", self.failed_steps(run["runId"])
        snapshot_id = self.place.current()
        assert snapshot_id is not None
        return snapshot_id

    def runs(self) -> list[dict[str, Any]]:
        """Runs of this tenant's partition that have ended, newest first."""
        found = self.live.graphql(
            """query($f: RunsFilter!) { runsOrError(filter: $f) { ... on Runs { results {
                 runId status } } } }""",
            f={"tags": [{"key": "dagster/partition", "value": self.tenant_id}]},
        )
        return [r for r in found["runsOrError"]["results"] if r["status"] in {"SUCCESS", "FAILURE"}]

    def metadata(self, asset: str) -> dict[str, Any]:
        """What the UI shows of the asset's last materialization."""
        found = self.live.graphql(
            """query($key: AssetKeyInput!, $partitions: [String!]) { assetNodeOrError(assetKey: $key) {
                 ... on AssetNode { assetMaterializations(partitions: $partitions, limit: 1) {
                   metadataEntries { label __typename
                     ... on IntMetadataEntry { intValue } ... on FloatMetadataEntry { floatValue }
                     ... on TextMetadataEntry { text } ... on MarkdownMetadataEntry { mdStr }
                     ... on TableMetadataEntry { table { records } } } } } } }""",
            key={"path": [asset]},
            partitions=[self.tenant_id],
        )["assetNodeOrError"]["assetMaterializations"]
        assert found, f"{asset} was never materialized for {self.tenant_id}"
        return {
            entry["label"]: next(
                (value for name, value in entry.items() if name not in ("label", "__typename")), None
            )
            for entry in found[0]["metadataEntries"]
        }

    def failed_steps(self, run_id: str) -> dict[str, str]:
        """What the UI shows of each failed step of a run."""
        events = self.live.graphql(
            """query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
                 ... on ExecutionStepFailureEvent { stepKey error { message }
                   failureMetadata { description } } } } } }""",
            run=run_id,
        )["logsForRun"]["events"]
        return {
            event["stepKey"]: (event["failureMetadata"] or event["error"]).popitem()[1]
            for event in events
            if event
        }

    def checks(self, run_id: str) -> dict[str, bool]:
        """The index's checks in a run, all of this tenant's partition."""
        events = self.live.graphql(
            """query($run: ID!) { logsForRun(runId: $run) { ... on EventConnection { events {
                 ... on AssetCheckEvaluationEvent { evaluation { checkName success } } } } } }""",
            run=run_id,
        )["logsForRun"]["events"]
        return {e["evaluation"]["checkName"]: e["evaluation"]["success"] for e in events if e}

    def similar(self, subject: str, text: str = "") -> list[str]:
        """The ids of what the live snapshot offers."""
        hits = self.search.similar_tickets(self.tenant_id, subject, text, exclude_ticket_id="", limit=3)
        return [hit.ticket_id for hit in hits]


@contextmanager
def new_index(live: LiveSystem, desk: Simulator) -> Iterator[Index]:
    """A tenant that was just added, on a service desk that is served for the length of the block."""
    with running_simulator(desk) as served:
        tenant = live.add_tenant(served)
        yield Index(live, served, tenant)
        # Schedules pass a disabled tenant by, whose service desk is gone.
        live.tenants.update(tenant.model_copy(update={"active": False}), "test")


def desk_with_problems() -> tuple[Simulator, list[str]]:
    """A service desk with six resolved tickets on different matters; their ids."""
    desk = Simulator()
    return desk, [solved(desk, *problem) for problem in PROBLEMS]


@pytest.fixture(scope="module")
def sample(live: LiveSystem) -> Iterator[Index]:
    """A new tenant on the sample service desk, with the index that it got by itself."""
    desk = Simulator(seed=sample_seed())
    desk.link(*list(desk.desk.tickets)[:2])
    with new_index(live, desk) as index:
        index.first_build()
        yield index


@on_the_live_system
def test_a_new_tenant_gets_its_partition_and_its_first_index_by_itself(sample: Index) -> None:
    partitions = sample.live.graphql(
        """query($key: AssetKeyInput!) { assetNodeOrError(assetKey: $key) {
             ... on AssetNode { partitionKeys } } }""",
        key={"path": ["ticket_index"]},
    )
    assert sample.tenant_id in partitions["assetNodeOrError"]["partitionKeys"]
    assert sample.place.current() is not None
    pulled, built = sample.metadata("resolved_tickets"), sample.metadata("ticket_index")
    assert pulled["dagster/partition_row_count"] == built["tickets_rows"] == 188
    assert (pulled["new"], pulled["changed"], pulled["removed"]) == (188, 0, 0)
    assert (built["new"], built["changed"], built["removed"]) == (built["dagster/partition_row_count"], 0, 0)
    assert built["docs_per_second"] > 0
    assert built["nearest_neighbours"]["records"]
    assert sample.metadata("ticket_embeddings")["docs_per_second"] > 0
    assert sample.metadata("ip_inventory")["dagster/partition_row_count"] == 95


@on_the_live_system
def test_each_build_is_measured_and_drawn(sample: Index) -> None:
    quality = sample.metadata("retrieval_quality")
    assert quality["tickets_recall_at_10"] > 0.9
    assert quality["tickets_exact_agreement"] >= 0.98
    rows = map(json.loads, quality["measured"]["records"])
    sources = {row["corpus"]: (row["source"], row["queries"]) for row in rows}
    assert sources == {
        "tickets": ("perturbed text", 100),
        "articles": ("perturbed text", 42),
        "linked_tickets": ("known duplicates", 2),
    }
    assert quality["plot"].startswith("![retrieval quality](data:image/png;base64,iVBORw0KGgo")


@on_the_live_system
def test_resolved_tickets_become_similar_tickets_of_a_new_one(sample: Index) -> None:
    (arrival,) = sample.desk.simulator.release(1, announce=False)
    ticket = arrival.ticket
    answer = sample.live.send(
        sample.tenant, ticket.ticket_id, subject=ticket.subject, description=ticket.description
    )
    row = sample.live.row(answer.json()["correlation_id"], "completed", "failed")
    assert row["status"] == "completed", row["error_message"]
    assert row["context_nodes_failed"] == 0
    assert str(arrival.expected_ticket) in str(row["sources"])


@on_the_live_system
@pytest.mark.parametrize(
    ("job", "assets"), [("__ASSET_JOB", ASSETS), ("rebuild_index_job", ())], ids=["assets", "job"]
)
def test_the_index_is_rebuilt_by_hand(sample: Index, job: str, assets: tuple[str, ...]) -> None:
    before = sample.place.current()
    run = sample.materialize(*assets, job=job)
    assert run["status"] == "SUCCESS", sample.failed_steps(run["runId"])
    assert sample.place.current() != before
    assert sample.metadata("ticket_embeddings")["new"] == 0, "what is known is not encoded again"
    built = sample.metadata("ticket_index")
    assert (built["new"], built["changed"], built["removed"]) == (0, 0, 0)
    checks = sample.checks(run["runId"])
    assert len(checks) == 6
    assert all(checks.values())


@on_the_live_system
def test_a_check_that_fails_shows_and_leaves_the_old_index_serving(live: LiveSystem) -> None:
    desk, ids = desk_with_problems()
    with new_index(live, desk) as index:
        published = index.first_build()
        for ticket_id in ids[1:]:
            desk.edit_ticket(ticket_id, status="Open")
        run = index.materialize(*ASSETS)
        assert run["status"] == "FAILURE"
        assert "row_count" in index.failed_steps(run["runId"])["ticket_index"]
        assert [name for name, passed in index.checks(run["runId"]).items() if not passed] == ["row_count"]
        assert index.place.current() == published
        assert ids[2] in index.similar("VPN disconnects at home")
        assert index.metadata("resolved_tickets")["removed"] == 5

        allowed = '{"ops": {"ticket_index": {"config": {"allow_shrinking": true}}}}'
        assert index.materialize("ticket_index", config=allowed)["status"] == "SUCCESS"
        assert index.place.current() != published


@on_the_live_system
def test_a_pull_that_fails_says_why_in_sdps_words_and_the_next_goes_on(live: LiveSystem) -> None:
    desk, ids = desk_with_problems()
    refused = desk.faults.add(Fault(kind=FaultKind.STATUS, status=400, ticket=ids[4]))
    with new_index(live, desk) as index:
        first = eventually(index.runs, "the first build ends", FIRST_INDEX_SECONDS)[0]
        assert first["status"] == "FAILURE"
        words = index.failed_steps(first["runId"])
        assert list(words) == ["resolved_tickets"]
        assert "Invalid Input" in words["resolved_tickets"]
        assert index.place.current() is None
        desk.faults.remove(refused)
        assert index.materialize(job="rebuild_index_job")["status"] == "SUCCESS"
        assert index.metadata("resolved_tickets")["dagster/partition_row_count"] == len(ids)
        assert ids[4] in index.similar(PROBLEMS[4][0], PROBLEMS[4][1])


def test_new_tickets_of_the_sample_are_offered_what_was_written_for_them(
    tmp_path: Path, encoders: Path
) -> None:
    found = offered(tmp_path / "index", new_work_dir(tmp_path / "work", encoders))
    assert found["new_tickets"] == 30
    assert found["related_ticket"] >= 27
    assert found["article"] >= 20
    assert found["related_ticket_by_tfidf"] <= 20, "a toy would say nothing"
