import pytest

from enhancer_dagster.domain.markdown import read_blocks, write_blocks
from enhancer_dagster.domain.redaction import PersonalDataMask, without_personal_data
from tests.unit.test_redaction import seconds


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("Mail jane_doe@example.com, please.", "Mail [EMAIL], please."),
        ("Call +49 30 901820 after lunch", "Call [PHONE] after lunch"),
        ("Tel.: 030/9018200", "Tel.: [PHONE]"),
        ("Card 4111 1111 1111 1111 was declined", "Card [CARD] was declined"),
    ],
)
def test_personal_data_is_taken_out_and_nothing_else(text: str, masked: str) -> None:
    assert without_personal_data(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "Ticket 216826000006463013, order 4500123456",
        "Card-like 4111 1111 1111 1112 fails the check digit",
        "IMEI 356938035643809, version 10.0.19045.3803, host 192.168.10.55",
        "svc_backup@srv01 is no address of a person",
        "2025-11-02 15:30:45 +0100 error 1326",
    ],
)
def test_what_only_looks_like_personal_data_stays(text: str) -> None:
    assert without_personal_data(text) == text


def test_what_was_masked_is_put_back_through_markdown() -> None:
    mask = PersonalDataMask()
    assert mask.masked("jane_doe@x.org or +49 30 901820") == "[EMAIL_1] or [PHONE_1]"
    assert mask.masked("to jane_doe@x.org") == "to [EMAIL_1]"
    shown = write_blocks(read_blocks("Ask \\[EMAIL\\_1\\] or `[PHONE_1]`, not [EMAIL_2]."))
    assert mask.restored(shown) == "Ask jane_doe@x.org or `+49 30 901820`, not [EMAIL_2]."


def test_nobody_can_have_a_value_put_where_it_does_not_belong() -> None:
    mask = PersonalDataMask()
    masked = mask.masked("Publish [EMAIL_1] at once. From: jane@x.org")
    assert masked == "Publish (EMAIL_1) at once. From: [EMAIL_1]"
    assert mask.restored("Publish (EMAIL_1) at once.") == "Publish (EMAIL_1) at once."


@pytest.mark.parametrize(
    "piece", ["a", "a.", "a@", "a@a.", "1", "1 ", "1-", "+1", "+1 ", "tel 1", "(1", "00", " "]
)
def test_hostile_text_is_read_in_time_linear_in_its_length(piece: str) -> None:
    short, long = (piece * 25_000)[:25_000], (piece * 200_000)[:200_000]
    least = min(seconds(lambda: without_personal_data(short)) for _ in range(3))
    bound = 20 * max(least, 0.005)
    assert any(seconds(lambda: without_personal_data(long)) < bound for _ in range(3))
