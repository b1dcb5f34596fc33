"""Which calls a fault meets, how often, and the header that asks for one."""

import pytest
from pydantic import ValidationError

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.faults import Fault, FaultBoard, FaultKind, fault_of_header, refusal_answer

PUT_7 = ("PUT", "/api/v3/requests/7", "7")


def met(board: FaultBoard, count: int, call: tuple[str, str, str | None] = PUT_7) -> list[bool]:
    return [board.strike(*call) is not None for _ in range(count)]


@pytest.mark.parametrize(
    ("fault", "call", "expected"),
    [
        (Fault(kind=FaultKind.RESET), ("GET", "/api/v3/solutions", None), True),
        (Fault(kind=FaultKind.RESET, method="PUT"), PUT_7, True),
        (Fault(kind=FaultKind.RESET, method="GET"), PUT_7, False),
        (Fault(kind=FaultKind.RESET, ticket="7"), PUT_7, True),
        (Fault(kind=FaultKind.RESET, ticket="8"), PUT_7, False),
        (Fault(kind=FaultKind.RESET, path=r"/requests/\d+$"), PUT_7, True),
        (Fault(kind=FaultKind.RESET, path="notes"), PUT_7, False),
        (Fault(kind=FaultKind.RESET, method="PUT", path="notes"), PUT_7, False),
    ],
)
def test_a_fault_meets_calls_that_fit_all_of_it(
    fault: Fault, call: tuple[str, str, str | None], *, expected: bool
) -> None:
    board = FaultBoard()
    board.add(fault)
    assert met(board, 1, call) == [expected]


def test_a_fault_skips_then_strikes_so_often_then_is_gone() -> None:
    board = FaultBoard()
    board.add(Fault(kind=FaultKind.STATUS, skip=1, times=2))
    assert met(board, 5) == [False, True, True, False, False]
    assert board.all() == {}


def test_a_fault_can_be_taken_away() -> None:
    board = FaultBoard()
    number = board.add(Fault(kind=FaultKind.STATUS))
    assert met(board, 1) == [True]
    assert board.remove(number)
    assert not board.remove(number)
    assert met(board, 1) == [False]


def test_adding_a_fault_twice_counts_twice() -> None:
    board, fault = FaultBoard(), Fault(kind=FaultKind.STATUS, times=1)
    board.add(fault)
    board.add(fault)
    assert met(board, 3) == [True, True, False]


def test_a_probability_is_repeatable() -> None:
    first, second = FaultBoard(seed=7), FaultBoard(seed=7)
    for board in (first, second):
        board.add(Fault(kind=FaultKind.STATUS, probability=0.5))
    struck = met(first, 200)
    assert met(second, 200) == struck
    assert 60 < sum(struck) < 140


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("status=500", Fault(kind=FaultKind.STATUS, status=500)),
        ("status=429; retry-after=7", Fault(kind=FaultKind.STATUS, status=429, retry_after=7)),
        ("slow=0.5", Fault(kind=FaultKind.SLOW, seconds=0.5)),
        ("applied-then-timeout; seconds=3", Fault(kind=FaultKind.APPLIED_TIMEOUT, seconds=3)),
        ("throttle", Fault(kind=FaultKind.THROTTLE)),
    ],
)
def test_headers(header: str, expected: Fault) -> None:
    assert fault_of_header(header) == expected


@pytest.mark.parametrize("header", ["", ";", "explode", "status=200", "slow=soon", "slow; colour=red"])
def test_a_header_that_means_nothing_is_an_error(header: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        fault_of_header(header)


def test_a_path_that_is_no_pattern_is_an_error() -> None:
    with pytest.raises(ValidationError, match="regular expression"):
        Fault(kind=FaultKind.RESET, path="(")


def test_throttling_is_said_in_each_edition_s_way() -> None:
    onprem = refusal_answer(Fault(kind=FaultKind.THROTTLE), Edition.ONPREM)
    cloud = refusal_answer(Fault(kind=FaultKind.THROTTLE, retry_after=9), Edition.CLOUD)
    assert onprem.status == 400
    assert "URL blocked as maximum access limit for the page is exceeded" in str(onprem.body)
    assert cloud.status == 429
    assert "4015" in str(cloud.body)
    assert cloud.headers == {"Retry-After": "9"}


def test_a_gateway_s_error_is_no_json() -> None:
    assert isinstance(refusal_answer(Fault(kind=FaultKind.STATUS, status=502), Edition.CLOUD).body, str)
    assert isinstance(refusal_answer(Fault(kind=FaultKind.STATUS, status=500), Edition.CLOUD).body, dict)
