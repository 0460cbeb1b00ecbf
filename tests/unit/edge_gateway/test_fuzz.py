"""A short form of `make fuzz`, in process; and it is believed because it sees what is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

from deploy.local.folders import CHECKOUT

FRAMES, SEED = 10_000, 20
FEW = 4000
BROKEN = {
    "a reader that loses a mask": """
from edge_gateway.sockets import wire
right = wire._unmask
wire._unmask = lambda mask, payload: payload if len(payload) % 7 == 3 else right(mask, payload)
""",
    "a reader that takes what is not masked": """
from edge_gateway.sockets import wire
def read(self, data, start):
    if start + 1 < len(data):
        data = data[: start + 1] + bytes([data[start + 1] | 0x80]) + data[start + 2 :]
    return parse(self, data, start)
parse = wire.Reader._parse
wire.Reader._parse = read
""",
    "a frame that raises something else": """
from edge_gateway.sockets import frames
parse = frames.parse
frames.parse = lambda payload: parse(payload) if b"null" not in payload else {}["x"]
""",
    "an event that raises": """
from edge_gateway.sockets import feed
published = feed.published
feed.published = lambda payload: published(payload) if b"17-1" in payload else [][0]
""",
}


def fuzz(frames: int, first: str = "") -> subprocess.CompletedProcess[str]:
    """In a process of its own, whose memory is measured; it does `first` before."""
    program = f"{first}\nimport sys\nfrom tests.fuzz.inprocess import main\nsys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", program, str(frames), str(SEED)],
        check=False,
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
    )


def test_odd_frames_and_payloads_come_to_nothing_but_what_may_be() -> None:
    ended = fuzz(FRAMES)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "good events told" in ended.stdout


@pytest.mark.parametrize("build", BROKEN)
def test_it_sees(build: str) -> None:
    ended = fuzz(FEW, BROKEN[build])
    assert ended.returncode == 1, ended.stdout
    assert "wrong" in ended.stdout, ended.stderr
