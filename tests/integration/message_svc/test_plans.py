"""What the service's statements read, for somebody with 10,000 conversations among 200,000 messages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import pytest
import pytest_asyncio
from splits.chat.message.v1 import service_pb2 as rpc

from bench.stored import LONG, MANY, Stored, conversation_id
from message_svc import store
from servicekit.identity import ActingUser
from tests.support.backing import MakeDatabase
from tests.support.gates import active_gate, new_conversation_id, new_people, request_gate
from tests.support.message_svc import TIMEOUT, MessageService, run_message_service
from tests.support.plans import Plan, explained, plans_of
from tests.support.waiting import eventually

# Rows of tables and pages that a statement may read at most, where it answers with more than a few. A page of
# fifty and the one that tells of a next has three rows a line (member, gate, message), each found by its key.
PAGE = (153, 800)
KEYS = (51, 300)
RANGE = (51, 30)
MOST = {
    "list_inbox": PAGE,
    "list_archived": PAGE,
    "get_member_views": PAGE,
    "get_messages_for_member": PAGE,
    "get_read_pointers": KEYS,
    "get_gate_versions": KEYS,
    "lock_gates": KEYS,
    "find_duplicates": KEYS,
    "place_messages": PAGE,
    "place_unless_moved": PAGE,
    "list_before": RANGE,
    "list_after": RANGE,
    "list_changes": RANGE,
    "get_watch_list": (402, 1200),
    "get_watch_lists": (402, 1200),
    "count_totals": (1_100, 60),  # of the index alone: one entry for each conversation with something unread
    "count_totals_together": (1_100, 60),
    "count_bodies_owed": (10, 600),  # of the whole outbox, whose pages stay until vacuum is through
}
FEW = (10, 60)
# A redaction looks through the outbox, which holds what is not published yet.
UNKEYED = {"count_bodies_owed": {"outbox_realtime"}}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def crowded(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[MessageService]:
    """A service whose tables hold what somebody has gathered in years."""
    keys = tmp_path_factory.mktemp("keys")
    async with run_message_service(make_database, redis_url, amqp_url, keys) as service:
        admin = await asyncpg.connect(service.database.admin_url)
        try:
            stored = Stored(admin, profiles=False)
            for size in (10_000, 200_000):
                await stored.grow(size)
        finally:
            await admin.close()
        yield service


async def use_everything(service: MessageService) -> None:
    """Calls all there is to call, as somebody with many conversations, in a long one and in fifty."""
    edge, latest = service.client(), [str(conversation_id(9_999 - place)) for place in range(50)]
    long = str(conversation_id(LONG))
    acting = ActingUser(MANY, "recruiter")

    async def call(method: Any, request: Any) -> Any:
        return await edge.call(method, request, timeout=TIMEOUT, acting=acting)

    ada, bob = new_people(2)
    opened = new_conversation_id()
    await service.open(request_gate(opened, 1, ada, bob), ada)
    await service.apply(active_gate(opened, 2, [ada, bob]))
    conversation_svc = service.client("conversation_svc")
    versions = rpc.GetGateVersionsRequest(conversation_ids=latest)
    await conversation_svc.call(conversation_svc.stub.GetGateVersions, versions, timeout=TIMEOUT)

    sends = [service.new_send(MANY, each, "plans") for each in latest]
    sent = [one.stored for one in await service.send_batch(*sends)]
    await service.send_batch(*(service.new_send(MANY, each, "remembered") for each in latest))
    await service.send_batch(*sends)
    reply = service.new_send(MANY, long, "reply")
    first = (await call(edge.stub.ListMessages, rpc.ListMessagesRequest(conversation_id=long))).messages[0]
    reply.message.reply_to_id = first.id
    own = (await service.send_batch(reply))[0].stored
    seq = own.seq

    for position in ({}, {"before_seq": seq // 2}, {"after_seq": seq // 2}, {"around_seq": seq // 2}):
        await call(
            edge.stub.ListMessages, rpc.ListMessagesRequest(conversation_id=long, limit=50, **position)
        )
    await call(edge.stub.ListChanges, rpc.ListChangesRequest(conversation_id=long, after_change_seq=seq // 2))
    refs = [rpc.MessageRef(conversation_id=one.conversation_id, seq=one.seq) for one in sent]
    await call(edge.stub.GetMessages, rpc.GetMessagesRequest(refs=refs))

    edit = rpc.EditMessageRequest(conversation_id=long, message_id=own.id, text="better")
    await call(edge.stub.EditMessage, edit)
    await service.all_told()  # a redaction looks through the outbox
    await call(edge.stub.RedactMessage, rpc.RedactMessageRequest(conversation_id=long, message_id=own.id))
    await service.read(MANY, latest[1], 1)
    await service.read("candidate-0", long, seq)
    await call(edge.stub.SetFlags, rpc.SetFlagsRequest(conversation_id=latest[0], archived=True))

    inbox = rpc.ListInboxRequest(list=rpc.INBOX_LIST_INBOX, limit=50)
    inbox.after.CopyFrom((await call(edge.stub.ListInbox, inbox)).next)
    await call(edge.stub.ListInbox, inbox)
    await call(edge.stub.ListInbox, rpc.ListInboxRequest(list=rpc.INBOX_LIST_ARCHIVED, limit=50))
    for with_unread in (False, True):
        views = rpc.GetMemberViewsRequest(conversation_ids=latest, with_unread=with_unread)
        await call(edge.stub.GetMemberViews, views)
    await call(edge.stub.GetUnread, rpc.GetUnreadRequest())
    await call(edge.stub.GetWatchList, rpc.GetWatchListRequest(limit=200))
    together = service.signer("edge_gateway").assertion_together([acting])
    welcome = rpc.GetWelcomesRequest(acting_users=together, people=[rpc.WelcomeAsk()])
    await edge.call(edge.stub.GetWelcomes, welcome, timeout=TIMEOUT)
    await service.all_told()
    # What follows a crash or an outage.
    (message, _), *_ = (await store.get_messages(service.pool, [(UUID(long), seq)])).values()
    await store.count_bodies_owed(service.pool, message, [])
    await store.wait_for_relay(service.pool, message, [], timedelta(seconds=1))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def plans(crowded: MessageService) -> dict[str, list[Plan]]:
    """By statement, of everything that can be called."""
    found: dict[str, list[Plan]] = defaultdict(list)
    async with explained(crowded.pool) as plans:
        await use_everything(crowded)
    for plan in plans:
        found[plan.name].append(plan)
    return found


async def test_a_send_leaves_the_index_of_gates_alone(crowded: MessageService) -> None:
    async def updates() -> tuple[int, int]:
        row = await crowded.pool.fetchrow(
            "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relid = 'gate'::regclass"
        )
        assert row is not None
        return row["n_tup_upd"], row["n_tup_hot_upd"]

    # The first test: Postgres counts what was done before with a delay.
    before, hot_before = await updates()
    batches = 20
    for batch in range(batches):
        ids = [str(conversation_id(1_000 + place)) for place in range(50)]
        await crowded.send_batch(*(crowded.new_send(MANY, each, f"hot-{batch}") for each in ids))
    after, hot_after = await eventually(updates, until=lambda found: found[0] >= before + batches * 50)
    assert hot_after - hot_before >= 0.95 * (after - before)


def test_every_statement_is_looked_at(plans: dict[str, list[Plan]]) -> None:
    assert {query.name for query in store.q} - set(plans) == set()


def test_no_statement_reads_a_table_from_end_to_end(plans: dict[str, list[Plan]]) -> None:
    whole = {name: set.union(*(plan.scanned_whole for plan in found)) for name, found in plans.items()}
    assert {name: tables for name, tables in whole.items() if tables} == UNKEYED


@pytest.mark.parametrize("name", [query.name for query in store.q])
def test_a_statement_reads_what_it_answers_with(plans: dict[str, list[Plan]], name: str) -> None:
    rows, blocks = MOST.get(name, FEW)
    for plan in plans[name]:
        assert plan.rows <= rows
        assert plan.blocks <= blocks


def writes_gates_in_the_order_of_ids(plan: Plan) -> bool:
    """Whether no two of these statements wait for one another: ids in their order, each gate looked up."""
    [update] = (
        node
        for node in plan.nodes
        if (node["Node Type"], node.get("Relation Name")) == ("ModifyTable", "gate")
    )
    [loop] = update["Plans"]
    outer, inner = loop["Plans"]
    while "Plans" in outer and outer["Node Type"] != "Sort":
        [outer] = outer["Plans"]
    return (loop["Node Type"], outer["Node Type"], inner["Node Type"]) == (
        "Nested Loop",
        "Sort",
        "Index Scan",
    )


def test_a_send_by_what_is_remembered_takes_its_locks_in_the_order_of_ids(
    plans: dict[str, list[Plan]],
) -> None:
    assert all(writes_gates_in_the_order_of_ids(plan) for plan in plans["place_unless_moved"])


async def test_plans_made_while_the_tables_were_empty_read_by_key(
    make_database: MakeDatabase, redis_url: str, amqp_url: str, tmp_path: Path
) -> None:
    async with run_message_service(make_database, redis_url, amqp_url, tmp_path) as fresh:
        plans = {plan.name: plan for plan in await plans_of(fresh.pool, store.q)}
    whole = {name: plan.scanned_whole for name, plan in plans.items()}
    assert {name: tables for name, tables in whole.items() if tables} == UNKEYED
    assert writes_gates_in_the_order_of_ids(plans["place_unless_moved"])
