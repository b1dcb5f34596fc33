"""What Dagster keeps of the past: on a real instance in PostgreSQL, and by the job of a live system."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import psycopg
import pytest
import yaml
from dagster._core.scheduler.instigation import TickData, TickStatus
from pydantic import SecretStr

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.op_outputs import OpOutputs
from enhancer_dagster.database import Database
from enhancer_dagster.defs.retention.runs import Past, PrunedRuns, prune_runs
from enhancer_dagster.defs.retention.ticks import prune_ticks
from enhancer_dagster.domain.outcomes import HistoryStatus
from enhancer_dagster.runtime.dagster_storage import create_tables
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.factories import make_record
from tests.live import LiveSystem

MONTH_AGO = datetime.now(UTC) - timedelta(days=30)
OURS = {"of": "this project"}


@dg.op
def say() -> None: ...


@dg.asset
def machine() -> None: ...


@dg.job
def small_job() -> None:
    say()


class Years:
    """A past of runs, each of the age that a test gives it."""

    def __init__(self, instance: dg.DagsterInstance, url: str, outputs: OpOutputs) -> None:
        self.instance = instance
        self.outputs = outputs
        self._url = url

    def run(self, days_ago: float, status: str = "SUCCESS", tags: dict[str, str] = OURS) -> str:
        """A run of that age, with an output and a log."""
        result = small_job.execute_in_process(instance=self.instance, tags=tags)
        self._age(result.run_id, days_ago, status)
        self.outputs.save({"text": "of a ticket"}, run_id=result.run_id, step_key="say", name="result")
        folder = Path(self.instance.root_directory) / "logs" / result.run_id
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "say.out").write_text("said")
        return result.run_id

    def again(self, parent: str, root: str, days_ago: float, status: str = "SUCCESS") -> str:
        """A re-execution."""
        return self.run(
            days_ago, status, OURS | {"dagster/parent_run_id": parent, "dagster/root_run_id": root}
        )

    def materialized(self, days_ago: float) -> str:
        run_id = dg.materialize([machine], instance=self.instance, tags=OURS).run_id
        self._age(run_id, days_ago, "SUCCESS")
        return run_id

    def prune(self) -> PrunedRuns:
        return prune_runs(Past(self.instance, self.outputs, OURS), MONTH_AGO)

    def left(self) -> set[str]:
        return {run.run_id for run in self.instance.get_runs()}

    def _age(self, run_id: str, days_ago: float, status: str) -> None:
        moment = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=days_ago)
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute(
                "UPDATE runs SET update_timestamp = %s, create_timestamp = %s, status = %s, "
                "run_body = (run_body::jsonb || jsonb_build_object('status', "
                "(run_body::jsonb -> 'status') || jsonb_build_object('__enum__', "
                "'DagsterRunStatus.' || %s::text)))::text WHERE run_id = %s",
                [moment, moment, status, status, run_id],
            )


@pytest.fixture
def years(postgres: EmbeddedPostgres, database_url: SecretStr, tmp_path: Path) -> Iterator[Years]:
    dagster_url = postgres.create_database(f"years_{tmp_path.name.replace('-', '_')}").get_secret_value()
    create_tables(dagster_url)
    storage = {
        "module": "enhancer_dagster.runtime.dagster_storage",
        "class": "PooledPostgresStorage",
        "config": {"postgres_url": dagster_url, "should_autocreate_tables": False},
    }
    logs = {
        "module": "enhancer_dagster.runtime.compute_logs",
        "class": "RedirectingComputeLogManager",
        "config": {"base_dir": str(tmp_path / "logs")},
    }
    (tmp_path / "dagster.yaml").write_text(
        yaml.safe_dump(
            {"storage": {"custom": storage}, "compute_logs": logs, "telemetry": {"enabled": False}}
        )
    )
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        yield Years(instance, dagster_url, OpOutputs(Database(database_url)))


def test_old_runs_go_with_events_outputs_and_logs(years: Years) -> None:
    old, failed, young = years.run(40), years.run(31, "FAILURE"), years.run(29)
    assert years.prune() == PrunedRuns(runs=2, op_outputs=2, kept=0)
    assert years.left() == {young}
    assert years.instance.all_logs(old) == years.instance.all_logs(failed) == []
    assert years.instance.all_logs(young)
    assert years.outputs.load(run_id=young, step_key="say", name="result") == {"text": "of a ticket"}
    logs = Path(years.instance.root_directory) / "logs"
    assert {path.name for path in logs.iterdir()} >= {young}
    assert not (logs / old).exists()
    assert years.prune() == PrunedRuns()


@pytest.mark.parametrize("status", ["STARTED", "STARTING", "CANCELING"])
def test_what_is_open_stays_however_old(years: Years, status: str) -> None:
    stuck = years.run(400, status)
    years.prune()
    assert years.left() == {stuck}
    assert years.outputs.load(run_id=stuck, step_key="say", name="result")


def test_ancestors_of_a_kept_run_stay_with_their_outputs(years: Years) -> None:
    root = years.run(90, "FAILURE")
    child = years.again(root, root, 60, "FAILURE")
    grandchild = years.again(child, root, 2)
    lonely_root = years.run(90, "FAILURE")
    lonely_child = years.again(lonely_root, lonely_root, 80)
    pruned = years.prune()
    assert years.left() == {root, child, grandchild}
    assert (pruned.runs, pruned.kept) == (2, 3)
    for kept in (root, child, grandchild):
        assert years.outputs.load(run_id=kept, step_key="say", name="result")
    assert lonely_child not in years.left()


def test_an_open_re_execution_keeps_the_run_that_it_came_from(years: Years) -> None:
    root = years.run(90, "FAILURE")
    child = years.again(root, root, 90, "STARTED")
    years.prune()
    assert years.left() == {root, child}


def test_the_run_that_made_what_an_asset_is_now_stays(years: Years) -> None:
    before, now = years.materialized(100), years.materialized(90)
    assert years.prune().kept == 1
    assert years.left() == {now}
    assert before not in years.left()


def test_other_projects_on_the_instance_keep_their_runs(years: Years) -> None:
    theirs = years.run(400, tags={"of": "another"})
    assert years.prune().runs == 0
    assert years.left() == {theirs}


def test_outputs_of_a_run_that_somebody_deleted_are_pruned(years: Years, database_url: SecretStr) -> None:
    run_id, young = years.run(1), years.run(1)
    years.instance.delete_run(run_id)
    years.instance.delete_run(young)
    with psycopg.connect(database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute(
            "UPDATE pipeline.op_outputs SET created_at = now() - interval '31 days' WHERE run_id = %s",
            [run_id],
        )
    assert years.prune() == PrunedRuns(op_outputs=1)
    assert years.outputs.load(run_id=young, step_key="say", name="result")


def test_many_runs_go_in_one_turn(years: Years) -> None:
    for _ in range(12):
        years.run(50)
    keep = years.run(50)
    years.again(keep, keep, 1)
    assert years.prune().runs == 12


def test_ticks_go_by_age_and_those_that_found_nothing_first(years: Years) -> None:
    state = _sensor_state()
    years.instance.add_instigator_state(state)
    for status, days in (
        (TickStatus.SKIPPED, 0.5), (TickStatus.SKIPPED, 2), (TickStatus.SUCCESS, 2), (TickStatus.SUCCESS, 9),
    ):  # fmt: skip
        years.instance.create_tick(
            TickData(
                instigator_origin_id=state.instigator_origin_id,
                instigator_name=state.instigator_name,
                instigator_type=state.instigator_type,
                status=status,
                timestamp=(datetime.now(UTC) - timedelta(days=days)).timestamp(),
                selector_id=state.selector_id,
                run_ids=[],
            )
        )
    now = datetime.now(UTC)
    assert prune_ticks(years.instance, now - timedelta(days=7), now - timedelta(days=1)) == 1
    left = years.instance.get_ticks(state.instigator_origin_id, state.selector_id)
    assert sorted(one.status.name for one in left) == ["SKIPPED", "SUCCESS"]


def _sensor_state() -> Any:
    from dagster._core.remote_origin import (
        GrpcServerCodeLocationOrigin,
        RemoteInstigatorOrigin,
        RemoteRepositoryOrigin,
    )
    from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, InstigatorType

    location = GrpcServerCodeLocationOrigin("localhost", port=1, location_name="enhancer")
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "repository"), "a_sensor")
    return InstigatorState(origin, InstigatorType.SENSOR, InstigatorStatus.RUNNING)


def test_history_goes_only_when_asked_and_never_what_is_pending(database_url: SecretStr) -> None:
    history = PostgresHistory(Database(database_url))
    long_ago = datetime.now(UTC) - timedelta(days=400)
    old = make_record(started_at=long_ago, completed_at=long_ago)
    again = make_record(started_at=long_ago, completed_at=long_ago)
    pending = make_record(started_at=long_ago, completed_at=None, status=HistoryStatus.PENDING)
    for record in (old, again, pending):
        history.save(record)
    with psycopg.connect(database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute(
            "UPDATE pipeline.enhancement_history SET updated_at = started_at WHERE job_id <> %s",
            [again.job_id],
        )
    assert history.prune(datetime.now(UTC) - timedelta(days=365)) == 1
    assert {row["job_id"] for row in history.rows()} == {again.job_id, pending.job_id}


@pytest.mark.xdist_group("live")
def test_the_job_runs_in_the_deployment_and_says_what_it_did(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("The door squeaks")
    row = live.row(live.send(tenant, ticket_id).json()["correlation_id"], "completed")
    run_id = live.launch("retention_job")
    assert live.finished_run(run_id)["status"] == "SUCCESS"
    assert live.finished_run(row["dagster_run_id"])["status"] == "SUCCESS", "young runs are kept"
    query = "query($id: ID!) { runOrError(runId: $id) { ... on Run { tags { key } } } }"
    tags = live.graphql(query, id=run_id)["runOrError"]["tags"]
    assert "dagster/code_location" in {tag["key"] for tag in tags}, "only this project's runs are pruned"
    schedule = live.graphql(
        """{ scheduleOrError(scheduleSelector: {repositoryLocationName: "enhancer",
               repositoryName: "__repository__", scheduleName: "retention_schedule"}) {
             ... on Schedule { cronSchedule scheduleState { status } } } }"""
    )["scheduleOrError"]
    assert schedule["cronSchedule"] == live.settings.retention_cron
    assert schedule["scheduleState"]["status"] == "RUNNING"
