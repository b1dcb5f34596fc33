from datetime import timedelta
from uuid import uuid4

import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.history import PostgresHistory
from enhancer_dagster.adapters.op_outputs import OpOutputs
from enhancer_dagster.database import Database
from enhancer_dagster.domain.errors import DatabaseUnavailableError, PermanentError
from enhancer_dagster.domain.outcomes import HistoryStatus
from tests.factories import NOW, make_record


@pytest.fixture
def history(database_url: SecretStr) -> PostgresHistory:
    return PostgresHistory(Database(database_url))


def test_a_job_has_one_row_whatever_is_saved(history: PostgresHistory) -> None:
    pending = make_record(status=HistoryStatus.PENDING, completed_at=None)
    history.save(pending)
    history.save(pending.model_copy(update={"status": HistoryStatus.COMPLETED, "completed_at": NOW}))
    (row,) = history.rows()
    assert (row["status"], row["processing_time_ms"]) == ("completed", 0)


def test_processing_time_counts_from_the_start(history: PostgresHistory) -> None:
    history.save(make_record(completed_at=NOW + timedelta(seconds=1.5)))
    assert history.rows()[0]["processing_time_ms"] == 1500


def test_an_earlier_attempt_never_overwrites_a_later_one(history: PostgresHistory) -> None:
    late = make_record(attempt=2)
    history.save(late)
    history.save(late.model_copy(update={"attempt": 1, "status": HistoryStatus.FAILED}))
    assert [(r["attempt"], r["status"]) for r in history.rows()] == [(2, "completed")]


def test_the_same_attempt_does_not_fall_back_from_completed(history: PostgresHistory) -> None:
    record = make_record()
    history.save(record)
    history.save(record.model_copy(update={"status": HistoryStatus.PENDING, "completed_at": None}))
    assert history.rows()[0]["status"] == "completed"


def test_a_later_attempt_that_fails_keeps_what_stands_on_the_ticket(history: PostgresHistory) -> None:
    first = make_record(content_hash="a" * 64, enhancement="text", sources=("TKT-1",), note_id="9")
    history.save(first)
    failed = make_record(
        job_id=first.job_id, correlation_id=first.correlation_id, attempt=2, status=HistoryStatus.FAILED
    )
    history.save(failed)
    (row,) = history.rows()
    assert (row["status"], row["enhancement"], row["sources"]) == ("failed", "text", ["TKT-1"])
    last = history.last_enhancement("acme", "42")
    assert last is not None
    assert (last.content_hash, last.note_id) == ("a" * 64, "9")


def test_a_skipped_job_is_no_enhancement(history: PostgresHistory) -> None:
    history.save(make_record(skipped=True))
    assert history.last_enhancement("acme", "42") is None


def test_correlation_ids_belong_to_one_ticket_of_one_tenant(history: PostgresHistory) -> None:
    record = make_record()
    history.save(record)
    asked = [record.correlation_id, uuid4()]
    assert history.owned_correlation_ids("acme", "42", asked) == {record.correlation_id}
    assert not history.owned_correlation_ids("acme", "43", asked)
    assert not history.owned_correlation_ids("other", "42", asked)


def test_text_that_postgresql_refuses_is_stored_all_the_same(history: PostgresHistory) -> None:
    history.save(make_record(error_message="NUL \x00 and surrogate \ud800"))
    assert history.rows()[0]["error_message"] == "NUL � and surrogate �"


def test_a_database_that_is_down_is_a_transient_error() -> None:
    nowhere = PostgresHistory(Database(SecretStr("postgresql://nobody@127.0.0.1:1/none")))
    with pytest.raises(DatabaseUnavailableError):
        nowhere.save(make_record())


def test_a_retried_step_replaces_its_output_and_a_missing_one_says_what_to_do(
    database_url: SecretStr,
) -> None:
    outputs = OpOutputs(Database(database_url))
    key = {"run_id": "r", "step_key": "s", "name": "result"}
    outputs.save({"n": 1}, **key)
    outputs.save({"n": 2}, **key)
    assert outputs.load(**key) == {"n": 2}
    with pytest.raises(PermanentError, match="re-execute all"):
        outputs.load(run_id="other", step_key="s", name="result")
