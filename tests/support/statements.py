"""What SQL files say, however they are laid out."""

from __future__ import annotations

import re
from pathlib import Path


def statements(path: Path) -> list[str]:
    """The file's statements without comments, with single spaces."""
    text = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
    return [" ".join(statement.split()) for statement in text.split(";") if statement.strip()]
