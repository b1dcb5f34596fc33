"""The simulator's inventory in both forms of the asset API."""

import json
from typing import Any

import httpx
import pytest

from enhancer_dagster.domain.tenants import Edition
from enhancer_dagster.simulator.options import SimulatorOptions
from enhancer_dagster.simulator.records import Asset
from enhancer_dagster.simulator.server import running_simulator
from enhancer_dagster.simulator.simulator import Simulator

ASSETS = (
    Asset("1", "db-01", ("db-01", "db-01.example.org"), ("10.0.0.1", "10.9.0.1"), "database", site="Oslo"),
    Asset(
        "2", "lt-07", (), ("10.0.0.2",), "finance laptop", product_type="Laptop", last_seen=1_700_000_000_000
    ),
    Asset("3", "sw-01", (), ("10.0.0.3",), "core switch", product_type="Switch"),
    Asset("4", "prn-01", (), (), "printer", product_type="Printer"),
    Asset("5", "vm-01", (), ("10.0.0.5",), "wiki", product_type="Virtual Machine"),
)


def ask(build: int, path: str, edition: Edition = Edition.ONPREM, **list_info: Any) -> tuple[int, Any]:
    simulator = Simulator(SimulatorOptions(edition=edition, build_number=build))
    for asset in ASSETS:
        simulator.add_asset(asset)
    headers = {"authtoken": "simulator", "Authorization": f"Bearer {simulator.tokens.issue(60)}"}
    with running_simulator(simulator) as running:
        params = {"input_data": json.dumps({"list_info": list_info})}
        answer = httpx.get(f"{running.url}/api/v3{path}", headers=headers, params=params)
    return answer.status_code, answer.json()


def ids(rows: list[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


OLD, NEW = 15099, 15100


@pytest.mark.parametrize(
    ("build", "path", "edition", "status"),
    [
        (OLD, "/assets", Edition.ONPREM, 200),
        (OLD, "/workstations", Edition.ONPREM, 200),
        (OLD, "/asset_assets", Edition.ONPREM, 404),
        (NEW, "/assets", Edition.ONPREM, 404),
        (NEW, "/workstations", Edition.ONPREM, 404),
        (NEW, "/workstations/1", Edition.ONPREM, 404),
        (NEW, "/asset_assets", Edition.ONPREM, 200),
        (NEW, "/asset_nonsense", Edition.ONPREM, 404),
        (NEW, "/assets", Edition.CLOUD, 200),
        (NEW, "/asset_assets", Edition.CLOUD, 404),
    ],
)
def test_the_build_decides_which_form_there_is(build: int, path: str, edition: Edition, status: int) -> None:
    assert ask(build, path, edition)[0] == status


def test_the_old_form_lists_all_assets_and_the_computers_among_them() -> None:
    assert ids(ask(OLD, "/assets")[1]["assets"]) == ["1", "2", "3", "4", "5"]
    assert ids(ask(OLD, "/workstations")[1]["workstations"]) == ["1", "2", "3", "5"]
    asset = ask(OLD, "/assets/1")[1]["asset"]
    assert asset["ip_addresses"] == "10.0.0.1, 10.9.0.1"
    assert asset["udf_fields"] == {"udf_sline_14115": "db-01.example.org"}
    assert (asset["description"], asset["site"]) == ("database", {"name": "Oslo"})
    assert ask(OLD, "/workstations/4")[0] == 404


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/asset_assets", ["1", "2", "3", "4", "5"]),
        ("/asset_servers", ["1"]),
        ("/asset_workstations", ["2"]),
        ("/asset_computers", ["1", "2"]),
        ("/asset_switches", ["3"]),
        ("/asset_printers", ["4"]),
        ("/asset_virtual_machines", ["5"]),
        ("/asset_routers", []),
    ],
)
def test_the_new_form_has_a_path_for_each_type(path: str, expected: list[str]) -> None:
    status, body = ask(NEW, path)
    assert status == 200
    assert ids(body[path.removeprefix("/")]) == expected


def test_an_asset_in_the_new_form_has_all_its_addresses() -> None:
    asset = ask(NEW, "/asset_servers/1")[1]["asset_server"]
    assert asset["primary_ip"] == "10.0.0.1"
    assert [adapter["ip_address"] for adapter in asset["network_adapters"]] == ["10.0.0.1", "10.9.0.1"]
    assert asset["module"]["api_plural_name"] == "asset_servers"
    assert ask(NEW, "/asset_switches/3")[1]["asset_switch"]["name"] == "sw-01"
    assert ask(NEW, "/asset_servers/2")[0] == 404
    laptop = ask(NEW, "/asset_workstations/2")[1]["asset_workstation"]
    assert laptop["last_updated_time"]["value"] == "1700000000000"


def test_searching_by_address() -> None:
    second = {"field": "network_adapters.ip_address", "condition": "is", "value": "10.9.0.1"}
    assert ids(ask(NEW, "/asset_servers", search_criteria=second)[1]["asset_servers"]) == ["1"]
    first = {"field": "primary_ip", "condition": "is", "value": "10.0.0.2"}
    assert ids(ask(NEW, "/asset_assets", search_criteria=first)[1]["asset_assets"]) == ["2"]
    old = {"field": "ip_addresses", "condition": "contains", "value": "10.9.0.1"}
    assert ids(ask(OLD, "/assets", search_criteria=old)[1]["assets"]) == ["1"]


def test_pages_of_assets() -> None:
    page = ask(NEW, "/asset_assets", row_count=2, start_index=3)[1]
    assert ids(page["asset_assets"]) == ["3", "4"]
    assert page["list_info"]["has_more_rows"] is True
