"""A run that vanishes: the attempt after it goes on where it was, and does nothing a second time."""

from collections.abc import Callable, Iterator

import pytest

from enhancer_dagster.defs.attempts import RunClock
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.ports import Ports
from enhancer_dagster.domain.tenants import WriteBack
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from enhancer_dagster.settings import Settings
from enhancer_dagster.simulator.faults import Fault, FaultKind
from tests.llm_server import Asked, says
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


def test_a_technicians_edit_while_the_llm_writes_is_kept_and_enhanced_once(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket(description="<p>It smells</p>")

    def edits(_: Asked) -> str:
        pipeline.desk.simulator.edit_ticket(ticket_id, description="<p>It smells, and now it burns</p>")
        return "### Recommended Next Steps\n1. Open a window."

    pipeline.llm.answer = says(edits)
    first = pipeline.send(ticket_id)
    pipeline.run()
    shown = pipeline.description(ticket_id)
    assert shown.startswith("<p>It smells, and now it burns</p>")
    assert str(pipeline.row(first)["correlation_id"]) in shown
    pipeline.llm.answer = says("### Recommended Next Steps\n1. Run.")
    edited = pipeline.send(ticket_id)
    pipeline.run()
    assert pipeline.row(edited)["skipped"] is False
    shown = pipeline.description(ticket_id)
    assert shown.startswith("<p>It smells, and now it burns</p>")
    assert shown.count("Correlation ID:") == 1
    our_own = pipeline.send(ticket_id)
    pipeline.run()
    assert pipeline.row(our_own)["skipped"] is True


def test_our_own_edit_after_a_job_that_was_given_up_starts_nothing(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    pipeline.run(vanish_after_write)
    pipeline.bridge.sql("UPDATE bridge.jobs SET expiries = 2")
    pipeline.bridge.end_leases()
    came_back = pipeline.send(ticket_id)
    pipeline.run()
    assert pipeline.bridge.job(job_id)["state"] == "dead"
    assert pipeline.row(came_back)["skipped"] is True
    assert (pipeline.writes(ticket_id), len(pipeline.llm.asked)) == (1, 1)


def test_a_job_that_failed_before_its_write_leaves_the_ticket_due(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    faults = pipeline.desk.simulator.faults
    refusal = faults.add(Fault(kind=FaultKind.STATUS, method="PUT", ticket=ticket_id, status=400))
    failed = pipeline.send(ticket_id)
    pipeline.run()
    assert pipeline.row(failed)["status"] == "failed"
    faults.remove(refusal)
    another = pipeline.send(ticket_id)
    pipeline.run()
    row = pipeline.row(another)
    assert (row["status"], row["skipped"]) == ("completed", False)


def test_a_run_at_its_soft_limit_writes_what_it_has(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    pipeline.run(clock=RunClock(soft_limit=Deadline.after(0), write_limit=Deadline.after(60)))
    row = pipeline.row(job_id)
    assert (row["status"], row["generated_without_ai"], len(pipeline.llm.asked)) == ("completed", True, 0)
    assert "Generated Without AI" in pipeline.description(ticket_id)


def test_a_run_past_its_write_limit_fails_in_words_and_goes_back(pipeline: Pipeline) -> None:
    ticket_id = pipeline.new_ticket()
    job_id = pipeline.send(ticket_id)
    pipeline.run(clock=RunClock(soft_limit=Deadline.after(0), write_limit=Deadline.after(0)))
    assert pipeline.row(job_id)["status"] == "failed"
    assert "no time left" in pipeline.row(job_id)["error_message"]
    assert pipeline.writes(ticket_id) == 0


def test_half_of_the_time_between_the_limits_is_for_writing() -> None:
    limits = Settings(run_soft_limit_seconds=100, run_hard_limit_seconds=120)
    clock = RunClock.started(limits, lambda: 1000.0)
    assert (clock.soft_limit.expires_at, clock.write_limit.expires_at) == (1100, 1110)


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
