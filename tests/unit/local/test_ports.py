"""A port is given away once, however long its server takes to listen."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.local import ports
from deploy.local.folders import CHECKOUT

DRAW_THIS_ONE = """
import sys
from deploy.local import ports
ports._RANGE = range(int(sys.argv[1]), int(sys.argv[1]) + 1)
print(ports.free_port(), flush=True)
sys.stdin.read()
"""


def test_a_port_is_not_given_twice_while_nobody_listens_on_it_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    port = ports.free_port()
    monkeypatch.setattr(ports, "_RANGE", range(port, port + 1))
    with pytest.raises(OSError, match="no free port"):
        ports.free_port()


def test_a_port_that_another_process_was_given_is_free_again_when_that_one_dies(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = ports.free_port()
    ports._reserved.pop().close()
    other = subprocess.Popen(
        [sys.executable, "-c", DRAW_THIS_ONE, str(port)],
        cwd=CHECKOUT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    monkeypatch.setattr(ports, "_RANGE", range(port, port + 1))
    with other:
        assert other.stdout is not None
        assert int(other.stdout.readline()) == port
        with pytest.raises(OSError, match="no free port"):
            ports.free_port()
        other.kill()
    assert ports.free_port() == port


def test_of_many_ports_the_oldest_are_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_MOST_RESERVED", len(ports._reserved) + 1)
    first, second = ports.free_port(), ports.free_port()
    assert not ports.reserve(second)
    assert len(ports._reserved) == ports._MOST_RESERVED
    assert first != second
