"""One round: load, a fault in its midst, healing, quiet, and what the checker says then."""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import aiohttp

from deploy.local.folders import CHECKOUT
from tests.ledger.check import check
from tests.ledger.faults import LONGEST_OUTAGE, Kind
from tests.ledger.history import History, read_history
from tests.ledger.jobs import read_jobs
from tests.ledger.journal import Follower
from tests.ledger.load import Plan, token
from tests.ledger.person import AWAY, Edges, NotAnsweredError, Reader
from tests.ledger.truth import BACKLOG, Truth, read_truth
from tests.ledger.violations import Column, View, Violation
from tests.ledger.world import World

# The promise; for what waits its turn behind minutes of others; and for what has no promise, far above what a
# loaded machine takes.
CONVERGENCE_SECONDS = 60.0
BACKLOG_SECONDS = 300.0
PATIENCE_SECONDS = 300.0
SLACK_SECONDS = 0.1
# Answers before a fault; while it lasts (RabbitMQ takes long to start and nobody waits for it); after it.
BEFORE, MEANWHILE, AFTER = 60, 150, 40


@dataclass
class Round:
    """What came of one."""

    attempted: int = 0
    acknowledged: int = 0
    in_doubt: int = 0
    violations: list[Violation] = field(default_factory=list)
    send_seconds: list[float] = field(default_factory=list)
    """Of each send's answered attempt."""
    before_seconds: list[float] = field(default_factory=list)
    away_seconds: list[float] = field(default_factory=list)
    """Of sends answered before the fault, and of those begun while something stayed away."""
    away: bool = False
    """Whether something stayed away for longer than a moment."""
    backlog: int = 0
    """Events for RabbitMQ that were not published when the healing began."""
    effects: int = 0
    mails: int = 0
    """What consumers did."""
    convergence: float = 0.0
    """Seconds from healing and the end of the load to the first look that found nothing wrong."""
    journal: Path = Path()


async def play(
    world: World, kind: Kind, name: str, seed: int, *, within: float = CONVERGENCE_SECONDS
) -> Round:
    """Plays a round; what is wrong after `within` seconds is a violation.

    Raises AssertionError when the load itself does not come along.
    """
    chance = random.Random(seed)
    plan = Plan(
        journal=str(world.journal(name)),
        edges=world.edges,
        issuer=world.system.issuer_url,
        name=name,
        seed=seed,
        pause=kind.pause,
    )
    journal = Follower(Path(plan.journal))
    async with _client(plan, world.folder / f"{name}.plan") as client:
        await _reached(client, journal, "ready", 1)
        enough = journal.count("answer") + BEFORE
        await asyncio.sleep(kind.before_seconds)
        await _reached(client, journal, "answer", enough)
        await asyncio.sleep(chance.uniform(0, 0.2))  # a fault strikes at any moment
        struck = time.time()
        heal = await kind.strike(world, chance)
        backlog = 0
        if kind.away_seconds is None:
            await asyncio.sleep(chance.uniform(0, LONGEST_OUTAGE))
        else:
            enough = journal.count("answer") + BEFORE
            await asyncio.sleep(kind.away_seconds)
            await _reached(client, journal, "answer", enough)
            backlog = await world.fetch_value(BACKLOG)
        healing_from = time.time()
        async with asyncio.TaskGroup() as group:
            healing = group.create_task(heal())
            enough = journal.count("answer") + MEANWHILE
            while not healing.done() and journal.count("answer") < enough:
                await asyncio.sleep(0.05)
            await _reached(client, journal, "answer", journal.count("answer") + AFTER)
            assert client.stdin is not None
            client.stdin.write(b"quiesce\n")
        began = time.monotonic()
        await _reached(client, journal, "quiet", 1)
        played = await _judged(world, kind, plan, journal, began, within)
    played.before_seconds, played.away_seconds = _while_away(journal, struck, healing_from)
    played.away, played.backlog = kind.away_seconds is not None, backlog
    if kind.steady:
        played.violations += slowed(played.before_seconds, played.away_seconds)
    return played


async def _judged(
    world: World, kind: Kind, plan: Plan, journal: Follower, began: float, within: float
) -> Round:
    """Looks until nothing is wrong, or until it should long have been right."""
    async with aiohttp.ClientSession() as http:
        while True:
            history = read_history(journal.look())
            truth = await read_truth(world.admin_url, history.people)
            await world.bus.look()
            truth = await _with_jobs(world, kind, truth)
            views = await fresh_views(http, plan, history)
            history = read_history(journal.look())
            violations = check(history, truth, views)
            passed = time.monotonic() - began
            turn = within if kind.away_seconds is None else BACKLOG_SECONDS
            overdue = any(passed > (turn if each.backlog else within) for each in violations)
            if not violations or overdue:
                return _summed(history, truth, violations, passed, Path(plan.journal))
            await asyncio.sleep(0.2)


async def _with_jobs(world: World, kind: Kind, truth: Truth) -> Truth:
    """And what RabbitMQ and its consumers have done with the events of these messages."""
    told = {row.id: world.bus.heard[row.id] for row in truth.messages if row.id in world.bus.heard}
    written = [each for each in world.bus.written.values() if each.conversation in truth.counters]
    jobs = None
    if kind.jobs:
        mails = world.system.read_log("mail")
        events = {each.event: each.conversation for each in written}
        jobs = await read_jobs(world.admin_url, truth.counters, events, mails)
    return replace(truth, told=told, written=written, jobs=jobs)


def slowed(before: Sequence[float], away: Sequence[float]) -> list[Violation]:
    """Sends that take longer while something is away that no send needs. Twice as long is chance."""
    was, is_now = percentile(before, 0.99), percentile(away, 0.99)
    if is_now <= 2 * was + SLACK_SECONDS:
        return []
    text = f"the 99th percentile of sends rose from {was * 1000:.0f} to {is_now * 1000:.0f} ms"
    return [Violation("sends unaffected", Column.OTHER, text)]


def percentile(values: Sequence[float], part: float) -> float:
    """The value that `part` of them do not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * part))] if ordered else 0.0


def _while_away(journal: Follower, struck: float, healing_from: float) -> tuple[list[float], list[float]]:
    """How long sends took, with all attempts: those before the fault, and those begun before the healing."""
    before: list[float] = []
    away: list[float] = []
    for action in read_history(journal.entries).of("send"):
        answered = action.attempts[-1] + action.seconds
        if not action.acknowledged:
            continue
        if answered < struck:
            before.append(answered - action.attempts[0])
        elif struck <= action.attempts[0] < healing_from:
            away.append(answered - action.attempts[0])
    return before, away


async def fresh_views(http: aiohttp.ClientSession, plan: Plan, history: History) -> dict[str, View]:
    """What each person sees who opens the chat now."""

    async def one(user: str) -> View:
        role = "candidate" if user.startswith(f"{plan.name}-c") else "recruiter"
        bearer = await token(http, plan.issuer, user, role)
        reader = Reader(http, Edges(plan.edges), user, bearer)
        deadline = time.monotonic() + CONVERGENCE_SECONDS
        while True:
            try:
                return await reader.view(key for key, members in history.members.items() if user in members)
            except (*AWAY, NotAnsweredError):
                if time.monotonic() > deadline:
                    raise
                reader.edges.turn()
                await asyncio.sleep(0.2)

    people = sorted(history.people)
    return dict(zip(people, await asyncio.gather(*map(one, people)), strict=True))


def _summed(
    history: History, truth: Truth, violations: list[Violation], convergence: float, journal: Path
) -> Round:
    actions = history.actions.values()
    return Round(
        attempted=len(actions),
        acknowledged=sum(action.acknowledged for action in actions),
        in_doubt=sum(action.doubts > 0 for action in actions),
        violations=violations,
        send_seconds=[action.seconds for action in history.of("send") if action.acknowledged],
        convergence=convergence,
        journal=journal,
        effects=truth.jobs.effects.total() if truth.jobs else 0,
        mails=len(truth.jobs.mails) if truth.jobs else 0,
    )


@asynccontextmanager
async def _client(plan: Plan, path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """The load client's process, ended in any case."""
    path.write_text(json.dumps(asdict(plan)))
    log = path.with_suffix(".log")
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.ledger.client", str(path)),
            cwd=CHECKOUT,
            stdin=asyncio.subprocess.PIPE,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    except (AssertionError, ExceptionGroup) as error:
        error.add_note(f"the end of {log}:\n{log.read_text()[-3000:]}")
        raise
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _reached(client: asyncio.subprocess.Process, journal: Follower, kind: str, count: int) -> None:
    """Waits until the journal has that many entries of a kind."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while journal.count(kind) < count:
        assert client.returncode is None, f"the client ended with {client.returncode}"
        assert time.monotonic() < deadline, (
            f"{journal.count(kind)} of {count} {kind} in {PATIENCE_SECONDS:g} s"
        )
        await asyncio.sleep(0.05)
