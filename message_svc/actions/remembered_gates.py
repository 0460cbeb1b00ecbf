"""Gates as this process left them: what a batch of sends is decided by without asking for them (ADR 0038).

They are a guess. Whoever writes by one compares it with the row, so that an old one costs a second write and
nothing else. They hold ids, rights and numbers, as the row does, and no text.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from uuid import UUID

import structlog

from message_svc.domain import HeldGate, NewMessage

# What is saved by a right guess is a third of what a wrong one costs more (ADR 0038).
_MISSES_BEARABLE = 1 / 4
_BATCHES_WEIGHED = 20
log = structlog.get_logger(__name__)


class RememberedGates:
    """At most `most` gates, those that were written last.

    Other replicas that write the same conversations in turns make many guesses wrong. When more than a
    quarter of the last batches met one, nothing is guessed for `locked_s`.
    """

    def __init__(self, most: int, locked_s: float) -> None:
        self._most = most
        self._locked_s = locked_s
        self._gates: OrderedDict[UUID, HeldGate] = OrderedDict()
        self._missing = 0.0
        """Share of the last batches that missed, the latest weighing most."""
        self._locked_until = float("-inf")

    def take(self, sends: Sequence[NewMessage]) -> dict[UUID, HeldGate]:
        """The gates of all the sends; none when one of them is not known, or none is to be guessed.

        They are forgotten: whoever took them knows what they are afterwards, or nobody does.
        """
        if time.monotonic() < self._locked_until:
            return {}
        found: dict[UUID, HeldGate] = {}
        for send in sends:
            gate = self._gates.get(send.conversation_id)
            if gate is None:
                return {}
            found[send.conversation_id] = gate
        for conversation_id in found:
            del self._gates[conversation_id]
        return found

    def keep(self, gates: Mapping[UUID, HeldGate]) -> None:
        """As they are committed."""
        for conversation_id, gate in gates.items():
            self._gates[conversation_id] = gate
            self._gates.move_to_end(conversation_id)
        while len(self._gates) > self._most:
            self._gates.popitem(last=False)

    def tried(self, *, missed: bool) -> None:
        """A batch was written by what was remembered, and `missed` when some of it was wrong."""
        self._missing += (missed - self._missing) / _BATCHES_WEIGHED
        if self._missing > _MISSES_BEARABLE:
            self._missing = 0.0
            self._locked_until = time.monotonic() + self._locked_s
            log.info("gates_change_elsewhere", locked_s=self._locked_s)
