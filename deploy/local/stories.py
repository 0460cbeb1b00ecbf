"""What the people of the demo have written to each other, read from stories.toml."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from deploy.local.people import JOBS, Job

SOURCE = Path(__file__).with_name("stories.toml")

Answer = Literal["accepted", "pending", "declined"]


@dataclass(frozen=True, slots=True)
class Story:
    """One conversation."""

    key: str
    """Names the story for ever: its messages' client ids are made of it, so seeding twice adds nothing."""
    recipient: str
    lines: tuple[tuple[str, str], ...]
    """(who, text); the first one is the request, and who wrote it the initiator."""
    job: Job | None = None
    answer: Answer = "accepted"
    read_by: dict[str, int] = field(default_factory=dict)
    """person -> number of the message they have read to, where that is not their own last one."""

    @property
    def initiator(self) -> str:
        """Who started it."""
        return self.lines[0][0]

    def read_marks(self) -> dict[str, int]:
        """How far each of the two has read."""
        return {who: at for at, (who, _) in enumerate(self.lines, start=1)} | self.read_by


def load_stories() -> tuple[Story, ...]:
    """Read the stories, oldest first."""
    return tuple(_story(each) for each in tomllib.loads(SOURCE.read_text())["story"])


def _story(data: dict[str, Any]) -> Story:
    job = JOBS[data["job"]] if "job" in data else None
    lines = tuple((who, text) for who, text in data["lines"])
    return Story(**data | {"job": job, "lines": lines})
