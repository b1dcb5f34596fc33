"""Limits of the simulator over time, on a clock of the test's own."""

from enhancer_dagster.simulator.limits import AccessTokens, RateWindow


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_window_lets_in_so_many_in_any_sixty_seconds() -> None:
    clock = Clock()
    window = RateWindow(clock)
    assert [window.admit(2), window.admit(2), window.admit(2)] == [True, True, False]
    clock.now += 59.9
    assert not window.admit(2)
    clock.now += 0.1
    assert [window.admit(2), window.admit(2), window.admit(2)] == [True, True, False]
    window.clear()
    assert window.admit(2)


def test_without_a_limit_all_are_let_in() -> None:
    window = RateWindow(Clock())
    assert all(window.admit(None) for _ in range(100))


def test_a_token_lives_as_long_as_it_says() -> None:
    clock = Clock()
    tokens = AccessTokens(clock)
    token = tokens.issue(3600)
    clock.now += 3599
    assert tokens.accepts(token)
    clock.now += 1
    assert not tokens.accepts(token)
    assert not tokens.accepts("another")


def test_clearing_makes_tokens_invalid() -> None:
    tokens = AccessTokens(Clock())
    token = tokens.issue(3600)
    tokens.clear()
    assert not tokens.accepts(token)
