"""Which addresses may be connected to: public ones, and private ones where the operator says so."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from enhancer_dagster.domain.destinations import LOOPBACK, PUBLIC_ONLY, Destinations
from enhancer_dagster.settings import Settings

EVERYTHING = Destinations(private_networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))


@pytest.mark.parametrize("address", ["203.0.114.7", "8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert PUBLIC_ONLY.refusal(ip_address(address)) is None


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.9.9.9", "::1", "10.0.0.5", "172.16.3.4", "192.168.1.1", "100.64.0.1", "fd12::1",
        "::ffff:10.0.0.5", "64:ff9b::10.0.0.5", "2002:a00:5::1", "2001:0:53aa:64c:0:0:f5ff:fffa", "0.1.2.3",
        "198.18.0.1", "240.0.0.1",
    ],
)  # fmt: skip
def test_private_addresses_are_refused_however_they_are_written(address: str) -> None:
    refusal = PUBLIC_ONLY.refusal(ip_address(address))
    assert refusal is not None
    assert "ENHANCER_PRIVATE_NETWORKS=" in refusal
    assert EVERYTHING.refusal(ip_address(address)) is None


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254", "169.254.0.1", "fe80::1", "fe80::1%eth0", "fd00:ec2::254", "fd20:ce::254",
        "100.100.100.200", "168.63.129.16", "192.0.0.192", "0.0.0.0", "::", "224.0.0.1", "ff02::1",
        "255.255.255.255", "::ffff:169.254.169.254", "64:ff9b::169.254.169.254", "2002:a9fe:a9fe::1",
    ],
)  # fmt: skip
def test_link_local_and_metadata_addresses_cannot_be_allowed(address: str) -> None:
    refusal = EVERYTHING.refusal(ip_address(address))
    assert refusal is not None
    assert "metadata" in refusal


@given(st.ip_addresses(network="10.0.0.0/8"))
def test_what_the_refusal_says_to_set_allows_the_address(address: IPv4Address | IPv6Address) -> None:
    refusal = PUBLIC_ONLY.refusal(address) or ""
    said = refusal.split("ENHANCER_PRIVATE_NETWORKS=")[1].split()[0]
    allowing = Settings.model_validate({"private_networks": said}).destinations
    assert allowing.refusal(address) is None


@pytest.mark.parametrize(
    ("url", "refused"),
    [
        ("https://desk.example.com:8443/sdp", False),
        ("http://desk.example.com", True),
        ("ftp://desk.example.com", True),
        ("https://169.254.169.254/latest", True),
        ("https://[::1]:8443", True),
        ("https://10.1.2.3", True),
    ],
)
def test_a_url_is_judged_by_scheme_and_literal_address(url: str, refused: bool) -> None:
    assert (PUBLIC_ONLY.refusal_of_url(url) is not None) is refused


def test_http_and_loopback_can_be_allowed() -> None:
    assert (
        Destinations(allow_http=True, private_networks=LOOPBACK).refusal_of_url("http://127.0.0.1:1") is None
    )


def test_networks_are_given_by_commas() -> None:
    settings = Settings.model_validate({"private_networks": "10.1.2.3/16, 127.0.0.1"})
    assert list(map(str, settings.private_networks)) == ["10.1.0.0/16", "127.0.0.1/32"]
    with pytest.raises(ValidationError, match="intranet"):
        Settings.model_validate({"private_networks": "intranet"})
