"""Addresses and host names of a text, against the inventory."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from enhancer_dagster.domain.tickets import Asset
from enhancer_dagster.search.inventory import Inventory, build_inventory

SEEN = datetime(2025, 11, 1, tzinfo=UTC)


@pytest.fixture
def inventory(tmp_path: Path) -> Inventory:
    assets = [
        Asset(
            asset_id="1",
            name="Web server 1",
            hostnames=("server-prod-01.example.org",),
            addresses=("10.0.1.100", "FE80::A:1"),
            role="web-server",
            last_seen=SEEN,
        ),
        Asset(asset_id="2", name="LT-2231", role="laptop"),
        Asset(asset_id="3", name="4711", addresses=("10.0.1.7",)),
    ]
    assert build_inventory(tmp_path / "inventory", assets) == 3
    return Inventory(tmp_path / "inventory")


def test_a_known_address_comes_with_all_that_is_known(inventory: Inventory) -> None:
    (found,) = inventory.find("no answer from 10.0.1.100")
    assert (found.ip, found.hostname, found.role) == (
        "10.0.1.100",
        "server-prod-01.example.org",
        "web-server",
    )
    assert found.last_seen == SEEN


def test_another_spelling_of_an_ipv6_address_is_the_same_one(inventory: Inventory) -> None:
    (found,) = inventory.find("ping fe80:0:0:0:0:0:a:1 fails")
    assert (found.ip, found.role) == ("fe80::a:1", "web-server")


def test_an_unknown_address_comes_alone(inventory: Inventory) -> None:
    (found,) = inventory.find("8.8.8.8")
    assert (found.ip, found.hostname, found.role, found.last_seen) == ("8.8.8.8", None, None, None)


@pytest.mark.parametrize(
    "name", ["server-prod-01", "SERVER-PROD-01.example.org", "Server-Prod-01.Example.ORG."]
)
def test_a_host_is_known_by_short_and_full_name_in_any_case(inventory: Inventory, name: str) -> None:
    (found,) = inventory.find(f"cannot reach {name} since noon")
    assert (found.ip, found.role) == ("10.0.1.100", "web-server")


def test_a_machine_known_by_its_short_name_is_found_by_a_full_one(inventory: Inventory) -> None:
    (found,) = inventory.find("lt-2231.corp.example is slow")
    assert (found.ip, found.hostname) == (None, "LT-2231")


def test_a_host_of_another_domain_is_another_host(inventory: Inventory) -> None:
    assert inventory.find("server-prod-01.elsewhere.net") == []


def test_part_of_a_word_and_a_bare_number_are_no_hosts(inventory: Inventory) -> None:
    assert inventory.find("my-lt-22311 shows error 4711") == []


def test_one_machine_is_named_once(inventory: Inventory) -> None:
    found = inventory.find("server-prod-01 (10.0.1.100) is down; SERVER-PROD-01!")
    assert len(found) == 1


def test_an_empty_inventory_answers(tmp_path: Path) -> None:
    assert build_inventory(tmp_path / "none", []) == 0
    (found,) = Inventory(tmp_path / "none").find("srv 1.2.3.4")
    assert found.ip == "1.2.3.4"
