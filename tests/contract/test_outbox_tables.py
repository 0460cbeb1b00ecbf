"""Every service's outbox tables are servicekit's, which writes and sweeps them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.statements import statements

ROOT = Path(__file__).parents[2]
FIRST_MIGRATIONS = sorted(
    path for path in ROOT.glob("*_svc/migrations/0001_*.sql") if "outbox_" in path.read_text()
)


@pytest.mark.parametrize("path", FIRST_MIGRATIONS, ids=lambda path: path.parts[-3])
def test_a_service_makes_the_outbox_tables_word_for_word(path: Path) -> None:
    ours = [statement for statement in statements(path) if "outbox_" in statement]
    assert ours == statements(ROOT / "servicekit" / "sql" / "outbox.sql")


def test_both_services_that_publish_are_held_to_it() -> None:
    assert {path.parts[-3] for path in FIRST_MIGRATIONS} >= {"conversation_svc", "message_svc"}
