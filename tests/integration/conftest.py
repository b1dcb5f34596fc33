"""One live system for all tests that need it, on one worker of pytest-xdist, and one exported encoder."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from enhancer_dagster.search.export import exported_encoder
from enhancer_dagster.search.model_source import find_model
from enhancer_dagster.search.settings import DEFAULT_MODEL
from tests.live import LiveSystem, live_system


@pytest.fixture(scope="session")
def live(open_folder: Path) -> Iterator[LiveSystem]:
    """The whole system; tests keep apart by tenants of their own."""
    with live_system(open_folder / "live") as system:
        yield system


@pytest.fixture(scope="session")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the default model's exported encoder, made once for all workers of a test run."""
    base = tmp_path_factory.getbasetemp()
    run = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder = run / "search-encoders"
    exported_encoder(find_model(DEFAULT_MODEL), folder)
    return folder
