"""chatctl on the running system, as a person would use it: in a shell."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import jwt
import pytest

from deploy.local.system import System
from tests.support import contract
from tests.support.system import bring_back

LIMIT_S = 120.0
OK, REFUSED, USAGE, NOT_RUNNING = 0, 1, 2, 3


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Chatctl = Callable[..., Awaitable[Result]]


@pytest.fixture
def state(tmp_path: Path, system: System) -> Path:
    """As `make run` leaves it: chatctl knows one edge, so what it does and follows here is at that one."""
    (tmp_path / "run.json").write_text(json.dumps(system.describe()))
    return tmp_path


@pytest.fixture
def chatctl(state: Path) -> Chatctl:
    async def run(*arguments: str, state_dir: Path = state) -> Result:
        process = await spawn(*arguments, state_dir=state_dir)
        out, err = await asyncio.wait_for(process.communicate(), LIMIT_S)
        return Result(process.returncode or 0, out.decode(), err.decode())

    return run


async def spawn(*arguments: str, state_dir: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "chatctl", *arguments),
        env={**os.environ, "STATE_DIR": str(state_dir), "COLUMNS": "200"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def next_frame(lines: asyncio.StreamReader, kind: str) -> dict[str, Any]:
    """The next frame of that type; others are passed over."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            frame: dict[str, Any] = json.loads(await lines.readline())
            if frame["type"] == kind:
                return frame


def stranger(name: str) -> str:
    return f"{name}-{uuid.uuid4().hex[:8]}"


async def test_token_prints_just_a_token_that_the_edge_accepts(chatctl: Chatctl, system: System) -> None:
    ada = stranger("ada")
    asked = ("--user", ada, "--role", "recruiter", "--org", "Engines", "--name", "Ada L.")
    result = await chatctl("token", *asked)
    assert (result.code, result.err) == (OK, "")
    assert result.out.count("\n") == 1
    token = result.out.strip()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert (claims["sub"], claims["role"], claims["org_name"], claims["name"]) == (
        ada,
        "recruiter",
        "Engines",
        "Ada L.",
    )
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session,
        session.get(f"{system.edge_url}/v1/me") as response,
    ):
        assert response.status == 200
        assert (await response.json())["user"]["displayName"] == "Ada L."


async def test_a_request_a_reply_and_a_conversation(chatctl: Chatctl, state: Path) -> None:
    ada, ben = stranger("ada"), stranger("ben")
    as_ada, as_ben = ("--user", ada, "--role", "recruiter"), ("--user", ben, "--role", "candidate")
    # To be written to, one has to be known: to have been here once.
    assert (await chatctl("tail", *as_ben, "--count", "1")).code == OK

    following = await spawn("tail", *as_ben, "--json", state_dir=state)
    assert following.stdout is not None
    welcome = await next_frame(following.stdout, "system.welcome")
    assert welcome["data"]["userId"] == ben

    job = ("--job", "job_1", "--job-title", "Engineer")
    first = await chatctl("send", "Hello Ben", *as_ada, "--to", ben, *job)
    assert first.code == OK
    conversation, number = first.out.split()
    assert number == "#1"
    requested = await next_frame(following.stdout, "conversation.requested")
    assert requested["conversationId"] == conversation
    following.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(following.wait(), LIMIT_S) == 128 + signal.SIGINT

    second = await chatctl("send", "Are you there?", *as_ada, "--conversation", conversation)
    assert (second.code, second.out) == (REFUSED, "")
    assert "request_pending" in second.err

    reply = await chatctl("send", "Yes", *as_ben, "--conversation", conversation, "--key", "k-1", "--json")
    assert json.loads(reply.out)["seq"] == 2
    again = await chatctl("send", "Yes", *as_ben, "--conversation", conversation, "--key", "k-1", "--json")
    assert json.loads(again.out) == json.loads(reply.out)


async def test_an_announcement_reaches_who_is_there(chatctl: Chatctl, state: Path) -> None:
    following = await spawn(
        "tail", "--user", stranger("ada"), "--role", "recruiter", "--json", state_dir=state
    )
    assert following.stdout is not None
    await next_frame(following.stdout, "system.caught_up")

    said = await chatctl("announce", "Back in five minutes.", "--severity", "warning")

    assert (said.code, said.err) == (OK, "")
    assert said.out.startswith("said at ")
    notice = await next_frame(following.stdout, "system.notice")
    contract.check_frame(notice)
    assert (notice["data"]["severity"], notice["data"]["text"]) == ("warning", "Back in five minutes.")
    following.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(following.wait(), LIMIT_S) == 128 + signal.SIGINT


async def test_revoke_and_ban_end_what_is_open_and_unban_lets_in_again(chatctl: Chatctl, state: Path) -> None:
    ada = stranger("ada")
    who = ("--user", ada, "--role", "recruiter")

    async def follow() -> asyncio.subprocess.Process:
        following = await spawn("tail", *who, "--json", state_dir=state)
        assert following.stdout is not None
        await next_frame(following.stdout, "system.caught_up")
        return following

    async def end(following: asyncio.subprocess.Process) -> str:
        _, said = await asyncio.wait_for(following.communicate(), LIMIT_S)
        assert following.returncode == REFUSED
        return said.decode()

    following = await follow()
    revoked = await chatctl("revoke", ada)
    assert (revoked.code, revoked.out, revoked.err) == (OK, f"revoked: {ada}\n", "")
    assert "session revoked (4501)" in await end(following)

    banned = await chatctl("ban", ada, "--until", "2999-01-01T00:00:00Z")
    assert (banned.code, banned.out) == (OK, f"banned: {ada}, until 2999-01-01T00:00:00+00:00\n")
    refused = await chatctl("send", "Hello", *who, "--to", stranger("ben"))
    assert (refused.code, "account_banned" in refused.err) == (REFUSED, True)

    unbanned = await chatctl("unban", ada)
    assert (unbanned.code, unbanned.out) == (OK, f"not banned: {ada}\n")
    following = await follow()
    assert (await chatctl("ban", ada)).out == f"banned: {ada}, until it is lifted\n"
    assert "banned (4502)" in await end(following)
    assert (await chatctl("unban", ada)).code == OK


async def test_gates_repush_pushes_the_rights_of_every_conversation(chatctl: Chatctl, system: System) -> None:
    ada, ben = stranger("ada"), stranger("ben")
    assert (await chatctl("tail", "--user", ben, "--role", "candidate", "--count", "1")).code == OK
    assert (await chatctl("send", "Hello", "--user", ada, "--role", "recruiter", "--to", ben)).code == OK

    result = await chatctl("gates", "repush")

    assert (result.code, result.err) == (OK, "")
    count, _, rest = result.out.partition(" ")
    assert int(count) >= 1
    assert rest == "gates pushed\n"


async def test_doctor_ends_quietly_when_nobody_reads_on(state: Path) -> None:
    process = await spawn("doctor", state_dir=state)
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), LIMIT_S)
    process.stdout._transport.close()  # type: ignore[attr-defined]  # as `head -1` does; no public way
    assert process.stderr is not None
    assert await asyncio.wait_for(process.stderr.read(), LIMIT_S) == b""
    await asyncio.wait_for(process.wait(), LIMIT_S)


async def test_doctor_finds_a_running_system_healthy_and_names_no_secret(
    chatctl: Chatctl, system: System
) -> None:
    result = await chatctl("doctor")
    assert result.code == OK, result.out
    assert all(line.startswith("ok ") for line in result.out.splitlines())
    for part in (
        "edge WebSocket",
        "message_svc gRPC",
        "conversation_svc schema",
        "gates",
        "presence",
        "Redis",
        "RabbitMQ",
    ):
        assert part in result.out
    assert not any(secret in result.out + result.err for secret in secrets_of(system))


async def test_doctor_names_the_part_that_is_gone(chatctl: Chatctl, system: System) -> None:
    system.kill("message_svc")
    try:
        result = await chatctl("doctor")
    finally:
        await bring_back(system, "message_svc")
    assert result.code == REFUSED
    failed = [line for line in result.out.splitlines() if line.startswith("FAIL")]
    assert any("message_svc gRPC" in line for line in failed)
    assert not any("issuer" in line or "Redis" in line for line in failed)
    assert not any(secret in result.out + result.err for secret in secrets_of(system))


@pytest.mark.parametrize(
    "command",
    [
        ("token",),
        ("tail",),
        ("send", "hi", "--to", "ben"),
        ("announce", "hi"),
        ("revoke", "ada"),
        ("doctor",),
    ],
)
async def test_without_a_running_system_every_command_says_so(
    chatctl: Chatctl, tmp_path: Path, command: tuple[str, ...]
) -> None:
    who = () if command[0] in ("announce", "revoke", "doctor") else ("--user", "ada", "--role", "recruiter")
    result = await chatctl(*command, *who, state_dir=tmp_path / "nothing")
    assert (result.code, result.out) == (NOT_RUNNING, "")
    assert "make run" in result.err
    assert "Traceback" not in result.err


async def test_a_system_that_is_gone_is_told_in_one_line(
    chatctl: Chatctl, tmp_path: Path, system: System
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    url = "http://127.0.0.1:9"
    (gone / "run.json").write_text(json.dumps({**system.describe(), "edgeUrl": url, "issuerUrl": url}))
    result = await chatctl("token", "--user", "ada", "--role", "recruiter", state_dir=gone)
    assert (result.code, result.out, result.err.count("\n")) == (NOT_RUNNING, "", 1)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("token", "--user", "ada"), "--role is needed"),
        (("token", "--user", "ada", "--role", "emperor"), "--role is one of"),
        (("announce", " "), "1 to 2000 characters"),
        (("ban", "ada", "--until", "tomorrow"), "no time such as"),
        (("announce", "\udcff"), "text in UTF-8"),
        (("send", "hi", "--user", "maya.lindqvist"), "either --to or --conversation"),
        (("token",), "--user"),
    ],
)
async def test_wrong_usage_is_told_and_has_its_own_code(
    chatctl: Chatctl, arguments: tuple[str, ...], said: str
) -> None:
    result = await chatctl(*arguments)
    assert (result.code, result.out) == (USAGE, "")
    assert said in result.err


def secrets_of(system: System) -> set[str]:
    described: dict[str, Any] = system.describe()
    urls = [*described["databaseUrls"].values(), described["redisUrl"], described["amqpUrl"]]
    return {password for url in urls if (password := urlsplit(url).password) and len(password) > 5}
