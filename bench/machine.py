"""What a figure was measured on."""

from __future__ import annotations

import hashlib
import os
import platform
import socket
import subprocess
import time
from pathlib import Path

import orjson

from deploy.local.pace import pace_ms

_YARDSTICK_S = 0.3
_YARDSTICK_RUNS = 7


def describe() -> dict[str, object]:
    """The machine, its software and how busy it was, for a reader of the results."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": _output("git", "rev-parse", "--short", "HEAD") or "unknown",
        "cpu": _field(Path("/proc/cpuinfo"), "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gb": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "kernel": platform.release(),
        "python": platform.python_version(),
        # Builds of one version differ by half (see deploy.local.pace).
        "python_pace_ms": round(pace_ms(), 2),
        "postgres": (_output("psql", "--version").split() or ["unknown"] * 3)[2],
        "load_average": round(os.getloadavg()[0], 2),
        "yardstick_us": yardstick_us(),
    }


def yardstick_us() -> float:
    """CPU microseconds of a piece of work that never changes: JSON, a hash, a byte through a socket.

    With the Python's pace it tells how slow a machine, or an hour of it, is (`figures.slower`).
    """
    left, right = socket.socketpair()
    body = {"id": "0" * 36, "text": "x" * 300, "numbers": list(range(20))}
    found = []
    with left, right:
        for _ in range(_YARDSTICK_RUNS):
            rounds, began = 0, time.process_time()
            until = time.perf_counter() + _YARDSTICK_S / _YARDSTICK_RUNS
            while time.perf_counter() < until:
                for _ in range(50):
                    data = orjson.dumps(body)
                    hashlib.sha256(data).digest()
                    left.send(data)
                    orjson.loads(right.recv(4096))
                rounds += 50
            found.append((time.process_time() - began) * 1e6 / rounds)
    return round(min(found), 3)


def _field(path: Path, name: str) -> str:
    for line in path.read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _output(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
