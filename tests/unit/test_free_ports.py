"""Ports for servers that are started later."""

import socket
import subprocess
import sys

from enhancer_dagster.runtime.free_ports import OUTGOING_PORTS, free_port


def test_no_outgoing_connection_can_take_the_port() -> None:
    first, last = map(int, OUTGOING_PORTS.read_text().split())
    assert not first <= free_port() <= last


def test_a_port_that_is_listened_on_is_not_chosen_and_none_twice_in_a_row() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        chosen = [free_port() for _ in range(40)]
        assert taken.getsockname()[1] not in chosen
    assert len(set(chosen)) == len(chosen)


def test_the_wanted_port_is_chosen_only_where_it_is_free() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.create_server(("127.0.0.1", wanted)):
        assert free_port(wanted) != wanted


def test_processes_started_one_after_another_choose_different_ports() -> None:
    program = f"from {free_port.__module__} import free_port\nprint(*(free_port() for _ in range(20)))"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) for _ in range(2)
    ]
    ports = [port for process in processes for port in process.communicate(timeout=60)[0].split()]
    assert len(set(ports)) == 40
