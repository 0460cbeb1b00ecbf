"""What a scenario is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bench.figures import Figure
from bench.world import World
from deploy.local.packages import Need, Say

Row = dict[str, Any]


class Measure(Protocol):
    """Does the work and returns what was seen, a row a setting. Raises when it was not done right."""

    async def __call__(self, world: World, say: Say, *, short: bool) -> list[Row]: ...


class Figures(Protocol):
    """What the rows say, by name."""

    def __call__(self, rows: Sequence[Row]) -> list[Figure]: ...


@dataclass(frozen=True, slots=True)
class Scenario:
    """One thing that is measured."""

    name: str
    about: str
    measure: Measure
    figures: Figures
    needs: Sequence[Need] = ()
    """Packages beyond those of the product. A scenario that has any is run only when it is named."""
    per_core: bool = False
    """Whether each core has an edge and a message_svc, bound to it, instead of one of each on all of them."""
