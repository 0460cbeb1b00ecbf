"""What of many times is said."""

from __future__ import annotations

from collections.abc import Sequence


def percentile(values: Sequence[float], share: float) -> float:
    """Of `values`, by nearest rank; 0 when there is none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0


def window_p99s(values: Sequence[float], window: int) -> list[float]:
    """The p99 of each whole window of so many values, in their order; of fewer, that of all."""
    starts = range(0, max(1, len(values) - window + 1), window)
    return [percentile(values[start : start + window], 0.99) for start in starts]


def steady(p99s: Sequence[float]) -> float:
    """Of windows: what the best quarter of them does not exceed.

    A machine that does something else now and then, and a hypervisor that takes it away for 15 ms every
    second or two, only ever add to a time, and not to each window: what is left belongs to the work itself.
    """
    return percentile(p99s, 0.25)
