"""Context nodes that never end: what the others found is kept, and the process is known to be unfit."""

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.gathering import gather_nodes
from enhancer_dagster.runtime.run_execution import threads_left_behind

Stop = threading.Event


@pytest.fixture
def stop() -> Iterator[Stop]:
    """Set at the end, so that no test leaves a busy thread behind."""
    event = threading.Event()
    yield event
    event.set()


def computing(stop: Stop) -> Callable[[Deadline], str]:
    def node(_: Deadline) -> str:
        while not stop.is_set():
            pass
        return "too late"

    return node


def waiting(stop: Stop) -> Callable[[Deadline], str]:
    def node(_: Deadline) -> str:
        stop.wait()
        return "too late"

    return node


@pytest.mark.parametrize("never_ends", [computing, waiting], ids=["endless loop", "blocked"])
def test_a_node_that_never_ends_is_left_behind(
    stop: Stop, never_ends: Callable[[Stop], Callable[[Deadline], str]]
) -> None:
    nodes = {"kb_search": never_ends(stop), "ip_lookup": lambda _: "found"}
    gathered = gather_nodes(nodes, node_seconds=0.5, total=Deadline.after(600))
    assert gathered.found == {"ip_lookup": "found"}
    assert [(error.node_name, error.message) for error in gathered.errors] == [
        ("kb_search", "Timeout after 0.5s")
    ]
    assert "context-kb_search" in threads_left_behind()
    stop.set()
    give_up_at = time.monotonic() + 60
    while "context-kb_search" in threads_left_behind():
        assert time.monotonic() < give_up_at
        time.sleep(0.01)


def test_the_cut_of_all_nodes_is_said(stop: Stop) -> None:
    gathered = gather_nodes({"kb_search": waiting(stop)}, node_seconds=600, total=Deadline.after(0.2))
    assert [error.node_name for error in gathered.errors] == ["kb_search", "context_gathering"]
    assert gathered.errors[-1].message == "Timeout"
