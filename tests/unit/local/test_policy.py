"""While packages are installed no service may start; afterwards the machine is as it was."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from deploy.local.packages import no_service_starts

OURS = "#!/bin/sh\nexit 0\n"


def forbids(policy: Path) -> bool:
    return subprocess.run([policy], check=False).returncode == 101


def test_services_may_not_start_inside_and_nothing_is_left_after(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    with no_service_starts(policy):
        assert forbids(policy)
    assert list(tmp_path.iterdir()) == []


def test_the_policy_that_stood_there_is_put_back_also_after_an_error(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(OURS)
    policy.chmod(0o750)
    with contextlib.suppress(RuntimeError), no_service_starts(policy):
        assert forbids(policy)
        raise RuntimeError
    assert policy.read_text() == OURS
    assert policy.stat().st_mode & 0o777 == 0o750
    assert list(tmp_path.iterdir()) == [policy]


def test_the_next_run_puts_back_what_a_killed_one_left(tmp_path: Path) -> None:
    policy = tmp_path / "policy-rc.d"
    policy.write_text(OURS)
    policy.chmod(0o755)
    killed = no_service_starts(policy)
    killed.__enter__()
    with no_service_starts(policy):
        assert forbids(policy)
    assert policy.read_text() == OURS
    assert list(tmp_path.iterdir()) == [policy]
