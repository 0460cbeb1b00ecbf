"""Pages and marks of somebody with 10,000 conversations, as the stored messages grow."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

import aiohttp
import asyncpg
import grpc
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.conversation.v1 import service_pb2_grpc as conversation_grpc
from splits.chat.message.v1 import message_pb2 as pb
from splits.chat.message.v1 import service_pb2 as rpc
from splits.chat.message.v1 import service_pb2_grpc as message_grpc

from bench.figures import Figure
from bench.percentiles import percentile, steady, window_p99s
from bench.scenario import Row, Scenario
from bench.stored import LONG, MANY, OWN, Stored, conversation_id
from bench.world import Cost, World
from chatctl.rest import Rest
from chatctl.running import Running
from deploy.local.packages import Say
from servicekit.grpc_client import RequestT, ResponseT, ServiceClient
from servicekit.identity import ActingUser, Signer

if TYPE_CHECKING:  # the stubs alone know the asynchronous flavour
    Messages: TypeAlias = ServiceClient[message_grpc.MessageServiceAsyncStub]
    Conversations: TypeAlias = ServiceClient[conversation_grpc.ConversationServiceAsyncStub]

SIZES = (10_000, 100_000, 1_000_000, 10_000_000)
AT_ONCE = (1, 8)
PAGE = 50
_TIMEOUT_S = 10.0
_WARM = 30
_WINDOW = 100
"""Calls: half a second of one caller."""
_AT_MOST_MS = 15.0

_LAST_SEQ = "SELECT last_seq FROM message_svc.gate WHERE id = $1"
_LAST_AT = "SELECT last_at FROM message_svc.gate WHERE id = $1"

Call = Callable[[], Awaitable[object]]


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """A row for each number of stored messages, call and number of callers: latencies, and CPU by process."""
    rows = []
    conn = await asyncpg.connect(world.admin_url)
    try:
        stored = Stored(conn)
        for size in SIZES[:2] if short else SIZES:
            began = time.monotonic()
            await stored.grow(size)
            say(f"pages: {stored.messages} messages after {time.monotonic() - began:.0f} s")
            async with _calls(world, stored) as calls:
                for (name, call), at_once in itertools.product(calls.items(), AT_ONCE):
                    row = await _measure(world, call, at_once=at_once, number=100 if short else 400)
                    rows.append({"messages": size, "call": name, **row})
                    say(f"pages: {rows[-1]}")
    finally:
        await conn.close()
    return rows


async def _measure(world: World, call: Call, *, at_once: int, number: int) -> Row:
    """A closed loop: each of `at_once` callers calls again once it is answered."""
    for _ in range(_WARM):
        await call()
    took: list[float] = []

    async def caller() -> None:
        for _ in range(number // at_once):
            began = time.perf_counter()
            await call()
            took.append(time.perf_counter() - began)

    cost = Cost(world.roots())
    await asyncio.gather(*(caller() for _ in range(at_once)))
    cpu_us = cost.per(len(took))
    p50, p99 = (round(percentile(took, share) * 1e3, 2) for share in (0.5, 0.99))
    steady_p99 = round(steady(window_p99s(took, _WINDOW)) * 1e3, 2)
    return {"at_once": at_once, "p50_ms": p50, "p99_ms": p99, "steady_p99_ms": steady_p99, "cpu_us": cpu_us}


@asynccontextmanager
async def _calls(world: World, stored: Stored) -> AsyncIterator[Mapping[str, Call]]:
    """What is measured, by name; each as its first caller in the product calls it."""
    running = Running.of(world.system.describe())
    signer = Signer.from_file("edge_gateway", running.keys_dir / "edge_gateway.pem")
    messages: Messages = ServiceClient(
        running.targets["message_svc"], message_grpc.MessageServiceStub, signer
    )
    conversations: Conversations = ServiceClient(
        running.targets["conversation_svc"], conversation_grpc.ConversationServiceStub, signer
    )
    long = str(conversation_id(LONG))
    half = await stored.conn.fetchval(_LAST_SEQ, conversation_id(LONG)) // 2
    middle = rpc.InboxPosition(conversation_id=str(conversation_id(OWN // 2)))
    middle.activity_at.FromDatetime(await stored.conn.fetchval(_LAST_AT, conversation_id(OWN // 2)))
    latest = [str(conversation_id(OWN - 1 - place)) for place in range(PAGE)]
    numbers = itertools.count()
    sent: list[tuple[str, str, int]] = []
    http = aiohttp.ClientSession()
    rest = Rest(http, world.system.edge_url, world.token(MANY, "recruiter"))
    inbox = rpc.INBOX_LIST_INBOX

    async def ask(
        method: grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT], request: RequestT, user_id: str = MANY
    ) -> ResponseT:
        acting = ActingUser(user_id, "recruiter")
        return await messages.call(method, request, timeout=_TIMEOUT_S, acting=acting)

    async def send() -> None:
        number = next(numbers)
        other = 1 + number % (OWN - 1)
        send = rpc.Send(
            acting_user=signer.assertion(ActingUser(MANY, "recruiter")),
            conversation_id=str(conversation_id(other)),
            message=pb.NewMessage(client_message_id=f"{stored.messages}-{number}", text="x" * 300),
        )
        answer = await messages.call(
            messages.stub.SendMessages, rpc.SendMessagesRequest(sends=[send]), timeout=_TIMEOUT_S
        )
        seq = answer.outcomes[0].stored.seq
        if not seq:
            raise RuntimeError(f"a send was answered {answer}")
        sent.append((f"candidate-{other}", send.conversation_id, seq))

    async def mark() -> None:
        user_id, conversation, seq = sent.pop()
        request = rpc.MarkReadRequest(conversation_id=conversation, last_read_seq=seq)
        await ask(messages.stub.MarkRead, request, user_id)

    async def details() -> None:
        request = conversation_rpc.GetConversationsRequest(conversation_ids=latest)
        acting = ActingUser(MANY, "recruiter")
        await conversations.call(
            conversations.stub.GetConversations, request, timeout=_TIMEOUT_S, acting=acting
        )

    stub = messages.stub
    try:
        yield {
            "ListInbox, first": lambda: ask(stub.ListInbox, rpc.ListInboxRequest(list=inbox, limit=PAGE)),
            "ListInbox, middle": lambda: ask(
                stub.ListInbox, rpc.ListInboxRequest(list=inbox, limit=PAGE, after=middle)
            ),
            "GetConversations": details,
            "ListMessages, newest": lambda: ask(
                stub.ListMessages, rpc.ListMessagesRequest(conversation_id=long, limit=PAGE)
            ),
            "ListMessages, middle": lambda: ask(
                stub.ListMessages, rpc.ListMessagesRequest(conversation_id=long, limit=PAGE, before_seq=half)
            ),
            "SendMessages of one": send,
            "MarkRead": mark,
            "GetWatchList": lambda: ask(stub.GetWatchList, rpc.GetWatchListRequest(limit=200)),
            "GET conversations": lambda: rest.get(f"/conversations?limit={PAGE}"),
            "GET messages": lambda: rest.get(f"/conversations/{long}/messages?limit={PAGE}"),
        }
    finally:
        await http.close()
        await messages.close()
        await conversations.close()


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Latencies, and what a call costs all processes; of pages read by one caller it is demanded."""
    found = []
    for row in rows:
        alone = row["at_once"] == 1
        name = f"pages, {row['messages']} stored, {row['call']}, {row['at_once']} at once"
        at_most = _AT_MOST_MS if alone and row["call"].startswith("List") else None
        found.append(Figure(f"{name}: p99", row["p99_ms"], "ms"))
        found.append(Figure(f"{name}: steady p99", row["steady_p99_ms"], "ms", at_most=at_most))
        if alone:
            found.append(Figure(f"{name}: CPU", round(sum(row["cpu_us"].values())), "us"))
    return found


SCENARIO = Scenario(
    "pages", "somebody with 10,000 conversations, as the stored messages grow", measure, figures
)
