"""What is asked for and does not exist is told with what does."""

from __future__ import annotations

import pytest

from deploy.local.checks import CHECKS
from deploy.local.cli import main


def test_a_check_that_does_not_exist_is_told_with_those_that_do(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["check", "lint", "nonsense"])
    assert caught.value.code == 2
    names = ", ".join(check.name for check in CHECKS)
    assert f"no such check: nonsense; there are {names}\n" in capsys.readouterr().err
