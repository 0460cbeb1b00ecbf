"""Sends at 32 pairs beside ejabberd's, which archives each message in Postgres before it delivers it.

Each side has a private Postgres of its own with the same settings. Each round is played in two forms: with
servers that wait for the disk at each commit (fsync on), as they do unless told otherwise, and without. The
ratio of the first is demanded: what a crash takes away was not persisted. That of the second is told.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg

from bench.figures import Figure
from bench.peers import ejabberd, rounds
from bench.peers.rounds import HERE, Side
from bench.scenario import Row, Scenario
from bench.world import World, load
from deploy.local.folders import open_temporary
from deploy.local.packages import Say

PAIRS = 32
_PEER = "ejabberd"
_SETTLE_S = 0.05
_FORMS = {True: "fsync on", False: "fsync off"}


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """A row for each round, form and side. RuntimeError when ejabberd has not archived what was sent."""
    folder = open_temporary()
    peer = ejabberd.Ejabberd(folder)
    try:
        await peer.start()
        rows = await _rounds(world, peer, say, short=short)
        await _check_archive(peer, max(row["sent"] for row in rows if row["who"] == _PEER))
    finally:
        await peer.stop()
        folder.close()
    return rows


async def _rounds(world: World, peer: ejabberd.Ejabberd, say: Say, *, short: bool) -> list[Row]:
    pairs = [
        [f"/v1/conversations/{pair.conversation_id}/messages", pair.sender_token, pair.receiver_token]
        for pair in await world.pairs(PAIRS)
    ]
    what = {"warm_s": 1.5, "measure_s": 2.0 if short else 8.0}
    rows: list[Row] = []
    async with (
        load("sends", {"edge_urls": world.edge_urls, "pairs": pairs}) as here,
        load("xmpp", {"port": peer.port, "host": ejabberd.HOST, "pairs": PAIRS}) as there,
    ):
        sides = [Side(_PEER, there, peer.roots()), Side(HERE, here, world.roots())]
        forms = list(_FORMS)
        for number in range(rounds.number(short=short)):
            for waits in forms:
                await asyncio.gather(
                    *(wait_for_disk(url, waits) for url in (world.admin_url, peer.admin_url))
                )
                facts = {"round": number + 1, "waits": waits}
                rows += await rounds.take_turns(sides, what, facts, unit="messages")
                for row in rows[-len(sides) :]:
                    say(_told(row))
            sides.reverse()  # what comes first, or after what, is nobody's advantage
            forms.reverse()
    return rows


async def wait_for_disk(admin_url: str, waits: bool) -> None:
    """Has a server, which was started without either setting, wait for the disk or not, from now on."""
    wanted = "on" if waits else "off"
    conn = await asyncpg.connect(admin_url)
    try:
        for name in ("fsync", "full_page_writes"):
            await conn.execute(f"ALTER SYSTEM SET {name} = {wanted}")
        await conn.execute("SELECT pg_reload_conf()")
        while await conn.fetchval("SHOW fsync") != wanted:  # noqa: ASYNC110 - nothing would set an event
            await asyncio.sleep(_SETTLE_S)
        await conn.execute("CHECKPOINT")  # what was written before is not for this form to flush
    finally:
        await conn.close()


async def _check_archive(peer: ejabberd.Ejabberd, sent: int) -> None:
    """Each message is in its sender's archive and in its receiver's."""
    conn = await asyncpg.connect(peer.database_url)
    try:
        archived = await conn.fetchval("SELECT count(*) FROM archive")
    finally:
        await conn.close()
    if archived != 2 * sent:
        raise RuntimeError(f"ejabberd has archived {archived} of {sent} messages' two rows each")


def _told(row: Row) -> str:
    p50, p99 = row["deliver_ms"]
    name = f"round {row['round']}, {_FORMS[row['waits']]}, {row['who']}"
    return f"{name}: {row['per_s']:,.0f}/s, delivered after {p50} / {p99} ms, {rounds.described(row)}"


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Both sides in each form, and the ratio of their rates: the mean of the rounds'."""
    found = []
    for waits, form in _FORMS.items():
        name = f"sends, {PAIRS} pairs, {form}"
        ours, theirs = _of(rows, HERE, waits), _of(rows, _PEER, waits)
        found.append(_rate(name, ours, theirs, at_least=1.0 if waits else None))
        found.append(rounds.elsewhere(name, [*ours, *theirs]))
        # A peer's cost is no regression of ours: not in the unit of those.
        for its, unit in ((ours, "us"), (theirs, "us of a peer")):
            head = f"{name}: {its[0]['who']}"
            found += [
                Figure(f"{head}, persisted and delivered", rounds.mean(its, lambda row: row["per_s"]), "/s"),
                Figure(
                    f"{head}, sent to delivered, p50",
                    rounds.median(its, lambda row: row["deliver_ms"][0]),
                    "ms",
                ),
                Figure(
                    f"{head}, sent to delivered, p99",
                    rounds.median(its, lambda row: row["deliver_ms"][1]),
                    "ms",
                ),
                Figure(f"{head}, CPU a message", rounds.mean(its, lambda row: row["total_us"]), unit),
                Figure(
                    f"{head}, CPU a message, the load", rounds.mean(its, lambda row: row["load_us"]), unit
                ),
            ]
    mixed = f"sends, {PAIRS} pairs, fsync off in ours only"
    return [*found, _rate(mixed, _of(rows, HERE, waits=False), _of(rows, _PEER, waits=True))]


def _of(rows: Sequence[Row], who: str, waits: bool) -> list[Row]:
    return [row for row in rows if row["who"] == who and row["waits"] is waits]


def _rate(name: str, ours: Sequence[Row], theirs: Sequence[Row], at_least: float | None = None) -> Figure:
    ratio = rounds.mean_ratio(ours, theirs, lambda row: row["per_s"])
    return Figure(f"{name}: rate beside {_PEER}'s", ratio, "times", at_least=at_least)


SCENARIO = Scenario(_PEER, "sends in turns with ejabberd", measure, figures, needs=ejabberd.NEEDS)
