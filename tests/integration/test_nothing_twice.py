"""A run that vanishes: the attempt after it goes on where it was, and does nothing a second time."""

from collections.abc import Callable, Iterator

import pytest

from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.domain.tenants import WriteBack
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.llm_server import says
from tests.pipeline import Pipeline, running_pipeline, vanish_after_write, vanish_before_finish


@pytest.fixture(scope="module")
def running(postgres: EmbeddedPostgres) -> Iterator[Pipeline]:
    with running_pipeline(postgres) as pipeline:
        yield pipeline


@pytest.fixture
def pipeline(running: Pipeline) -> Pipeline:
    running.bridge.empty()
    running.llm.asked.clear()
    running.llm.answer = says("### Recommended Next Steps\n1. Restart it.")
    return running


def vanish(pipeline: Pipeline, where: Callable[[Ports], Ports]) -> str:
    run_id = pipeline.run(where)
    pipeline.bridge.end_leases()
    return run_id


@pytest.mark.parametrize("where", [vanish_after_write, vanish_before_finish], ids=["written", "recorded"])
def test_what_a_vanished_run_had_done_is_not_done_again(
    pipeline: Pipeline, where: Callable[[Ports], Ports]
) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    vanish(pipeline, where)
    pipeline.run()
    assert pipeline.bridge.job(job_id)["state"] == "completed"
    assert (pipeline.writes(ticket_id), len(pipeline.llm.asked)) == (1, 1)
    row = pipeline.row(job_id)
    assert (row["status"], row["attempt"], row["skipped"]) == ("completed", 2, False)
    assert row["enhancement"]
    assert row["content_hash"]


def test_our_own_edit_that_comes_back_after_a_crash_starts_nothing(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    pipeline.send(ticket_id)
    vanish(pipeline, vanish_before_finish)
    pipeline.run()
    came_back = pipeline.send(ticket_id)
    pipeline.run()
    assert pipeline.row(came_back)["skipped"] is True
    assert (pipeline.writes(ticket_id), len(pipeline.llm.asked)) == (1, 1)


def test_a_run_that_vanishes_twice_is_taken_over_twice(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    vanish(pipeline, vanish_after_write)
    vanish(pipeline, vanish_before_finish)
    pipeline.run()
    assert pipeline.bridge.job(job_id)["state"] == "completed"
    assert (pipeline.writes(ticket_id), len(pipeline.llm.asked)) == (1, 1)


def test_a_text_that_was_changed_meanwhile_is_enhanced_anew(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    vanish(pipeline, vanish_after_write)
    changed = pipeline.description(ticket_id) + "<p>And now it smokes</p>"
    pipeline.desk.simulator.edit_ticket(ticket_id, description=changed)
    pipeline.llm.answer = says("### Recommended Next Steps\n1. Unplug it.")
    pipeline.run()
    assert pipeline.bridge.job(job_id)["state"] == "completed"
    shown = pipeline.description(ticket_id)
    assert "And now it smokes" in shown
    assert "Unplug it" in shown
    assert shown.count("Correlation ID:") == 1


def test_a_person_who_asks_again_gets_a_new_answer_and_a_crash_after_that_repeats_nothing(
    pipeline: Pipeline,
) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    pipeline.run()
    pipeline.bridge.queue.retry(job_id)
    pipeline.llm.answer = says("### Recommended Next Steps\n1. Unplug it.")
    vanish(pipeline, vanish_after_write)
    pipeline.run()
    assert pipeline.bridge.job(job_id)["state"] == "completed"
    assert (pipeline.writes(ticket_id), len(pipeline.llm.asked)) == (2, 2)
    assert "Unplug it" in pipeline.description(ticket_id)


def test_a_note_is_not_added_a_second_time(pipeline: Pipeline) -> None:
    (tenant,) = pipeline.tenants.tenants
    pipeline.tenants.tenants[0] = tenant.model_copy(update={"write_back": WriteBack.NOTE})
    try:
        ticket_id = pipeline.new_ticket()
        job_id = pipeline.send(ticket_id)
        vanish(pipeline, vanish_after_write)
        pipeline.run()
    finally:
        pipeline.tenants.tenants[0] = tenant
    assert pipeline.row(job_id)["status"] == "completed"
    assert (pipeline.writes(ticket_id), len(pipeline.llm.asked)) == (1, 1)
