"""What a run could not say itself is in history soon: from queue to runs, and from history to the queue."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import dagster as dg
import pytest

from enhancer_dagster.defs.config import JOB_NAME, run_request
from enhancer_dagster.defs.reconcile import SETTLING, reconcile
from enhancer_dagster.domain.tickets import Claim
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.pipeline import Pipeline, running_pipeline, vanish_after_write, vanish_before_finish


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres) -> Iterator[Pipeline]:
    with running_pipeline(postgres) as pipeline:
        yield pipeline


@pytest.fixture
def pipeline(running: Pipeline) -> Pipeline:
    running.bridge.empty()
    running.bridge.sql("TRUNCATE pipeline.enhancement_history")
    return running


def look(pipeline: Pipeline, after: timedelta = timedelta(0)) -> str:
    """What the reconciler does and says, as if `after` had passed."""
    return "; ".join(reconcile(pipeline.instance, pipeline.ports, datetime.now(UTC) + after))


def claimed(pipeline: Pipeline) -> tuple[UUID, Claim]:
    return pipeline.send(pipeline.new_ticket()), pipeline.bridge.claim_one()


def with_run(pipeline: Pipeline, claim: Claim, status: dg.DagsterRunStatus) -> str:
    """A run of the claim that never came to the fence."""
    tags = dict(run_request(claim, pipeline.settings).tags)
    run = dg.DagsterRun(job_name=JOB_NAME, run_id=str(uuid4()), tags=tags, status=status)
    return pipeline.instance.add_run(run).run_id


def test_nothing_is_done_where_all_agree(pipeline: Pipeline) -> None:
    pipeline.send(pipeline.new_ticket())
    pipeline.run()
    claimed(pipeline)
    assert look(pipeline) == ""


def test_a_run_that_vanished_in_an_op_is_recorded_and_its_job_stays_open(pipeline: Pipeline) -> None:
    job_id = pipeline.send(pipeline.new_ticket())
    run_id = pipeline.run(vanish_after_write)
    assert pipeline.row(job_id)["status"] == "pending"
    assert "before it could record its outcome" in look(pipeline)
    row = pipeline.row(job_id)
    assert (row["status"], row["attempt"], row["dagster_run_id"]) == ("failed", 1, run_id)
    assert pipeline.bridge.job(job_id)["state"] == "running", "its lease decides"
    assert look(pipeline) == "", "once is enough"


def test_a_run_that_died_before_the_fence_is_found_by_its_tags(pipeline: Pipeline) -> None:
    job_id, claim = claimed(pipeline)
    run_id = with_run(pipeline, claim, dg.DagsterRunStatus.FAILURE)
    look(pipeline)
    row = pipeline.row(job_id)
    assert (row["status"], row["dagster_run_id"]) == ("failed", run_id)


def test_a_run_that_was_cancelled_before_the_fence_ends_its_job(pipeline: Pipeline) -> None:
    job_id, claim = claimed(pipeline)
    with_run(pipeline, claim, dg.DagsterRunStatus.CANCELED)
    assert "cancelled" in look(pipeline)
    assert pipeline.row(job_id)["status"] == "failed"
    assert pipeline.bridge.job(job_id)["state"] == "failed"


def test_a_claim_that_never_became_a_run_is_recorded(pipeline: Pipeline) -> None:
    job_id, claim = claimed(pipeline)
    assert look(pipeline) == "", "it may still become one"
    assert "no run was started" in look(pipeline, SETTLING)
    assert pipeline.row(job_id)["status"] == "failed"
    pipeline.work_on(claim)
    assert pipeline.row(job_id)["status"] == "completed", "it came late, and is welcome"


def test_a_run_that_somebody_deleted_is_recorded(pipeline: Pipeline) -> None:
    job_id = pipeline.send(pipeline.new_ticket())
    run_id = pipeline.run(vanish_after_write)
    pipeline.instance.delete_run(run_id)
    assert "does not know its run" in look(pipeline, SETTLING)
    assert pipeline.row(job_id)["status"] == "failed"


def test_what_history_has_and_the_queue_was_not_told_completes_the_job(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    pipeline.run(vanish_before_finish)
    assert "completed" in look(pipeline)
    assert pipeline.bridge.job(job_id)["state"] == "completed"
    assert pipeline.row(job_id)["status"] == "completed"
    assert pipeline.writes(ticket_id) == 1


def test_a_last_attempt_that_had_done_its_work_is_not_left_dead(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    pipeline.bridge.sql("UPDATE bridge.jobs SET expiries = 2")
    pipeline.run(vanish_before_finish)
    pipeline.bridge.end_leases()
    assert pipeline.bridge.queue.claim(1, 0) == []
    assert pipeline.bridge.job(job_id)["state"] == "dead"
    assert "its run had done its work" in look(pipeline)
    assert pipeline.bridge.job(job_id)["state"] == "completed"
    assert pipeline.row(job_id)["status"] == "completed"
    assert pipeline.writes(ticket_id) == 1
    assert look(pipeline) == "", "once is enough"


def test_a_last_attempt_that_had_not_done_its_work_stays_dead(pipeline: Pipeline) -> None:
    job_id = pipeline.send(pipeline.new_ticket())
    pipeline.bridge.sql("UPDATE bridge.jobs SET expiries = 2")
    pipeline.run(vanish_after_write)
    pipeline.bridge.end_leases()
    assert pipeline.bridge.queue.claim(1, 0) == []
    look(pipeline)
    assert pipeline.bridge.job(job_id)["state"] == "dead"
    assert pipeline.row(job_id)["status"] == "failed"


def test_a_job_that_went_back_to_the_queue_leaves_no_pending_row(pipeline: Pipeline) -> None:
    job_id = pipeline.send(pipeline.new_ticket())
    pipeline.run(vanish_after_write)
    pipeline.bridge.end_leases()
    waiting = pipeline.bridge.claim_one()
    assert waiting.attempt == 2
    assert look(pipeline) == "", "its run may be about to begin"
    look(pipeline, SETTLING)
    row = pipeline.row(job_id)
    assert row["status"] == "failed"
    assert row["error_message"]


def test_a_row_of_a_job_that_the_queue_does_not_know_is_closed(pipeline: Pipeline) -> None:
    job_id = pipeline.send(pipeline.new_ticket())
    pipeline.run(vanish_after_write)
    pipeline.bridge.empty()
    look(pipeline, SETTLING)
    assert pipeline.row(job_id)["status"] == "failed"
