"""What the machine's own counters say."""

from __future__ import annotations

import os

from bench.cpu import busy_s


def test_idle_and_waiting_for_the_disk_is_not_busy_and_what_was_stolen_is() -> None:
    second = os.sysconf("SC_CLK_TCK")
    counted = [each * second for each in (1, 2, 4, 1000, 1000, 8, 16, 32, 1, 1)]
    stat = f"cpu  {' '.join(map(str, counted))}\ncpu0 1 1 1 1 1 1 1 1 1 1\nctxt 7\n"
    assert busy_s(stat) == 1 + 2 + 4 + 8 + 16 + 32


def test_work_of_this_process_is_busy() -> None:
    before, began = busy_s(), os.times()
    while os.times().user - began.user < 0.1:
        pass
    assert busy_s() - before >= 0.05
