"""Connections go to allowed addresses only, checked where they are made: names lie, and change their mind."""

import socket
from collections.abc import Callable, Iterator
from ipaddress import ip_network
from typing import Any
from uuid import uuid4

import pytest
from pydantic import SecretStr

from enhancer_dagster.adapters.llm import OpenAiGateway
from enhancer_dagster.adapters.service_desk import ServiceDeskConnector
from enhancer_dagster.cli.destinations import require_reachable
from enhancer_dagster.domain.deadlines import Deadline
from enhancer_dagster.domain.destinations import PUBLIC_ONLY, Destinations
from enhancer_dagster.domain.errors import (
    ConfigurationError,
    EnhancerError,
    LanguageModelRefusedError,
)
from enhancer_dagster.domain.ports import Prompt
from tests.factories import ON_LOOPBACK
from tests.service_desk_server import MemoryStore, cloud_tenant, onprem_tenant, scripted_server

PUBLIC_ADDRESS = "203.0.114.7"
HTTP_ONLY = Destinations(allow_http=True)
Call = Callable[[str, Destinations], object]


def ask_on_premises(origin: str, destinations: Destinations) -> object:
    connector = ServiceDeskConnector(tokens=MemoryStore(), destinations=destinations, sleep=lambda _: None)
    return connector.connect(onprem_tenant(origin)).ticket("42", Deadline.after(20))


def ask_in_the_cloud(origin: str, destinations: Destinations) -> object:
    connector = ServiceDeskConnector(tokens=MemoryStore(), destinations=destinations, sleep=lambda _: None)
    return connector.connect(cloud_tenant(origin)).ticket("42", Deadline.after(20))


def ask_the_gateway(origin: str, destinations: Destinations) -> object:
    gateway = OpenAiGateway(
        f"{origin}/v1", SecretStr("key"), "test", {}, destinations=destinations, sleep=lambda _: None
    )
    return gateway.complete(Prompt("s", "u", 10), ["m"], uuid4(), Deadline.after(20))


CALLS = pytest.mark.parametrize("call", [ask_on_premises, ask_in_the_cloud, ask_the_gateway])


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A server on this machine that nobody may reach; it never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        yield server


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """What names resolve to, one address after another, the last for ever: a DNS server of the attacker's."""
    known: dict[str, list[str]] = {}
    real = socket.getaddrinfo

    def resolve(host: Any, *rest: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        answers = known.get(name)
        if answers is None:
            return real(host, *rest, **more)
        return real(answers.pop(0) if len(answers) > 1 else answers[0], *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return known


def was_reached(listener: socket.socket) -> bool:
    try:
        listener.accept()[0].close()
    except BlockingIOError:
        return False
    return True


@CALLS
def test_a_name_that_turns_to_this_machine_reaches_nothing(
    call: Call, listener: socket.socket, names: dict[str, list[str]]
) -> None:
    origin = f"http://rebind.test:{listener.getsockname()[1]}"
    names["rebind.test"] = [PUBLIC_ADDRESS, "127.0.0.1"]
    require_reachable(onprem_tenant(origin), HTTP_ONLY)  # the look that an attacker waits for
    with pytest.raises(
        (ConfigurationError, LanguageModelRefusedError), match=r"127\.0\.0\.1 is a private address"
    ):
        call(origin, HTTP_ONLY)
    assert not was_reached(listener)


@CALLS
def test_the_same_call_reaches_it_where_the_operator_allows_the_network(
    call: Call, names: dict[str, list[str]]
) -> None:
    names["desk.test"] = ["127.0.0.1"]
    with scripted_server() as server, pytest.raises(EnhancerError):
        call(f"http://desk.test:{server.port}", ON_LOOPBACK)
    assert server.seen


def test_an_address_is_refused_in_words_when_it_is_typed_in(
    names: dict[str, list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    require_reachable(onprem_tenant("https://no-such-name.invalid"), PUBLIC_ONLY)
    assert "no-such-name.invalid has no address here yet" in capsys.readouterr().err
    names["private.test"] = ["10.1.2.3"]
    with pytest.raises(ConfigurationError, match=r"ENHANCER_PRIVATE_NETWORKS=10\.1\.2\.3/32"):
        require_reachable(onprem_tenant("https://private.test"), PUBLIC_ONLY)


@CALLS
@pytest.mark.parametrize("address", ["169.254.169.254", "fe80::1", "::ffff:169.254.169.254"])
def test_metadata_services_are_out_of_reach_by_name(
    call: Call, address: str, names: dict[str, list[str]]
) -> None:
    names["metadata.test"] = [address]
    everywhere = Destinations(allow_http=True, private_networks=(ip_network("0.0.0.0/0"), ip_network("::/0")))
    with pytest.raises((ConfigurationError, LanguageModelRefusedError), match="metadata"):
        call("http://metadata.test", everywhere)
