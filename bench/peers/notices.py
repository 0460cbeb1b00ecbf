"""A notice to everybody beside nginx with nchan: what a frame costs whoever writes it to the sockets."""

from __future__ import annotations

from collections.abc import Sequence

from bench.fanout import EVEN_FRAMES, FEW, MANY
from bench.figures import Figure
from bench.peers import nginx, rounds
from bench.peers.rounds import HERE, Side
from bench.scenario import Row, Scenario
from bench.world import World, load
from deploy.local.folders import open_temporary
from deploy.local.packages import Say

_PEER = "nchan"


async def measure(world: World, say: Say, *, short: bool) -> list[Row]:
    """A row for each number of sockets, round and side."""
    folder = open_temporary()
    peer = nginx.Nginx(folder)
    try:
        await peer.start()
        return await _rounds(world, peer, say, short=short)
    finally:
        await peer.stop()
        folder.close()


async def _rounds(world: World, peer: nginx.Nginx, say: Say, *, short: bool) -> list[Row]:
    few, many = (FEW // 10, MANY // 10) if short else (FEW, MANY)
    people = [[f"listener-{number}", token] for number, token in enumerate(world.tokens("listener", many))]
    ours = {"edge_url": world.system.edge_url, "redis_url": world.redis_url, "people": people}
    theirs = {"nchan": {"url": peer.url, "subscribe": nginx.SUBSCRIBE, "publish": nginx.PUBLISH}}
    rows: list[Row] = []
    async with load("fanout", ours) as here, load("fanout", theirs) as there:
        sides = [Side(_PEER, there, peer.roots()), Side(HERE, here, world.roots())]
        for sockets in (few, many):
            what = {"kind": "everybody", "sockets": sockets, "rate": EVEN_FRAMES / sockets}
            what |= {"warm_s": 1.0, "measure_s": 2.0 if short else 5.0}
            for number in range(rounds.number(short=short)):
                facts = {"round": number + 1, "sockets": sockets}
                rows += await rounds.take_turns(sides, what, facts, unit="frames")
                for row in rows[-len(sides) :]:
                    say(_told(row))
                sides.reverse()  # what comes first, or after what, is nobody's advantage
    return rows


def _told(row: Row) -> str:
    name = f"round {row['round']}, {row['sockets']:,} sockets, {row['who']}"
    p50, p99 = row["delay_ms"]
    return f"{name}: {row['frames_per_s']:,}/s, arrived after {p50} / {p99} ms, {rounds.described(row)}"


def _writer_us(row: Row) -> float:
    """Of whoever writes the frames; our Redis, which the notice comes through, is in `total_us`."""
    found: float = row["cpu_us"]["edge_gateway" if row["who"] == HERE else "nginx"]
    return found


def figures(rows: Sequence[Row]) -> list[Figure]:
    """Both sides at each number of sockets, and the ratio of their costs: the median of the rounds'."""
    found = []
    for sockets in sorted({row["sockets"] for row in rows}):
        name = f"a notice to everybody, {sockets} sockets"
        ours, theirs = _of(rows, HERE, sockets), _of(rows, _PEER, sockets)
        edge = rounds.median_ratio(ours, theirs, _writer_us)
        every = rounds.median_ratio(ours, theirs, lambda row: row["total_us"])
        found += [
            Figure(f"{name}: CPU of the edge a frame beside {_PEER}'s", edge, "times", at_most=1.0),
            Figure(f"{name}: CPU of all processes a frame beside {_PEER}'s", every, "times"),
        ]
        found.append(rounds.elsewhere(name, [*ours, *theirs]))
        # A peer's cost is no regression of ours: not in the unit of those.
        for its, unit in ((ours, "us"), (theirs, "us of a peer")):
            head = f"{name}: {its[0]['who']}"
            found += [
                Figure(f"{head}, frames", rounds.mean(its, lambda row: row["frames_per_s"]), "/s"),
                Figure(f"{head}, CPU a frame", rounds.median(its, _writer_us), unit),
                Figure(
                    f"{head}, publish to arrival, p50",
                    rounds.median(its, lambda row: row["delay_ms"][0]),
                    "ms",
                ),
                Figure(
                    f"{head}, publish to arrival, p99",
                    rounds.median(its, lambda row: row["delay_ms"][1]),
                    "ms",
                ),
            ]
    return found


def _of(rows: Sequence[Row], who: str, sockets: int) -> list[Row]:
    return [row for row in rows if row["who"] == who and row["sockets"] == sockets]


SCENARIO = Scenario(
    _PEER, "notices to everybody in turns with nginx and nchan", measure, figures, needs=nginx.NEEDS
)
