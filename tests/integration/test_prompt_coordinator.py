"""Which runs are launched at once and which wait, under a real daemon and webserver."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from uuid import uuid4

import pytest
from dagster import DagsterRunStatus

from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.launcher_project.deployment import Deployment, running

pytestmark = pytest.mark.xdist_group("warm_launcher")

QUEUED, SUCCESS = DagsterRunStatus.QUEUED, DagsterRunStatus.SUCCESS
ALONE = {"alone": "yes"}
"""Of runs with this tag one is in progress at a time (`tag_concurrency_limits` of the deployment)."""


@pytest.fixture(scope="module")
def dagster(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    database = postgres.create_database(f"coordinator_{uuid4().hex}").get_secret_value()
    with running(tmp_path_factory.mktemp("coordinator"), database, workers=6) as deployment:
        yield deployment


def test_a_run_that_need_not_wait_is_launched_without_being_queued(dagster: Deployment) -> None:
    run_id = dagster.launch("empty_job")
    assert dagster.wait(run_id).status == SUCCESS
    assert "PIPELINE_ENQUEUED" not in dagster.event_types(run_id)


def test_a_run_beyond_a_limit_waits_and_what_comes_later_lines_up_behind_it(dagster: Deployment) -> None:
    first = dagster.launch("sleep_job", {"seconds": 600}, tags=ALONE)
    dagster.wait_for_step(first)
    limited, free = dagster.launch("empty_job", tags=ALONE), dagster.launch("empty_job")
    assert dagster.wait(free).status == SUCCESS
    assert dagster.run(limited).status == QUEUED
    assert "PIPELINE_ENQUEUED" in dagster.event_types(free), "the queue decides who goes before whom"
    dagster.terminate(first)
    assert dagster.wait(limited).status == SUCCESS


def test_runs_submitted_at_the_same_moment_keep_to_the_limit(dagster: Deployment) -> None:
    with ThreadPoolExecutor(6) as threads:
        together = list(threads.map(lambda _: dagster.launch("empty_job", tags=ALONE), range(6)))
    assert {dagster.wait(run_id).status for run_id in together} == {SUCCESS}
    records = [dagster.instance.get_run_record_by_id(run_id) for run_id in together]
    times = sorted((record.start_time or 0, record.end_time or 0) for record in records if record)
    assert len(times) == len(together)
    assert all(end <= start for (_, end), (start, _) in pairwise(times))
