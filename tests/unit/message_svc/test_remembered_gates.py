"""Which gates are remembered, for how long, and when nothing is guessed."""

from __future__ import annotations

from uuid import UUID, uuid4

from message_svc.actions.remembered_gates import RememberedGates
from message_svc.domain import GateSnapshot, HeldGate, NewMessage, State


def gate(conversation_id: UUID, last_seq: int = 1) -> HeldGate:
    return HeldGate(GateSnapshot(conversation_id, 1, State.ACTIVE, {}, b""), last_seq, last_seq, None)


def send(conversation_id: UUID) -> NewMessage:
    return NewMessage(uuid4(), conversation_id, "ada", "c", "hello", b"hash")


def test_what_was_kept_is_taken_once() -> None:
    gates, one, two = RememberedGates(10, locked_s=60), uuid4(), uuid4()
    gates.keep({one: gate(one), two: gate(two)})

    assert gates.take([send(one), send(two), send(one)]) == {one: gate(one), two: gate(two)}
    assert gates.take([send(one)]) == {}


def test_a_batch_with_a_conversation_that_is_not_known_takes_nothing() -> None:
    gates, known = RememberedGates(10, locked_s=60), uuid4()
    gates.keep({known: gate(known)})

    assert gates.take([send(known), send(uuid4())]) == {}
    assert gates.take([send(known)]) == {known: gate(known)}


def test_the_newest_is_kept_and_the_longest_unwritten_goes_first() -> None:
    gates, old, other, new = RememberedGates(2, locked_s=60), uuid4(), uuid4(), uuid4()
    gates.keep({old: gate(old), other: gate(other)})
    gates.keep({old: gate(old, 2)})
    gates.keep({new: gate(new)})

    assert gates.take([send(other)]) == {}
    assert gates.take([send(old), send(new)]) == {old: gate(old, 2), new: gate(new)}


def test_of_none_nothing_is_remembered() -> None:
    gates, one = RememberedGates(0, locked_s=60), uuid4()
    gates.keep({one: gate(one)})

    assert gates.take([send(one)]) == {}


def guessed(gates: RememberedGates, *, missed: list[bool]) -> bool:
    """Whether there are guesses after batches that went so."""
    for each in missed:
        gates.tried(missed=each)
    one = uuid4()
    gates.keep({one: gate(one)})
    return bool(gates.take([send(one)]))


def test_a_sixth_of_misses_is_bearable_and_half_is_not() -> None:
    assert guessed(RememberedGates(10, locked_s=60), missed=[*[False] * 5, True] * 100)
    assert not guessed(RememberedGates(10, locked_s=60), missed=[False, True] * 100)


def test_a_few_misses_at_first_are_no_share() -> None:
    assert guessed(RememberedGates(10, locked_s=60), missed=[True] * 5)
    assert not guessed(RememberedGates(10, locked_s=60), missed=[True] * 20)


def test_after_a_while_there_are_guesses_again() -> None:
    assert guessed(RememberedGates(10, locked_s=0), missed=[True] * 100)
