"""Runs that wait for a worker."""

import heapq
from collections import defaultdict
from itertools import count

from enhancer_dagster.runtime.warm_launcher.orders import Code, RunOrder


class WaitingRuns:
    """Per code location: the highest priority first, then the one that waits longest."""

    def __init__(self) -> None:
        self._heaps: dict[str, list[tuple[int, int, RunOrder]]] = defaultdict(list)
        self._numbers = count()

    def __len__(self) -> int:
        return sum(map(len, self._heaps.values()))

    def __contains__(self, run_id: object) -> bool:
        return any(order.run_id == run_id for heap in self._heaps.values() for _, _, order in heap)

    def add(self, order: RunOrder) -> None:
        """Put a run in its place."""
        heapq.heappush(self._heaps[order.code.key], (-order.priority, next(self._numbers), order))

    def codes(self) -> list[Code]:
        """The codes that runs wait for, by their first run; of each, the version that run came with."""
        firsts = sorted(heap[0] for heap in self._heaps.values() if heap)
        return [order.code for _, _, order in firsts]

    def count(self, code: Code) -> int:
        """How many wait for this code."""
        return len(self._heaps[code.key])

    def pop(self, code: Code) -> RunOrder:
        """Take the first run that waits for this code."""
        return heapq.heappop(self._heaps[code.key])[2]

    def remove(self, run_id: str) -> RunOrder | None:
        """Take a run out, wherever it is."""
        for heap in self._heaps.values():
            for entry in heap:
                if entry[2].run_id == run_id:
                    heap.remove(entry)
                    heapq.heapify(heap)
                    return entry[2]
        return None
