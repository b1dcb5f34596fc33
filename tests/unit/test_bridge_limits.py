"""Token buckets, on a clock that the test moves."""

from dataclasses import dataclass

from enhancer_dagster.bridge.limits import RateLimiter, address_key, retry_after


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_burst_and_then_the_rate() -> None:
    clock = Clock()
    limiter = RateLimiter(rate=2, burst=3, clock=clock)
    assert [limiter.seconds_until_free("a") for _ in range(4)] == [0, 0, 0, 0.5]
    clock.now += 0.5
    assert [limiter.seconds_until_free("a") for _ in range(2)] == [0, 0.5]
    clock.now += 3600
    assert [limiter.seconds_until_free("a") for _ in range(4)] == [0, 0, 0, 0.5]


def test_refusals_cost_nothing() -> None:
    clock = Clock()
    limiter = RateLimiter(rate=1, burst=1, clock=clock)
    limiter.seconds_until_free("a")
    assert {limiter.seconds_until_free("a") for _ in range(100)} == {1.0}
    clock.now += 1
    assert limiter.seconds_until_free("a") == 0


def test_keys_are_apart() -> None:
    limiter = RateLimiter(rate=1, burst=1, clock=Clock())
    assert [limiter.seconds_until_free(key) for key in ("a", "b", "a")] == [0, 0, 1]


def test_memory_is_bounded_and_the_quietest_is_forgotten() -> None:
    limiter = RateLimiter(rate=1, burst=1, clock=Clock(), max_keys=100)
    for number in range(1000):
        limiter.seconds_until_free("busy")
        limiter.seconds_until_free(str(number))
    assert limiter.seconds_until_free("busy") > 0
    assert limiter.seconds_until_free("0") == 0


def test_a_clock_that_stands_still_gives_nothing_away() -> None:
    limiter = RateLimiter(rate=1000, burst=1, clock=Clock())
    assert [limiter.seconds_until_free("a") == 0 for _ in range(3)] == [True, False, False]


def test_retry_after_is_whole_seconds() -> None:
    assert [retry_after(seconds) for seconds in (0, 0.02, 1, 1.01, 59.5)] == ["1", "1", "1", "2", "60"]


def test_neighbours_in_one_ipv6_network_count_as_one() -> None:
    assert address_key("2001:db8:1:2::1") == address_key("2001:db8:1:2:ffff::9")
    assert address_key("2001:db8:1:2::1") != address_key("2001:db8:1:3::1")
    assert address_key("192.0.2.1") != address_key("192.0.2.2")
    assert address_key("not an address") == "not an address"
