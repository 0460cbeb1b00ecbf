"""Each service with a consumer has servicekit's table of what was consumed."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.statements import statements

ROOT = Path(__file__).parents[2]
CONSUMING = sorted(path.parent for path in ROOT.glob("*_svc/consumers.py"))


@pytest.mark.parametrize("service", CONSUMING, ids=lambda path: path.name)
def test_a_service_makes_the_table_word_for_word(service: Path) -> None:
    migrations = sorted((service / "migrations").glob("*.sql"))
    made = [statement for path in migrations for statement in statements(path) if "consumed" in statement]
    assert made == statements(ROOT / "servicekit" / "sql" / "consumed.sql")


def test_the_service_that_consumes_is_held_to_it() -> None:
    assert "conversation_svc" in {service.name for service in CONSUMING}
