"""`python -m tests.screenshots [FOLDER]`: the pictures of README and docs, taken from a live system.

It enhances tickets of the sample service desk without an LLM, as the demo does where none is given.
"""

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from enhancer_dagster.adapters.secrets import generate_webhook_secret
from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.runtime.system import ui_url
from enhancer_dagster.search.location import TenantLocation
from enhancer_dagster.simulator.faults import Fault, FaultKind
from enhancer_dagster.simulator.seed import sample_seed
from enhancer_dagster.simulator.server import RunningSimulator, running_simulator
from enhancer_dagster.simulator.simulator import Simulator
from tests.browser import DagsterUi, dagster_ui
from tests.factories import make_tenant
from tests.live import LiveSystem, eventually, live_system

ASSETS = ("resolved_tickets", "kb_articles", "ip_inventory", "ticket_index", "retrieval_quality")
INDEX_SECONDS = 300.0
EVERY_MINUTE = "* * * * *"
SETTLE_SECONDS = 2.0
"""For what the UI draws after its texts are there."""


class Photographer:
    """Takes pictures of the UI.

    Args:
        ui: Open.
        folder: For the pictures.
    """

    def __init__(self, ui: DagsterUi, folder: Path) -> None:
        self._ui = ui
        self._folder = folder

    def take(self, name: str) -> None:
        """Save what is to be seen now as NAME.png."""
        time.sleep(SETTLE_SECONDS)
        self._ui.page.screenshot(path=self._folder / f"{name}.png")

    def run(self, run_id: str) -> None:
        """A ticket's run, and the section in its metadata."""
        self._ui.open_run(run_id)
        self._ui.await_status("Success")
        self._ui.page.get_by_text("RUN_SUCCESS").wait_for()
        self.take("run")
        self._ui.filter_events("section")
        self._ui.page.get_by_text("[Show Markdown]").last.click()
        self._ui.page.get_by_role("dialog").wait_for()
        self.take("section")

    def failed_run(self, run_id: str) -> None:
        """Where a failed run is run again."""
        self._ui.open_failed_run(run_id)
        self._ui.filter_events("Yielded")  # what is kept and used again
        self._ui.offer_re_execution().hover()
        self.take("reexecute")

    def index(self) -> None:
        """The graph of the index, its checks, and how well it finds."""
        self._ui.open_lineage(*ASSETS)
        self.take("assets")
        self._ui.open_asset("ticket_index")
        self._ui.page.get_by_role("tab", name="Checks").click()
        self._ui.page.get_by_text("ann_recall").first.click()
        self._ui.page.get_by_text("against exact search").wait_for()
        self.take("checks")
        self._ui.open_asset("retrieval_quality")
        self._ui.page.get_by_text("[Show Markdown]").last.click()
        self._ui.page.get_by_role("img", name="retrieval quality").wait_for()
        self.take("quality")

    def schedule(self) -> None:
        """What a schedule's ticks started."""
        self._ui.open_schedule("hourly_index_schedule")
        self.take("schedule")


def take_all(folder: Path) -> None:
    """Start a system, let it work, and take every picture."""
    with tempfile.TemporaryDirectory() as home, running_simulator(Simulator(seed=sample_seed())) as desk:
        Path(home).chmod(0o711)
        with live_system(Path(home) / "live", llm_enabled=False, index_incremental_cron=EVERY_MINUTE) as live:
            tenant = _tenant(live, desk)
            place = TenantLocation(live.settings.index_location, tenant.tenant_id)
            eventually(place.current, "the index is built", INDEX_SECONDS)
            enhanced = _enhance(live, desk, tenant, "completed")
            refused = Fault(kind=FaultKind.STATUS, method="PUT", path="/requests/", status=400)
            desk.simulator.faults.add(refused)
            failed = _enhance(live, desk, tenant, "failed")
            eventually(lambda: _is_measured(live), "the index is measured", INDEX_SECONDS)
            with dagster_ui(ui_url(live.settings)) as ui:
                photographer = Photographer(ui, folder)
                photographer.run(enhanced["dagster_run_id"])
                photographer.failed_run(failed["dagster_run_id"])
                photographer.index()
                photographer.schedule()


def _tenant(live: LiveSystem, desk: RunningSimulator) -> Tenant:
    tenant = make_tenant("acme", base_url=desk.url, webhook_secrets=(generate_webhook_secret(),))
    connection = tenant.service_desk.model_copy(update={"api_key": SecretStr("simulator")})
    tenant = tenant.model_copy(update={"service_desk": connection})
    live.tenants.add(tenant, "screenshots")
    return tenant


def _enhance(live: LiveSystem, desk: RunningSimulator, tenant: Tenant, status: str) -> dict[str, Any]:
    (arrival,) = desk.simulator.release(1, announce=False)
    ticket = arrival.ticket
    sent = live.send(tenant, ticket.ticket_id, subject=ticket.subject, description=ticket.description)
    return live.row(sent.json()["correlation_id"], status)


def _is_measured(live: LiveSystem) -> bool:
    query = """{ assetNodeOrError(assetKey: {path: ["retrieval_quality"]}) {
        ... on AssetNode { assetMaterializations(limit: 1) { runId } } } }"""
    return bool(live.graphql(query)["assetNodeOrError"]["assetMaterializations"])


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parents[1] / "docs" / "images"
    target.mkdir(parents=True, exist_ok=True)
    take_all(target)
