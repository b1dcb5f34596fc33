"""What lies on the disk is for the system's own user: indexes and logs hold tickets, and there are keys."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from enhancer_dagster.search.location import TenantLocation
from tests.conftest import require
from tests.live import LiveSystem, eventually

pytestmark = pytest.mark.xdist_group("live")
STRANGER = "nobody"
OTHERS = 0o077


@pytest.fixture(scope="module")
def used(live: LiveSystem) -> Path:
    """The data folder of a system that has enhanced a ticket and built an index."""
    tenant = live.add_tenant()
    sent = live.send(tenant, live.new_ticket("Scanner sends nothing", "<p>Room 12</p>"))
    live.row(sent.json()["correlation_id"], "completed")
    place = TenantLocation(live.settings.index_location, tenant.tenant_id)
    eventually(place.current, "the index is built", 240)
    return live.settings.data_dir


def test_another_user_reads_no_file_of_the_system(used: Path) -> None:
    require(os.geteuid() == 0, "only root can look as another user")
    for path in used.iterdir():
        command = ["find", str(path), "-type", "f", "-readable"]
        looked = subprocess.run(command, user=STRANGER, cwd="/", capture_output=True, text=True, check=False)
        assert not looked.stdout, "a file that anyone can read"


@pytest.mark.parametrize("folder", ["index", "index-work", "run-logs", "secrets", "logs"])
def test_what_the_processes_write_is_their_owners_alone(used: Path, folder: str) -> None:
    written = list(files(used / folder))
    assert written
    assert not [path for path in written if path.stat().st_mode & OTHERS]


def files(folder: Path) -> Iterator[Path]:
    """Every file under a folder."""
    return (path for path in folder.rglob("*") if path.is_file())
