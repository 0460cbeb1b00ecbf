"""Commands over a lean connection: answered in order, in time, and never in doubt about a fault."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from urllib.parse import urlsplit, urlunsplit

import pytest
import pytest_asyncio
import redis.asyncio as redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from servicekit.redis_commands import RedisCommands, Script
from tests.support.proxy import proxy_to

ECHO = Script("return {KEYS[1], ARGV[1], #ARGV}")


@pytest_asyncio.fixture(loop_scope="session")
async def commands(redis_url: str) -> AsyncIterator[RedisCommands]:
    running = RedisCommands(redis_url, timeout_s=20)
    yield running
    running.close()


def key() -> str:
    return f"commands:{secrets.token_hex(6)}"


async def test_replies_come_in_the_order_of_their_commands(commands: RedisCommands) -> None:
    name = key()
    asked = [commands.call("INCR", name) for _ in range(500)]
    assert await asyncio.gather(*asked) == list(range(1, 501))
    assert await commands.call("GET", name) == b"500"
    assert await commands.call("GET", key()) is None


async def test_what_turn_after_turn_asks_leaves_in_one_write() -> None:
    writes: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while written := await reader.read(65_536):
            writes.append(written)
            writer.write(b"+PONG\r\n" * written.count(b"PING"))
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        commands = RedisCommands(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}")
        await commands.call("PING")
        asked = []
        for _ in range(5):
            asked += [commands.call("PING"), commands.call("PING")]
            await asyncio.sleep(0)
        assert await asyncio.gather(*asked) == [b"PONG"] * 10
        asked = []
        for number in range(200):
            asked.append(commands.call("PING"))
            await asyncio.sleep(0)
            assert sum(reply.done() for reply in asked) >= number - 100, "who asks for ever holds nobody up"
        await asyncio.gather(*asked)
        commands.close()
    assert [written.count(b"PING") for written in writes[:2]] == [1, 10]


async def test_turns_that_take_long_are_not_the_time_of_redis(redis_url: str) -> None:
    commands = RedisCommands(redis_url, timeout_s=0.2)
    await commands.call("PING")
    asked = []
    for _ in range(40):
        asked.append(commands.call("PING"))
        await asyncio.sleep(0)
        time.sleep(0.006)  # noqa: ASYNC251 - so long is a turn here
    assert await asyncio.gather(*asked) == [b"PONG"] * 40
    commands.close()


async def test_bytes_and_numbers_are_kept_as_they_are(commands: RedisCommands) -> None:
    name = key()
    value = bytes(range(256)) * 400
    await commands.call("RPUSH", name, value, 12, "äöü", b"")
    assert await commands.call("LRANGE", name, 0, -1) == [value, b"12", "äöü".encode(), b""]


async def test_a_refused_command_is_an_error_of_its_own(commands: RedisCommands) -> None:
    name = key()
    good, bad, also_good = (
        commands.call("SET", name, "text"),
        commands.call("INCR", name),
        commands.call("GET", name),
    )
    assert await good == b"OK"
    with pytest.raises(ResponseError, match="not an integer"):
        await bad
    assert await also_good == b"text"


async def test_a_script_runs_also_where_it_is_not_known(
    commands: RedisCommands, redis_client: redis.Redis
) -> None:
    await redis_client.script_flush()
    for _ in range(2):
        assert await commands.run(ECHO, ["k"], ["a", 2]) == [b"k", b"a", 2]
    assert await redis_client.script_exists(ECHO.sha) == [True]
    with pytest.raises(ResponseError):
        await commands.run(Script("return redis.call('INCR')"), [], [])


async def test_who_gives_up_takes_nobody_elses_reply(commands: RedisCommands) -> None:
    name = key()
    await commands.call("SET", name, "mine")
    given_up, kept = commands.call("GET", key()), commands.call("GET", name)
    given_up.cancel()
    assert await kept == b"mine"


async def test_a_lost_connection_fails_what_waits_and_the_next_command_makes_a_new_one(
    redis_url: str,
) -> None:
    async with proxy_to(redis_url) as proxy:
        commands = RedisCommands(proxy.url, timeout_s=20)
        assert await commands.call("PING") == b"PONG"
        proxy.freeze()
        waiting = [commands.call("PING") for _ in range(3)]
        await proxy.cut()
        for each in waiting:
            with pytest.raises(RedisConnectionError):
                await each
        with pytest.raises(RedisConnectionError):
            await commands.call("PING")
        await proxy.heal()
        assert await commands.call("PING") == b"PONG"
        commands.close()


async def test_many_calls_of_a_script_go_together_also_where_it_is_not_known(
    commands: RedisCommands,
) -> None:
    unknown = Script(f"return KEYS[1] .. ARGV[1] -- {secrets.token_hex(6)}")
    calls = [((f"k{number}",), (number,)) for number in range(50)]
    for _ in range(2):
        replies = await commands.run_all(unknown, calls)
        assert replies == [f"k{number}{number}".encode() for number in range(50)]
    assert await commands.run_all(unknown, []) == []


async def test_of_many_calls_of_a_script_one_that_fails_is_told(commands: RedisCommands) -> None:
    picky = Script("return redis.call('INCR', KEYS[1]) + ARGV[1]")
    good = key()
    with pytest.raises(ResponseError):
        await commands.run_all(picky, [((good,), (1,)), ((good,), ("not a number",)), ((good,), (1,))])
    assert await commands.call("GET", good) == b"3"


async def test_a_redis_that_hangs_is_away_in_time_also_while_connecting(redis_url: str) -> None:
    async with proxy_to(redis_url) as proxy:
        commands = RedisCommands(proxy.url, timeout_s=0.2)
        proxy.freeze()
        for _ in range(2):  # the second needs a new connection
            with pytest.raises(RedisTimeoutError):
                await commands.call("PING")
        await proxy.heal()
        patient = RedisCommands(proxy.url, timeout_s=20)
        assert await patient.call("PING") == b"PONG"
        patient.close()
        commands.close()


async def test_a_connection_says_who_it_is_and_which_database_it_means(
    redis_url: str, redis_client: redis.Redis
) -> None:
    user, password, name = f"edge-{secrets.token_hex(4)}", secrets.token_hex(8), key()
    await redis_client.acl_setuser(
        user, enabled=True, passwords=[f"+{password}"], keys=["*"], commands=["+@all"]
    )
    parts = urlsplit(redis_url)

    def url(password: str, database: int) -> str:
        address = f"{user}:{password}@{parts.hostname}:{parts.port}"
        return urlunsplit(parts._replace(netloc=address, path=f"/{database}"))

    right = RedisCommands(url(password, 3), timeout_s=20)
    # Both are asked before anything is connected.
    said, who = right.call("SET", name, "there"), right.call("ACL", "WHOAMI")
    assert (await said, await who) == (b"OK", user.encode())
    assert await redis_client.get(name) is None
    assert await right.call("GETDEL", name) == b"there"
    right.close()
    for wrong in (url("guessed", 3), url(password, 999_999)):
        commands = RedisCommands(wrong, timeout_s=20)
        with pytest.raises(RedisError):
            await commands.call("SET", name, "nowhere")
        commands.close()
    assert await redis_client.get(name) is None
    await redis_client.acl_deluser(user)


async def test_what_was_asked_before_closing_is_not_done_later(
    redis_url: str, redis_client: redis.Redis
) -> None:
    name = key()
    async with proxy_to(redis_url) as proxy:
        commands = RedisCommands(proxy.url, timeout_s=20)
        assert not commands.connected
        waiting = commands.call("SET", name, "late")
        assert commands.connected
        commands.close()
        assert not commands.connected
        with pytest.raises(RedisConnectionError):
            await waiting
        assert await commands.call("PING") == b"PONG"  # closed is not over: whoever asks again is answered
        assert await redis_client.get(name) is None
        commands.close()


async def test_closing_fails_what_waits(redis_url: str) -> None:
    async with proxy_to(redis_url) as proxy:
        commands = RedisCommands(proxy.url, timeout_s=20)
        proxy.freeze()
        waiting = commands.call("PING")
        commands.close()
        with pytest.raises(RedisConnectionError):
            await waiting


@pytest.mark.parametrize("url", ["http://127.0.0.1:6379", "nonsense"])
def test_what_is_no_address_of_a_redis_is_refused_at_once(url: str) -> None:
    with pytest.raises(ValueError, match="URL"):
        RedisCommands(url)
