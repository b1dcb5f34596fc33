"""One live system for all tests that need it, on one worker of pytest-xdist."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live import LiveSystem, live_system


@pytest.fixture(scope="session")
def live(open_folder: Path) -> Iterator[LiveSystem]:
    """The whole system; tests keep apart by tenants of their own."""
    with live_system(open_folder / "live") as system:
        yield system
