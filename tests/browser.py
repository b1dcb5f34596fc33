"""The Dagster UI in Debian's Chromium, used as a person uses it: by what is written on links and buttons."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
WIDTH, HEIGHT = 1400, 900
WAIT_MILLISECONDS = 60_000
_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


class DagsterUi:
    """What a person does in the UI.

    Args:
        page: Of the browser.
        url: Where the UI is.
    """

    def __init__(self, page: Page, url: str) -> None:
        self.page = page
        self._url = url

    def open_failed_run(self, run_id: str) -> None:
        """From the front page to a run in the list of those that failed."""
        self.page.goto(self._url)
        self.page.get_by_role("link", name="Runs").click()
        self.page.get_by_role("tab", name="Failed").click()
        self.page.get_by_role("link", name=run_id[:8]).click()
        self.await_status("Failure")

    def open_run(self, run_id: str) -> None:
        """A run's page."""
        self.page.goto(f"{self._url}/runs/{run_id}")
        self.page.get_by_text(run_id[:8]).first.wait_for()

    def filter_events(self, text: str) -> None:
        """Show only those events of the run's page in which `text` stands."""
        self.page.get_by_placeholder("Filter…").fill(text)

    def offer_re_execution(self) -> Locator:
        """Open the menu beside "Re-execute all"; its entry "From failure"."""
        button = self.page.get_by_role("button", name="Re-execute all")
        button.locator("xpath=following::button[1]").click()
        return self.page.get_by_role("menuitem", name="From failure")

    def re_execute_from_failure(self) -> str:
        """Run again what failed; the new run's id, whose page is open then."""
        parent = self.page.url
        self.offer_re_execution().click()
        self.page.wait_for_url(lambda url: "/runs/" in url and url != parent)
        return self.page.url.partition("/runs/")[2].partition("?")[0]

    def terminate(self) -> None:
        """Cancel the run whose page is open."""
        self.page.get_by_role("button", name="Terminate").click()
        self.page.get_by_role("dialog").get_by_role("button", name="Terminate").click()

    def await_status(self, status: str) -> None:
        """Wait until the run's page says `status` ("Success", "Failure", "Canceled")."""
        expect(self.page.get_by_text(status, exact=True).first).to_be_visible(timeout=WAIT_MILLISECONDS)

    def open_lineage(self, *assets: str) -> None:
        """The graph of all assets, with each of `assets` in it."""
        self.page.goto(self._url)
        self.page.get_by_role("link", name="Lineage").click()
        for asset in assets:
            self.page.get_by_text(asset, exact=True).last.wait_for()

    def open_schedule(self, schedule: str) -> None:
        """A schedule's page, with its last ticks."""
        self.page.goto(f"{self._url}/locations/__repository__@enhancer/schedules/{schedule}")
        self.page.get_by_text("requested").first.wait_for()

    def open_asset(self, asset: str) -> None:
        """An asset's page in the catalog."""
        self.page.goto(f"{self._url}/assets/{asset}")
        self.page.get_by_text(asset).first.wait_for()

    def select_asset(self, asset: str) -> None:
        """Choose an asset of the graph; what is known of it is shown beside."""
        self.page.get_by_role("button", name=asset).first.click()
        self.page.get_by_role("link", name="View in Asset Catalog").wait_for()

    def materialize_selected(self, partition: str) -> None:
        """Launch a run for one partition of the asset that is selected."""
        self.page.get_by_role("button", name="Materialize selected").click()
        dialog = self.page.get_by_role("dialog").filter(has_text="Launch runs to materialize")
        dialog.get_by_text("Select a partition").click()
        self.page.keyboard.type(partition)
        self.page.get_by_role("menuitem").filter(has_text=re.compile(f"^{partition}")).click()
        self.page.keyboard.press("Escape")
        dialog.get_by_role("button", name="Launch 1 run").click()


@contextmanager
def dagster_ui(url: str) -> Iterator[DagsterUi]:
    """The UI at `url` in a browser that knows nothing yet, closed at the end of the block."""
    with tempfile.TemporaryDirectory() as profile, sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=CHROMIUM, args=_FLAGS, viewport={"width": WIDTH, "height": HEIGHT}
        )
        context.set_default_timeout(WAIT_MILLISECONDS)
        try:
            yield DagsterUi(context.pages[0], url)
        finally:
            context.close()
