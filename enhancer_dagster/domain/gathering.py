"""Context nodes side by side, each within its time; what has finished at the cut is kept."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from loguru import logger

from enhancer_dagster.domain.context import TOTAL_TIMEOUT_NODE, NodeError
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.errors import EnhancerError

Node = Callable[[Deadline], Any]
"""Does its work within the deadline it is given."""


@dataclass(frozen=True)
class Gathered:
    """What the nodes that finished found, by name, and what became of the others."""

    found: dict[str, Any]
    errors: tuple[NodeError, ...]


def gather_nodes(nodes: Mapping[str, Node], node_seconds: float, total: Deadline) -> Gathered:
    """Run `nodes` concurrently.

    A node that is still busy when its time is over is left behind on its daemon thread: Python cannot stop
    it. The run launcher replaces the process then, when the run has ended.

    Args:
        nodes: By name, in the order in which they are reported.
        node_seconds: Seconds each of them has.
        total: When all of them must have finished.
    """
    each = total.within(node_seconds)
    running = {name: _Running(name, node, each) for name, node in nodes.items()}
    for node in running.values():
        node.finished.wait(each.remaining())
    ended = {
        name: node.end() or _Failed(f"Timeout after {node_seconds:g}s") for name, node in running.items()
    }
    found = {name: end.result for name, end in ended.items() if isinstance(end, _Found)}
    errors = [
        NodeError(node_name=name, message=end.message)
        for name, end in ended.items()
        if isinstance(end, _Failed)
    ]
    if total.remaining() <= 0 and errors:
        errors.append(NodeError(node_name=TOTAL_TIMEOUT_NODE, message="Timeout"))
    return Gathered(found, tuple(errors))


@dataclass(frozen=True)
class _Found:
    result: Any


@dataclass(frozen=True)
class _Failed:
    message: str


class _NodeThread(threading.Thread):
    """A thread that the run launcher does not take for one of a library's, which may stay."""

    ends_with_run = True


class _Running:
    """One node on a thread of its own."""

    def __init__(self, name: str, node: Node, deadline: Deadline) -> None:
        self.finished = threading.Event()
        self._end: _Found | _Failed | None = None
        self._name = name
        _NodeThread(target=self._run, args=(node, deadline), name=f"context-{name}", daemon=True).start()

    def end(self) -> _Found | _Failed | None:
        """How it ended, None while it is busy."""
        return self._end if self.finished.is_set() else None

    def _run(self, node: Node, deadline: Deadline) -> None:
        try:
            self._end = _Found(node(deadline))
        except EnhancerError as error:
            self._end = _Failed(str(error) or type(error).__name__)
        except Exception as error:
            # The degraded mode that is promised: a defect in one node never stops a ticket.
            logger.opt(exception=error).error("context node {} has a defect", self._name)
            self._end = _Failed(f"{type(error).__name__}: a defect, see the log")
        finally:
            self.finished.set()
