"""Sends that wait go together; none waits for another, and none pays for another's fault."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest
import uvloop
from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from edge_gateway.send_batches import Bounds, Member, SendBatches
from servicekit.errors import ChatError, Reason, Violation

LONG = 60.0


class Service:
    """Answers each call when the test says so: stored, with the message's text as its id."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.timeouts: list[float] = []
        self.errors: dict[str, ChatError] = {}
        """What a call fails with that holds this text."""
        self.pause: asyncio.Event | None = None
        self.most_at_once = self._at_once = 0

    async def call(self, members: Sequence[Member], timeout: float) -> Sequence[message_rpc.SendOutcome]:
        texts = [each.send.message.text for each in members]
        self.calls.append(texts)
        self.timeouts.append(timeout)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if self.pause is not None:
                await self.pause.wait()
        finally:
            self._at_once -= 1
        for text in texts:
            if text in self.errors:
                raise self.errors[text]
        return [message_rpc.SendOutcome(stored=message_pb.Message(id=text)) for text in texts]


def batches(service: Service, *, most: int = 32, in_flight: int = 2, waiting: int = 1000) -> SendBatches:
    return SendBatches(service.call, Bounds(most=most, in_flight=in_flight, waiting=waiting))


async def send(
    to: SendBatches, text: str, *, sender: str = "", conversation: str = "c", timeout: float = LONG
) -> str:
    request = message_rpc.Send(conversation_id=conversation, message=message_pb.NewMessage(text=text))
    outcome = await to.send(request, sender_id=sender or f"sender of {text}", timeout=timeout)
    return outcome.stored.id


async def turns(number: int = 5) -> None:
    """Lets everything go on that can."""
    for _ in range(number):
        await asyncio.sleep(0)


async def hold(service: Service, to: SendBatches, number: int) -> list[asyncio.Task[str]]:
    """Fills `number` calls with one send each, unanswered until `service.pause` is set."""
    service.pause = asyncio.Event()
    held = []
    for index in range(number):
        held.append(asyncio.create_task(send(to, f"held {index}")))
        await turns()
    assert service.calls == [[f"held {index}"] for index in range(number)]
    return held


async def test_a_lone_send_goes_at_once() -> None:
    service = Service()
    assert await send(batches(service), "hello") == "hello"
    assert service.calls == [["hello"]]


async def test_what_comes_together_goes_together() -> None:
    service = Service()
    to = batches(service)
    texts = [str(number) for number in range(10)]
    assert await asyncio.gather(*(send(to, text) for text in texts)) == texts
    assert service.calls == [texts]


async def test_what_turn_after_turn_brings_goes_together() -> None:
    service = Service()
    to = batches(service)
    sent = []
    for text in ("a", "b", "c", "d"):
        sent.append(asyncio.create_task(send(to, text)))
        await turns(1)
    assert await asyncio.gather(*sent) == ["a", "b", "c", "d"]
    assert service.calls == [["a", "b", "c", "d"]]


async def test_who_comes_for_ever_holds_nobody_up_beyond_a_full_call() -> None:
    service = Service()
    to = batches(service, most=4, in_flight=9)
    sent = []
    for number in range(20):
        sent.append(asyncio.create_task(send(to, str(number))))
        await turns(1)
        assert to.waiting <= 4 + 1
    await asyncio.gather(*sent)
    assert [len(call) for call in service.calls] == [4] * 5


async def test_turns_that_take_long_hold_nobody_up() -> None:
    service = Service()
    to = batches(service)
    sent = []
    for number in range(40):
        sent.append(asyncio.create_task(send(to, str(number), timeout=0.1)))
        await turns(1)
        time.sleep(0.004)  # noqa: ASYNC251 - so long is a turn here
    assert await asyncio.gather(*sent) == [str(number) for number in range(40)]


async def test_nobody_is_refused_for_those_who_wait_for_a_turn() -> None:
    service = Service()
    to = batches(service, waiting=4)
    sent = []
    for number in range(8):
        sent.append(asyncio.create_task(send(to, str(number))))
        await turns(1)
    assert await asyncio.gather(*sent) == [str(number) for number in range(8)]


def test_a_time_that_is_over_is_told_and_no_fault_for_others() -> None:
    """uvloop's timers are other ones where the moment is now."""

    async def run() -> None:
        to = batches(Service())
        late = asyncio.create_task(send(to, "late", timeout=-0.1))
        found = await asyncio.gather(late, send(to, "in time"), return_exceptions=True)
        assert isinstance(found[0], ChatError)
        assert found[1] == "in time"

    uvloop.run(run())


@pytest.mark.parametrize("number", range(8))
async def test_closing_settles_what_is_at_any_step(number: int) -> None:
    to = batches(Service())
    sent = asyncio.create_task(send(to, "hello"))
    await turns(number)
    await to.close()
    async with asyncio.timeout(5):
        found = await asyncio.gather(sent, return_exceptions=True)
    assert found[0] == "hello" or isinstance(found[0], ChatError)


async def test_what_waits_while_calls_are_in_flight_goes_in_the_next_one() -> None:
    service = Service()
    to = batches(service)
    held = await hold(service, to, 2)
    waiting = []
    for text in ("a", "b", "c"):
        waiting.append(asyncio.create_task(send(to, text)))
        await turns()
    assert len(service.calls) == 2
    assert service.pause is not None
    service.pause.set()
    assert await asyncio.gather(*held, *waiting) == ["held 0", "held 1", "a", "b", "c"]
    assert service.calls[2:] == [["a", "b", "c"]]


async def test_neither_a_call_nor_their_number_grows_beyond_its_bound() -> None:
    service = Service()
    service.pause = asyncio.Event()
    to = batches(service, most=4, in_flight=3)
    sent = [asyncio.create_task(send(to, str(number))) for number in range(50)]
    await turns()
    assert [len(call) for call in service.calls] == [4, 4, 4]
    service.pause.set()
    assert await asyncio.gather(*sent) == [str(number) for number in range(50)]
    assert service.most_at_once == 3
    assert max(len(call) for call in service.calls) == 4


async def test_more_than_may_wait_is_refused_at_once_and_retryable() -> None:
    service = Service()
    to = batches(service, most=1, in_flight=1, waiting=2)
    held = await hold(service, to, 1)
    waiting = [asyncio.create_task(send(to, text)) for text in ("a", "b")]
    await turns()
    with pytest.raises(ChatError) as refused:
        await send(to, "c")
    assert refused.value.reason is Reason.UNAVAILABLE
    assert service.pause is not None
    service.pause.set()
    assert await asyncio.gather(*held, *waiting) == ["held 0", "a", "b"]
    assert await send(to, "c") == "c"


async def test_a_call_has_the_longest_time_of_its_sends_and_each_send_its_own() -> None:
    service = Service()
    service.pause = asyncio.Event()
    to = batches(service)
    short = asyncio.create_task(send(to, "short", timeout=0.02))
    long = asyncio.create_task(send(to, "long", timeout=LONG))
    with pytest.raises(ChatError) as late:
        await short
    assert late.value.reason is Reason.UNAVAILABLE
    assert service.calls == [["short", "long"]]
    assert LONG - 1 < service.timeouts[0] <= LONG
    service.pause.set()
    assert await long == "long"


async def test_each_of_many_sends_fails_at_its_own_time() -> None:
    service = Service()
    service.pause = asyncio.Event()
    to = batches(service)
    over: list[str] = []

    async def wait(name: str, timeout: float) -> None:
        with pytest.raises(ChatError):
            await send(to, name, timeout=timeout)
        over.append(name)

    long = asyncio.create_task(send(to, "long"))
    # The one that began last is the first to be over.
    await asyncio.gather(wait("second", 0.06), wait("third", 0.09), wait("first", 0.03))
    assert over == ["first", "second", "third"]
    assert not long.done()
    service.pause.set()
    assert await long == "long"


async def test_a_send_whose_time_is_over_before_its_turn_is_not_sent() -> None:
    service = Service()
    to = batches(service, in_flight=1)
    held = await hold(service, to, 1)
    with pytest.raises(ChatError):
        await send(to, "late", timeout=0.01)
    with pytest.raises(ChatError):
        await send(to, "later", timeout=-1)
    assert service.pause is not None
    service.pause.set()
    await asyncio.gather(*held)
    await turns()
    assert service.calls == [["held 0"]]


@pytest.mark.parametrize("when", ["waiting", "in flight"])
async def test_a_send_that_is_given_up_takes_no_other_with_it(when: str) -> None:
    service = Service()
    service.pause = asyncio.Event()
    to = batches(service, in_flight=1)
    held = await hold(service, to, 1) if when == "waiting" else []
    gone, stays = (asyncio.create_task(send(to, text)) for text in ("gone", "stays"))
    await turns()
    gone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gone
    assert service.pause is not None
    service.pause.set()
    assert (await asyncio.gather(stays, *held))[0] == "stays"
    assert service.calls[-1] == (["stays"] if when == "waiting" else ["gone", "stays"])


def _invalid(*pointers: str) -> ChatError:
    violations = [Violation(pointer, "string.uuid", "is none") for pointer in pointers]
    return ChatError(Reason.VALIDATION_FAILED, "The request is not valid.", violations=violations)


async def test_a_send_that_breaks_a_rule_fails_alone_and_is_told_as_if_it_were_alone() -> None:
    service = Service()
    to = batches(service)

    async def call(members: Sequence[Member], timeout: float) -> Sequence[message_rpc.SendOutcome]:
        texts = [each.send.message.text for each in members]
        if "bad" in texts:
            service.errors["bad"] = _invalid(f"/sends/{texts.index('bad')}/message/clientMessageId")
        return await service.call(members, timeout)

    to = SendBatches(call, Bounds(most=32, in_flight=2, waiting=100))
    good_before, bad, good_after = await asyncio.gather(
        send(to, "a"), send(to, "bad"), send(to, "b"), return_exceptions=True
    )
    assert (good_before, good_after) == ("a", "b")
    assert isinstance(bad, ChatError)
    assert [each.pointer for each in bad.violations] == ["/sends/0/message/clientMessageId"]
    assert service.calls == [["a", "bad", "b"], ["a", "b"], ["bad"]]


@pytest.mark.parametrize(
    "error",
    [ChatError(Reason.INTERNAL, "no idea"), _invalid("/sends"), _invalid(), _invalid("/sends/9/text")],
    ids=str,
)
async def test_when_it_cannot_be_told_whose_fault_it_is_each_goes_alone(error: ChatError) -> None:
    service = Service()
    service.errors["bad"] = error
    to = batches(service)
    found = await asyncio.gather(*(send(to, text) for text in ("a", "bad", "b")), return_exceptions=True)
    assert found == ["a", error, "b"]
    assert service.calls == [["a", "bad", "b"], ["a"], ["bad"], ["b"]]


async def test_a_service_that_is_away_is_away_for_all_of_a_call_and_asked_again_for_the_next() -> None:
    service = Service()
    away = ChatError(Reason.UNAVAILABLE, "away")
    service.errors["a"] = away
    to = batches(service)
    found = await asyncio.gather(*(send(to, text) for text in ("a", "b", "c")), return_exceptions=True)
    assert found == [away, away, away]
    assert service.calls == [["a", "b", "c"]]
    assert await send(to, "b") == "b"


async def test_whatever_a_call_fails_with_nobody_waits_for_ever() -> None:
    async def call(members: Sequence[Member], timeout: float) -> Sequence[message_rpc.SendOutcome]:
        if len(members) > 1:
            return [message_rpc.SendOutcome()]
        raise ZeroDivisionError

    to = SendBatches(call, Bounds(most=32, in_flight=1, waiting=100))
    with pytest.raises(ZeroDivisionError):
        await send(to, "a")
    found = await asyncio.gather(send(to, "a"), send(to, "b"), return_exceptions=True)
    assert [type(each) for each in found] == [ValueError, ValueError]


async def test_what_one_person_sends_into_one_conversation_keeps_its_order() -> None:
    service = Service()
    service.pause = asyncio.Event()
    to = batches(service, most=2)
    sent = []
    for text, conversation in (("1", "x"), ("2", "x"), ("3", "x"), ("4", "x"), ("5", "y"), ("6", "x")):
        sent.append(asyncio.create_task(send(to, text, sender="ada", conversation=conversation)))
        await turns()
    # While the first is in flight, what follows it waits; what does not follow it does not.
    assert service.calls == [["1"], ["5"]]
    service.pause.set()
    await asyncio.gather(*sent)
    assert [text for call in service.calls for text in call if text != "5"] == ["1", "2", "3", "4", "6"]
    assert [call for call in service.calls if "5" not in call] == [["1"], ["2", "3"], ["4", "6"]]


async def test_closing_fails_what_is_still_there() -> None:
    service = Service()
    to = batches(service, in_flight=1)
    held = await hold(service, to, 1)
    waiting = asyncio.create_task(send(to, "a"))
    await turns()
    await to.close()
    for each in (*held, waiting):
        with pytest.raises(ChatError) as closed:
            await each
        assert closed.value.reason is Reason.UNAVAILABLE
    with pytest.raises(ChatError):
        await send(to, "b")
    assert service.calls == [["held 0"]]
