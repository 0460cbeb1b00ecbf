"""What processes have used: CPU seconds and memory, by name, from /proc."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_s(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds so far, user and system, of each process with all it has started and still runs.

    Children that ended are counted in their parents (`cutime`), as far as they were waited for.
    """
    children = _children()
    return {name: sum(_ticks(pid) for pid in _tree(root, children)) / _TICK for name, root in roots.items()}


def busy_s(stat: str | None = None) -> float:
    """CPU seconds so far of all cores, for anybody, by `/proc/stat`; what a hypervisor took too."""
    first = (stat or Path("/proc/stat").read_text()).split("\n", 1)[0]
    user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, first.split()[1:9])
    return (user + nice + system + irq + softirq + steal) / _TICK


def memory_bytes(pid: int) -> int:
    """Resident memory of one process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(int(each) for each in fields[11:15])


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found


def _tree(root: int, children: Mapping[int, list[int]]) -> list[int]:
    found = [root]
    for pid in found:
        found += children.get(pid, [])
    return found
