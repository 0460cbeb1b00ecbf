"""Who types on this edge."""

from __future__ import annotations

from typing import cast

import pytest

from edge_gateway.metrics import Metrics
from edge_gateway.sockets.hydration import Hydration
from edge_gateway.sockets.keyboards import Keyboards
from edge_gateway.sockets.pace import Paces
from edge_gateway.sockets.session import Session
from edge_gateway.sockets.wheel import Wheel
from edge_gateway.tokens.verifier import Principal
from servicekit.clock import SystemClock
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser


async def _nothing_is_said(_session: Session, _payload: bytes) -> None:
    raise AssertionError("nothing is said here")


def _session() -> Session:
    return Session(
        Principal(ActingUser("ada", "candidate"), expires_at=2e9),
        clock=SystemClock(),
        hydration=cast("Hydration", None),  # nothing waits here
        max_held=10,
        max_age_s=60,
        paces=Paces(None, None),
        handle=_nothing_is_said,
        on_end=lambda _session: None,
        on_sign=lambda _session: None,
        alarms=Wheel(60),
    )


@pytest.mark.parametrize("reason", [Reason.NOT_FOUND, Reason.UNAVAILABLE])
async def test_a_start_that_was_not_passed_on_keeps_no_later_one_back(reason: Reason) -> None:
    told: list[bool] = []
    failures = 2

    async def tell(_user: ActingUser, _conversation_id: str, typing: bool) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise ChatError(reason, "The test has it so.")
        told.append(typing)

    keyboards, ada = Keyboards(tell, Metrics(), every_s=60, lapse_s=60), _session()
    for _ in range(2):
        with pytest.raises(ChatError) as refused:
            await keyboards.typed(ada, "c", started=True)
        assert refused.value.reason is reason
    await keyboards.typed(ada, "c", started=True)
    await keyboards.typed(ada, "c", started=True)
    assert told == [True]
    keyboards.forget(ada)
    await keyboards.close()
    assert told == [True, False]
