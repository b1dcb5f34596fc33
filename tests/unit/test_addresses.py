import pytest

from enhancer_dagster.domain.addresses import (
    MOST_ADDRESSES,
    MOST_HOST_NAMES,
    find_addresses,
    find_host_names,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ping 10.0.1.100 fails", ["10.0.1.100"]),
        ("10.0.1.100.", ["10.0.1.100"]),
        ("(10.0.1.100)", ["10.0.1.100"]),
        ("http://10.0.1.100:8080/x?y=10.0.1.101", ["10.0.1.100", "10.0.1.101"]),
        (r"\\10.0.1.100\share", ["10.0.1.100"]),
        ("bob@10.0.1.100", ["10.0.1.100"]),
        ("10.0.1.0/24 and 10.0.1.7/32", ["10.0.1.0", "10.0.1.7"]),
        ("10.0.1.5-10.0.1.9", ["10.0.1.5", "10.0.1.9"]),
        ("IP:10.0.1.100,GW=10.0.1.1;", ["10.0.1.100", "10.0.1.1"]),
        ("服务器10.0.1.100无法访问", ["10.0.1.100"]),
        ("10.0.1.100\n10.0.1.100", ["10.0.1.100"]),
        ("2001:db8::1", ["2001:db8::1"]),
        ("2001:0DB8:0000:0000:0000:0000:0000:0001", ["2001:db8::1"]),
        ("[2001:db8::1]:443", ["2001:db8::1"]),
        ("https://[2001:db8::1]/x", ["2001:db8::1"]),
        ("fe80::1%eth0", ["fe80::1"]),
        ("2001:db8::/32", ["2001:db8::"]),
        ("::1 is loopback", ["::1"]),
        ("::ffff:10.0.1.100", ["10.0.1.100"]),
        ("address 2001:db8::2.", ["2001:db8::2"]),
        ("fe80::1: timed out", ["fe80::1"]),
        ("IPv6:fe80::1, addr:fe80::2", ["fe80::1", "fe80::2"]),
    ],
)
def test_addresses_are_found(text: str, expected: list[str]) -> None:
    assert list(find_addresses(text)) == expected


@pytest.mark.parametrize(
    "text",
    [
        "version 1.2.3",
        "Chrome 120.0.6099.109",
        "version 10.2.0.14",
        "firmware: 2.4.1.7",
        "v10.2.0.14",
        "Outlook build 16.0.0.1",
        "1.2.3.4.5",
        "OID 1.3.6.1.4.1",
        "999.1.1.1",
        "256.0.0.1",
        "at 10:30:15",
        "2025-11-02 15:30:45",
        "02.11.2025 15:30",
        "00:1A:2B:3C:4D:5E",
        "50:01:43:80:12:34:56:78",
        "std::vector",
        "abc::def",
        "::",
        "1::2::3",
        "x10.0.1.100",
        "10.0.1.100x",
        "",
    ],
)
def test_what_only_looks_like_an_address_is_left_alone(text: str) -> None:
    assert find_addresses(text) == ()


def test_the_number_of_addresses_is_bounded() -> None:
    text = " ".join(f"10.0.{n // 250}.{n % 250}" for n in range(500))
    assert len(find_addresses(text)) == MOST_ADDRESSES


@pytest.mark.timeout(30)
@pytest.mark.parametrize("piece", ["1.", "a:", "::", "1.1.1.", "-", "_", "a.", "f" * 9])
def test_a_megabyte_without_spaces_is_read_in_linear_time(piece: str) -> None:
    text = piece * (1_000_000 // len(piece))
    find_addresses(text)
    find_host_names(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("server-prod-01 is down", "server-prod-01"),
        ("Server-Prod-01's disk is full", "server-prod-01"),
        ("see https://srv01.corp.example.com:8443/x", "srv01.corp.example.com"),
        ("srv01.corp.example.com is down", "srv01"),
        (r"\\FILESERVER\share", "fileserver"),
        ("PRN_2ND_FLOOR offline", "prn_2nd_floor"),
        ("zeus is slow", "zeus"),
    ],
)
def test_host_names_are_offered(text: str, name: str) -> None:
    assert name in find_host_names(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("bob@mail.example.com", "mail.example.com"),
        ("10.0.1.100", "10.0.1.100"),
        ("12-34", "12-34"),
        ("a", "a"),
    ],
)
def test_what_is_no_host_name_is_not_offered(text: str, name: str) -> None:
    assert name not in find_host_names(text)


def test_telling_names_come_before_plain_words() -> None:
    assert find_host_names("the printer prn-7 is offline") == ("prn-7", "the", "printer", "is", "offline")


def test_the_number_of_host_names_is_bounded() -> None:
    assert len(find_host_names(" ".join(f"host-{n}" for n in range(5000)))) == MOST_HOST_NAMES
