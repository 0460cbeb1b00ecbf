"""How much may be said over sockets."""

from __future__ import annotations

import gc

from edge_gateway.rates import Policy
from edge_gateway.sockets.pace import Pace, Paces


def _begin(paces: Paces) -> Pace:
    pace = paces.begin(0.0)
    assert pace is not None
    return pace


def test_sockets_of_a_person_share_a_budget_and_of_two_people_do_not() -> None:
    paces = Paces(Policy(3, 10), Policy(4, 10))
    one, two, other = _begin(paces), _begin(paces), _begin(paces)
    assert [one.take("ada", 0.0) for _ in range(4)] == [0, 0, 0, 3334]
    assert [two.take("ada", 0.0) for _ in range(2)] == [0, 2500]
    assert other.take("bob", 0.0) == 0
    assert two.take("ada", 2.5) == 0


def test_a_socket_is_at_fault_once_it_was_refused_as_often_as_it_may_speak() -> None:
    pace = _begin(Paces(Policy(2, 10), Policy(2, 10)))
    assert [pace.tires(0.0) for _ in range(3)] == [False, False, True]


def test_answers_to_pings_do_not_count_for_the_person() -> None:
    paces = Paces(Policy(3, 10), Policy(1, 10))
    pace = _begin(paces)
    assert [pace.take_control(0.0) for _ in range(2)] == [0, 0]
    assert pace.take("ada", 0.0) == 0


def test_each_budget_can_be_off() -> None:
    assert Paces(None, None).begin(0.0) is None
    alone = _begin(Paces(Policy(1, 10), None))
    assert [alone.take("ada", 0.0) for _ in range(2)] == [0, 10_000]
    together = _begin(Paces(None, Policy(1, 10)))
    assert [together.take_control(0.0) for _ in range(5)] == [0] * 5
    assert [together.take("ada", 0.0) for _ in range(2)] == [0, 10_000]
    assert [together.tires(0.0) for _ in range(2)] == [False, True]


def test_a_person_whose_sockets_are_gone_is_forgotten() -> None:
    paces = Paces(Policy(5, 10), Policy(1, 10))
    pace = _begin(paces)
    pace.take("ada", 0.0)
    bucket = paces.of_person("ada", 0.0)
    assert bucket is not None
    assert bucket.take(0.0) == 10_000
    del pace, bucket
    gc.collect()
    fresh = paces.of_person("ada", 10.0)
    assert fresh is not None
    assert [fresh.take(10.0) for _ in range(2)] == [0, 10_000]


def test_who_comes_back_at_once_has_no_budget_of_their_own_again() -> None:
    paces = Paces(Policy(5, 10), Policy(2, 10))
    said = 0
    for now in range(10):  # a socket each second, which is gone before the next one
        pace = _begin(paces)
        while pace.take("ada", float(now)) == 0:
            said += 1
        del pace
        gc.collect()
    assert said == 3
