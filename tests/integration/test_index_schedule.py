"""A schedule's tick rebuilds the index, with nobody asking for it."""

from pathlib import Path
from typing import Any

from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.search.query import SnapshotSearch
from enhancer_dagster.simulator.server import running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.live import LiveSystem, eventually, live_system
from tests.search_fixtures import PROBLEMS, new_work_dir, solved

EVERY_MINUTE = "* * * * *"
SECONDS = 240.0
"""Two ticks, each of which starts a run, on a busy machine."""


def test_a_ticket_that_was_solved_is_offered_after_the_schedules_next_tick(
    open_folder: Path, encoders: Path
) -> None:
    home = open_folder / "schedule"
    home.mkdir()
    new_work_dir(home / "index-work", encoders)
    desk = Simulator()
    for problem in PROBLEMS[:4]:
        solved(desk, *problem)
    with live_system(home, index_incremental_cron=EVERY_MINUTE) as live, running_simulator(desk) as served:
        tenant_id = live.add_tenant(served).tenant_id
        place = TenantLocation(live.settings.index_location, tenant_id)
        eventually(place.current, "the first index is published", SECONDS)
        added = solved(desk, *PROBLEMS[4])

        search = SnapshotSearch(live.settings.index_location)
        subject, body, _ = PROBLEMS[4]

        def offered() -> bool:
            hits = search.similar_tickets(tenant_id, subject, body, exclude_ticket_id="", limit=1)
            return [hit.ticket_id for hit in hits] == [added]

        eventually(offered, "the solved ticket is offered", SECONDS)
        (run, *_) = eventually(lambda: successful_runs(live, tenant_id), "the scheduled run ends", SECONDS)
        assert run["assetMaterializations"][-1]["assetKey"]["path"] == ["retrieval_quality"]


def successful_runs(live: LiveSystem, tenant_id: str) -> list[dict[str, Any]]:
    """What the hourly schedule started for a tenant and what succeeded, newest first."""
    tags = {"dagster/schedule_name": "hourly_index_schedule", "tenant_id": tenant_id}
    found = live.graphql(
        """query($f: RunsFilter!) { runsOrError(filter: $f) { ... on Runs { results {
             runId assetMaterializations { assetKey { path } } } } } }""",
        f={"statuses": ["SUCCESS"], "tags": [{"key": key, "value": value} for key, value in tags.items()]},
    )
    return found["runsOrError"]["results"]
