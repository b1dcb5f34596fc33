"""The parts of the benchmarks that compute: percentiles, rates, what counts as completed, JSON shapes."""

import random
import subprocess
import sys
from dataclasses import asdict

import psutil
import pytest

from bench.burst import Burst, rate, with_default
from bench.chaos.boundaries import AT_THE_DOOR, PROCESSES
from bench.chaos.command import Plan
from bench.chaos.killer import Track
from bench.failures import Struck
from bench.language_model import answer_to
from bench.latencies import p50_and_p95, percentile
from bench.latency import completed
from bench.repeat import leaves, spread
from bench.soak import Held, growth
from bench.tracking import Outcome
from bench.usage import cpu_seconds, memory_mb, watched_memory

USE_CPU = "import time\nwhile time.process_time() < {}: pass"


def outcome(received_at: float = 100.0, finished_at: float | None = 101.0, **fields: object) -> Outcome:
    values = {"ticket_id": "1", "updates": (100.5,), "completed": True} | fields
    return Outcome(received_at=received_at, finished_at=finished_at, **values)  # type: ignore[arg-type]


class TestPercentiles:
    def test_are_interpolated_and_in_seconds(self) -> None:
        assert percentile([1.0, 2.0, 3.0, 4.0], 50) == 2.5
        assert p50_and_p95([float(number) for number in range(101)]) == {"p50": 50.0, "p95": 95.0}

    def test_of_nothing_are_refused(self) -> None:
        with pytest.raises(ValueError, match="nothing"):
            percentile([], 50)


class TestOutcomes:
    def test_latencies_start_when_the_webhook_was_taken_in(self) -> None:
        assert outcome().to_end == 1.0
        assert outcome().to_update == 0.5

    def test_a_run_that_has_not_ended_has_no_latency(self) -> None:
        with pytest.raises(ValueError, match="not ended"):
            _ = outcome(finished_at=None).to_end

    def test_a_ticket_that_was_not_changed_has_no_latency(self) -> None:
        with pytest.raises(ValueError, match="not changed"):
            _ = outcome(updates=()).to_update

    def test_a_latency_is_never_reported_without_the_tickets_that_failed(self) -> None:
        with pytest.raises(SystemExit, match="tickets 7"):
            completed([outcome(), outcome(ticket_id="7", completed=False)])
        with pytest.raises(SystemExit, match="none arrived"):
            completed([])


class TestBurst:
    def test_rate_is_over_the_whole_burst(self) -> None:
        assert rate([outcome(100.0, 103.0), outcome(101.0, 104.0), outcome(101.0, 104.0)]) == 0.75

    def test_tickets_that_were_not_completed_do_not_count(self) -> None:
        assert rate([outcome(100.0, 102.0), outcome(100.0, 101.0, completed=False)]) == 0.5
        assert rate([outcome(completed=False)]) == 0.0

    def test_json_has_the_agreed_names(self) -> None:
        assert list(asdict(Burst(200, 200, 12.0, 0.15, 2000))) == [
            "tickets",
            "completed",
            "tickets_per_s",
            "cpu_s_per_ticket",
            "peak_memory_mb",
            "default_tickets_per_s",
            "ratio",
        ]

    def test_the_ratio_is_to_dagsters_defaults(self) -> None:
        compared = with_default(Burst(200, 200, 12.0, 0.15, 2000), 0.3)
        assert (compared.default_tickets_per_s, compared.ratio) == (0.3, 40.0)
        assert with_default(compared, 0.0).ratio is None


class TestFailures:
    @pytest.mark.parametrize(
        ("recorded", "next_started", "state", "is_late"),
        [
            (59.9, 90.0, "completed", False),
            (60.1, 90.0, "completed", True),
            (None, 90.0, "completed", True),
            (None, None, "dead", True),
            (None, None, "completed", False),
        ],
    )
    def test_an_attempt_that_failed_is_to_be_recorded_within_a_minute(
        self, recorded: float | None, next_started: float | None, state: str, is_late: bool
    ) -> None:
        assert Struck("killed", recorded, 0.1, next_started, None, state).is_late is is_late


class TestUsage:
    def test_cpu_of_a_child_that_has_ended_counts(self) -> None:
        run_child = f"subprocess.run([sys.executable, '-c', {USE_CPU.format(0.3)!r}])"
        code = f"import subprocess, sys\n{run_child}\nprint(flush=True)\ninput()"
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
            assert parent.stdout is not None
            parent.stdout.readline()
            assert cpu_seconds([psutil.Process(parent.pid)]) >= 0.3
            parent.communicate(b"\n")

    def test_memory_has_the_whole_tree_and_its_peak_is_kept(self) -> None:
        size = 50_000_000
        code = f"held = bytearray(b'x') * {size}\nprint(flush=True)\ninput()"
        command = [sys.executable, "-c", code]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            roots = [psutil.Process(process.pid)]
            assert memory_mb(roots) > size / 1e6
            with watched_memory(lambda: roots) as peak:
                pass
            process.communicate(b"\n")
        assert peak.memory_mb > size / 1e6
        assert memory_mb(roots) == 0


def test_the_models_answer_cites_ids_of_the_prompt() -> None:
    answer = answer_to("[1] TKT-4711 printer\n[2] KB-12 howto\n[3] IP-10.0.0.7 server")
    assert "[TKT-4711]" in answer
    assert "[IP-10.0.0.7]" in answer


class TestChaos:
    def test_goes_on_until_each_boundary_was_struck_often_enough_but_not_for_ever(self) -> None:
        plan = Plan(seconds=60, tickets=10, kills=2, seed=1)
        assert not plan.is_done(59, least_kills=9)
        assert not plan.is_done(61, least_kills=1)
        assert plan.is_done(61, least_kills=2)
        assert plan.is_done(180, least_kills=0)

    def test_strikes_each_boundary_once_a_round_the_first_deck_first(self) -> None:
        track = Track([AT_THE_DOOR, PROCESSES], (0, 0), random.Random(1))
        struck = []
        for _ in (*AT_THE_DOOR, *PROCESSES):
            struck.append(track.next)
            track.turn()
        assert set(struck[: len(AT_THE_DOOR)]) == set(AT_THE_DOOR)
        assert set(struck) == {*AT_THE_DOOR, *PROCESSES}

    def test_comes_back_to_a_boundary_that_nobody_came_to(self) -> None:
        track = Track([PROCESSES], (0, 0), random.Random(1))
        missed = track.next
        track.postpone()
        assert track.next is not missed
        for _ in PROCESSES[1:]:
            track.turn()
        assert track.next is missed


class TestRepeatedBenchmarks:
    def test_figures_are_named_by_where_they_stand_and_texts_and_flags_are_left_out(self) -> None:
        figures = {"idle": {"p50": 1, "p95": 2.5}, "ratio": None, "met": True, "name": "burst", "tickets": 3}
        assert dict(leaves(figures)) == {"idle.p50": 1.0, "idle.p95": 2.5, "tickets": 3.0}

    def test_the_median_the_least_and_the_most_are_of_figures_that_every_try_has(self) -> None:
        tries = [{"a": 3.0, "b": 1.0}, {"a": 1.0}, {"a": 7.0, "b": 2.0}]
        assert spread(tries) == {"a": {"median": 3.0, "least": 1.0, "most": 7.0}}


class TestGrowth:
    def test_is_that_of_the_later_waves_over_the_earlier_without_the_first(self) -> None:
        held = [
            Held(tickets=10, completed=10, processes=p, memory_mb=m, open_files=100, connections=c)
            for p, m, c in ((30, 5.0, 1), (20, 10.0, 4), (20, 10.0, 4), (20, 11.0, 4), (22, 11.0, 2))
        ]
        assert growth(held) == {"processes": 0.05, "memory_mb": 0.1, "open_files": 0.0, "connections": -0.25}
