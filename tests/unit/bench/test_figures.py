"""What the bench concludes from its figures."""

from __future__ import annotations

from bench.figures import Figure, Regression, regressions


def machine(yardstick_us: float, python_pace_ms: float) -> dict[str, float]:
    return {"yardstick_us": yardstick_us, "python_pace_ms": python_pace_ms}


SAME = machine(5.0, 5.0)


def reference(**costs: float) -> dict[str, object]:
    return {
        "machine": machine(5.0, 5.0),
        "figures": [{"name": name, "value": value, "unit": "us"} for name, value in costs.items()],
    }


def test_a_cost_that_grew_is_told_as_a_multiple() -> None:
    found = [Figure("send", 150.0, "us"), Figure("read", 110.0, "us")]
    assert regressions(found, SAME, reference(send=100.0, read=100.0)) == [Regression("send", 1.5)]


def test_a_slower_machine_is_no_regression() -> None:
    found = [Figure("send", 200.0, "us")]
    assert regressions(found, machine(10.0, 10.0), reference(send=100.0)) == []


def test_neither_is_a_slower_build_of_python() -> None:
    found = [Figure("send", 150.0, "us")]
    assert regressions(found, machine(5.0, 10.0), reference(send=100.0)) == []


def test_a_machine_that_is_faster_for_python_than_for_system_calls_makes_none_of_either() -> None:
    found = [Figure("python", 35.0, "us"), Figure("calls", 60.0, "us"), Figure("grew", 90.0, "us")]
    known = reference(python=100.0, calls=100.0, grew=100.0)
    assert regressions(found, machine(3.0, 1.5), known) == [Regression("grew", 1.5)]


def test_a_faster_machine_hides_none() -> None:
    found = [Figure("send", 100.0, "us")]
    assert regressions(found, machine(2.5, 2.5), reference(send=100.0)) == [Regression("send", 2.0)]


def test_rates_and_latencies_are_not_compared() -> None:
    found = [Figure("send", 900.0, "ms")]
    assert regressions(found, SAME, reference(send=1.0)) == []


def test_what_is_new_has_nothing_to_be_compared_with() -> None:
    assert regressions([Figure("new", 1.0, "us")], SAME, reference(send=1.0)) == []


def test_demands() -> None:
    assert Figure("a", 6.0, "ms", at_most=6.0).holds is True
    assert Figure("a", 6.1, "ms", at_most=6.0).holds is False
    assert Figure("a", 1500.0, "/s", at_least=1500.0).holds is True
    assert Figure("a", 1499.0, "/s", at_least=1500.0).holds is False
    assert Figure("a", 1.0, "/s").holds is None
