"""Ports for the processes of a test: nothing else takes them between the choice and the bind."""

from __future__ import annotations

import socket
import subprocess
import sys

from bench.harness.stack import FIRST_PORT, HOST, ROOT, free_port

CHOOSE = "from bench.harness.stack import free_port\nprint(*(free_port() for _ in range(80)), flush=True)\ninput()"


def test_processes_never_choose_the_same_port() -> None:
    choosers = [
        subprocess.Popen([sys.executable, "-c", CHOOSE], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    try:
        chosen = [int(port) for each in choosers if each.stdout for port in each.stdout.readline().split()]
    finally:
        for each in choosers:
            each.communicate(b"\n")
    assert len(chosen) == 320
    assert len(set(chosen)) == 320


def test_a_port_lies_outside_the_range_of_the_system_and_can_be_bound() -> None:
    for _ in range(50):
        port = free_port()
        with socket.socket() as system, socket.socket() as server:
            server.bind((HOST, port))
            system.bind((HOST, 0))
            assert FIRST_PORT <= port < system.getsockname()[1]


def test_no_socket_is_left_open_when_python_ends() -> None:
    choose = "from bench.harness.stack import free_port\nfor _ in range(120): free_port()"
    command = [sys.executable, "-W", "always::ResourceWarning", "-c", choose]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stderr == ""
