"""The `enhancer` command against a running system, as an operator uses it."""

import json
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from enhancer_dagster.domain.tenants import Tenant
from enhancer_dagster.runtime.free_ports import free_port
from enhancer_dagster.simulator.faults import Fault, FaultKind
from tests.live import LiveSystem, eventually
from tests.shell import ENHANCER, enhancer, refused

pytestmark = pytest.mark.xdist_group("live")


def test_a_tenants_life(live: LiveSystem) -> None:
    url = live.desk.url
    told = enhancer(
        live, "tenants", "add", "cli-life", "--url", url, "--write-back", "note", SDP_API_KEY="simulator"
    )
    assert "/webhook/servicedesk/cli-life" in told
    assert "whsec_" in told
    enhancer(
        live, "tenants", "edit", "cli-life", "--set", "enhance.groups=Network,Hardware", "--set", "name=Life"
    )
    enhancer(live, "tenants", "rotate-secret", "cli-life")
    enhancer(live, "tenants", "disable", "cli-life")
    shown = json.loads(enhancer(live, "tenants", "show", "cli-life"))
    assert (shown["name"], shown["active"], shown["write_back"]) == ("Life", False, "note")
    assert shown["enhance"]["groups"] == ["Network", "Hardware"]
    assert shown["webhook_secrets"] == "2 valid"
    assert [entry["action"] for entry in shown["audit"]] == ["disable", "rotate-secret", "edit", "add"]
    assert "whsec_" not in json.dumps(shown)
    assert "simulator" not in json.dumps(shown["service_desk"]["api_key"])
    assert "cli-life" in enhancer(live, "tenants", "list")


def test_the_audit_says_who_changed_a_tenant_and_when(live: LiveSystem) -> None:
    tenant_id = live.add_tenant().tenant_id
    change = ("tenants", "edit", tenant_id, "--set", "personal_data=mask", "--as", "Eve of operations")
    enhancer(live, *change, SDP_API_KEY="canary-key")
    newest, added = json.loads(enhancer(live, "tenants", "audit", tenant_id, "--json"))
    assert (added["action"], added["changed_by"]) == ("add", "test")
    assert newest["changed_by"].startswith("Eve of operations (")
    assert newest["changes"] == {
        "api_key": "changed",
        "personal_data": {"from": "restore", "to": "mask"},
    }
    told = enhancer(live, "tenants", "audit", tenant_id)
    assert "Eve of operations" in told
    assert "canary" not in told


def test_an_address_inside_is_refused_in_words(live: LiveSystem) -> None:
    tenant_id = live.add_tenant().tenant_id
    address = "service_desk.base_url=https://169.254.169.254"
    assert "metadata" in refused(live, "tenants", "edit", tenant_id, "--set", address)
    added = ("tenants", "add", f"{tenant_id}-b", "--write-back", "note", "--url", "https://10.9.8.7")
    assert "ENHANCER_PRIVATE_NETWORKS=10.9.8.7/32" in refused(live, *added)


def test_the_key_of_the_secrets_rotates(open_folder: Path) -> None:
    environment = {"PATH": "/usr/bin:/bin", "ENHANCER_DATA_DIR": str(open_folder / "keys")}
    tenants = (ENHANCER, "tenants")

    def ended(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [*tenants, *arguments]
        process = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert "Traceback" not in process.stderr
        return process

    def done(*arguments: str) -> str:
        process = ended(*arguments)
        return process.stdout + process.stderr

    added = ("add", "acme", "--url", "https://203.0.114.7", "--write-back", "note", "--api-key", "canary")
    assert "whsec_" in done(*added)
    kept = open_folder / "keys" / "secrets" / "secret.key"
    old = kept.read_text()
    assert "no second key" in done("rotate-key", "--restarted")
    assert "Restart" in done("rotate-key")
    assert kept.read_text().startswith(f"{old},"), "what runs still reads what is written"
    assert "1 tenants" in done("rotate-key", "--restarted")
    assert old not in kept.read_text()
    assert kept.stat().st_mode & 0o777 == 0o600
    shown = json.loads(ended("show", "acme").stdout)
    assert shown["service_desk"]["api_key"] == "set"
    assert [entry["action"] for entry in shown["audit"]] == ["rotate-key", "add"]


def test_a_mistake_is_answered_in_words(live: LiveSystem) -> None:
    assert "there is no tenant" in refused(live, "tenants", "show", "nobody")
    assert "use FIELD=VALUE" in refused(
        live, "tenants", "edit", live.add_tenant().tenant_id, "--set", "colour=red"
    )
    assert "base_url" in refused(
        live, "tenants", "add", "bad", "--url", "not an address", "--write-back", "note"
    )


def test_a_dry_run_shows_the_section_and_writes_nothing(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("Dock 10.0.9.9 is not seen", "<p>Since the update</p>")
    told = json.loads(
        enhancer(live, "enhance", ticket_id, "--tenant", tenant.tenant_id, "--dry-run", "--json")
    )
    assert "Correlation ID" in told["section"]
    assert told["context"]["subject"] == "Dock 10.0.9.9 is not seen"
    assert live.description(ticket_id) == "<p>Since the update</p>"
    assert not live.history.rows(ticket_id=ticket_id, tenant_id=tenant.tenant_id)
    assert "999999" in refused(live, "enhance", "999999", "--tenant", tenant.tenant_id, "--dry-run")


def test_a_ticket_that_is_asked_for_is_enhanced_although_its_text_is_as_it_was(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("The lift is slow", "<p>Since Monday</p>")
    assert enhanced_by_hand(live, tenant, ticket_id, 1) == [False]
    assert enhanced_by_hand(live, tenant, ticket_id, 2) == [False, False]
    assert live.description(ticket_id).count("Correlation ID:") == 1


def enhanced_by_hand(live: LiveSystem, tenant: Tenant, ticket_id: str, count: int) -> list[bool]:
    """Whether each completed job of the ticket was skipped, once there are so many."""
    assert "queued as job" in enhancer(live, "enhance", ticket_id, "--tenant", tenant.tenant_id)

    def completed() -> Sequence[dict[str, Any]]:
        rows = live.history.rows(ticket_id=ticket_id, status="completed")
        return rows if len(rows) == count else []

    return [row["skipped"] for row in eventually(completed, "it is enhanced")]


def test_an_index_is_built_where_the_ui_shows_it(live: LiveSystem) -> None:
    desk = live.desk.simulator
    desk.edit_ticket(live.new_ticket("Badge reader beeps"), status="Closed", resolution="New battery")
    tenant_id = live.add_tenant().tenant_id
    build = ("index", "build", "--tenant", tenant_id, "--json")
    (built,) = json.loads(enhancer(live, *build))
    assert built["live"]
    assert built["tickets"] >= 1
    run = """query($tenant: String!) { runsOrError(filter: {tags: [{key: "tenant_id", value: $tenant}]}) {
        ... on Runs { results { jobName status } } } }"""
    runs = live.graphql(run, tenant=tenant_id)["runsOrError"]["results"]
    assert {"jobName": "rebuild_index_job", "status": "SUCCESS"} in runs
    found = json.loads(enhancer(live, "search", "The badge reader beeps", "--tenant", tenant_id, "--json"))
    assert "New battery" in [hit["resolution"] for hit in found["tickets"]]
    refused_by_sdp = desk.faults.add(Fault(kind=FaultKind.STATUS, status=400, path="/solutions"))
    try:
        assert "kb_articles: " in refused(live, *build)
    finally:
        desk.faults.remove(refused_by_sdp)


def test_a_test_webhook_leads_to_a_row_of_history(live: LiveSystem) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("Beamer has no signal")
    told = enhancer(live, "send-test-webhook", "--tenant", tenant.tenant_id, "--ticket", ticket_id)
    assert told.startswith("202")
    live.row(json.loads(told[4:])["correlation_id"], "completed")
    rows = json.loads(enhancer(live, "history", "--ticket", ticket_id, "--json"))
    assert [(row["tenant_id"], row["status"]) for row in rows] == [(tenant.tenant_id, "completed")]
    assert ticket_id in enhancer(live, "history", "--ticket", ticket_id)


def test_a_quarantined_webhook_is_shown_corrected_and_replayed(live: LiveSystem, tmp_path: Path) -> None:
    tenant = live.add_tenant()
    ticket_id = live.new_ticket("Fax is silent")
    refused = live.send(tenant, "9" * 300)
    assert refused.status_code == 422
    assert "ticket_id" in refused.text
    (entry,) = json.loads(enhancer(live, "quarantine", "list", "--tenant", tenant.tenant_id, "--json"))
    number = str(entry["quarantine_id"])
    body = json.loads(json.loads(enhancer(live, "quarantine", "show", number))["body"])
    corrected = tmp_path / "body.json"
    corrected.write_text(json.dumps(body | {"ticket_id": ticket_id}))
    assert "queued" in enhancer(live, "quarantine", "replay", number, "--body", str(corrected))
    eventually(lambda: live.history.rows(ticket_id=ticket_id, status="completed"), "the ticket is enhanced")


def test_the_doctor_finds_what_is_wrong_and_says_what_to_do(live: LiveSystem) -> None:
    tenant = live.add_tenant(name="for the doctor")
    findings = json.loads(enhancer(live, "doctor", "--json", status=1 if other_tenants_fail(live) else 0))
    by_part = {finding["part"]: finding for finding in findings}
    for part in ("settings", "database", "bridge", "LLM", f"service desk of {tenant.tenant_id}"):
        assert by_part[part]["ok"], by_part[part]
    unreachable = {"ENHANCER_CLAIM_URL": f"http://127.0.0.1:{free_port()}"}
    findings = json.loads(enhancer(live, "doctor", "--json", status=1, **unreachable))
    bridge = next(finding for finding in findings if finding["part"] == "bridge")
    assert not bridge["ok"]
    assert "enhancer up" in bridge["advice"]


def other_tenants_fail(live: LiveSystem) -> bool:
    return any(
        tenant.active and tenant.service_desk.api_key.get_secret_value() != "simulator"
        for tenant in live.tenants.list_all()
        if tenant.service_desk.api_key
    )


def test_up_serves_until_sigterm_and_leaves_nothing_behind(open_folder: Path, tmp_path: Path) -> None:
    ports = {f"ENHANCER_{name}_PORT": str(free_port()) for name in ("WEBHOOK", "CLAIM", "DAGSTER")}
    environment = {"PATH": "/usr/bin:/bin", "ENHANCER_DATA_DIR": str(open_folder / "up"), **ports}
    with (tmp_path / "up.log").open("wb") as log:
        up = subprocess.Popen([ENHANCER, "up"], env=environment, stdout=log, stderr=log)
    ready = f"http://127.0.0.1:{ports['ENHANCER_DAGSTER_PORT']}/server_info"
    try:
        eventually(
            lambda: answers(ready) and b"webhooks" in (tmp_path / "up.log").read_bytes(), "up is ready"
        )
        family = psutil.Process(up.pid).children(recursive=True)
        assert len(family) >= 5
    finally:
        up.send_signal(signal.SIGTERM)
        up.wait(90)
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive, (tmp_path / "up.log").read_text()[-2000:]


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).status_code == 200
    except httpx.HTTPError:
        return False
