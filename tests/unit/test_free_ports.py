"""Ports for servers that are started later."""

import multiprocessing
import socket

from enhancer_dagster.runtime.free_ports import OUTGOING_PORTS, free_port


def test_no_outgoing_connection_can_take_the_port() -> None:
    first, last = map(int, OUTGOING_PORTS.read_text().split())
    assert not first <= free_port() <= last


def test_a_port_that_is_listened_on_is_not_chosen_and_none_twice_in_a_row() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        chosen = [free_port() for _ in range(60)]
        assert taken.getsockname()[1] not in chosen
    assert len(set(chosen)) == len(chosen)


def test_the_wanted_port_is_chosen_only_where_it_is_free() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.create_server(("127.0.0.1", wanted)):
        assert free_port(wanted) != wanted


def test_processes_started_one_after_another_choose_different_ports() -> None:
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        ports = [port for chosen in pool.map(_some_ports, range(2), chunksize=1) for port in chosen]
    assert len(set(ports)) == len(ports)


def _some_ports(_: int) -> list[int]:
    return [free_port() for _ in range(20)]
