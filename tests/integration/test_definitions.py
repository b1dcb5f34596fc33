"""The repository's own `workspace.yaml` and `dagster.yaml`, used by hand as the README says."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.secrets import generate_key
from enhancer_dagster.runtime.dagster_storage import create_tables
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.runtime.postgres import EmbeddedPostgres
from tests.live import eventually

REPOSITORY = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


@pytest.fixture
def by_hand(tmp_path: Path, postgres: EmbeddedPostgres, database_url: SecretStr) -> dict[str, str]:
    """The environment that the README tells to set."""
    home = tmp_path / "home"
    home.mkdir()
    shutil.copy(REPOSITORY / "dagster.yaml", home)
    dagster_url = postgres.create_database(f"dagster_{tmp_path.name}").get_secret_value()
    create_tables(dagster_url)
    return os.environ | {
        "DAGSTER_HOME": str(home),
        "ENHANCER_DATABASE_URL": database_url.get_secret_value(),
        "ENHANCER_DAGSTER_DATABASE_URL": dagster_url,
        "ENHANCER_SECRET_KEY": generate_key().get_secret_value(),
        "ENHANCER_CLAIM_TOKEN": "token",
        "ENHANCER_CLAIM_URL": f"http://127.0.0.1:{free_port()}",
        "ENHANCER_RUN_WORKERS": "2",
        "ENHANCER_RUN_LOGS": str(tmp_path / "run-logs"),
        "ENHANCER_DATA_DIR": str(tmp_path / "data"),
    }


def test_the_definitions_validate(by_hand: dict[str, str]) -> None:
    done = subprocess.run(
        [BIN / "dagster", "definitions", "validate", "-w", "workspace.yaml"],
        cwd=REPOSITORY, env=by_hand, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Validation successful for code location enhancer" in done.stdout + done.stderr


def test_dagster_dev_serves_them_and_leaves_nothing_behind(by_hand: dict[str, str], tmp_path: Path) -> None:
    port = free_port()
    with (tmp_path / "dev.log").open("wb") as log:
        dev = subprocess.Popen(
            [BIN / "dagster", "dev", "-w", "workspace.yaml", "-p", str(port)],
            cwd=REPOSITORY, env=by_hand, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    family: list[psutil.Process] = []
    try:
        names = eventually(lambda: jobs_shown(port), "the UI shows the jobs")
        family = psutil.Process(dev.pid).children(recursive=True)
        assert {"enhance_ticket_job", "rebuild_index_job"} <= names
    finally:
        dev.send_signal(signal.SIGINT)
        dev.wait(60)
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


def jobs_shown(port: int) -> set[str]:
    query = "{ repositoriesOrError { ... on RepositoryConnection { nodes { jobs { name } } } } }"
    try:
        answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json={"query": query}, timeout=20).json()
    except httpx.HTTPError:
        return set()
    return {job["name"] for node in answer["data"]["repositoriesOrError"]["nodes"] for job in node["jobs"]}
