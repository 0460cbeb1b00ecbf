"""Commands to Redis over one connection, each answered by a future.

    last = await commands.call("XREVRANGE", key, "+", "-", "COUNT", 1)
    one, other = commands.call("GET", "a"), commands.call("GET", "b")  # one round trip: ask, then await
    taken = await commands.run(Script(lua), [key], [300, 60_000])

A client library spends several coroutines, a turn of its pool and a timer on each command: ten times what
Redis does for it. Here a command is packed, written and forgotten until its reply comes. Single commands that
are asked turn after turn of the event loop leave in one write, with the first turn that brings no more or
after 2 ms, and are answered in one: a system call, and waking Redis, cost more than the rest.

A connection that is lost or late fails everything that waits in it, and the next command makes a new one.
Nothing is asked twice: it cannot be known whether it was done. Not for subscriptions, nor for commands that
block.
"""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import InvalidResponse, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from servicekit.waves import Wave

_MOST_TOGETHER = 64
"""Commands that wait for others to be asked."""

Word = bytes | str | int | float
"""One part of a command."""


class Script:
    """A Lua script; once it has run, Redis knows it by its hash."""

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


class RedisCommands:
    """Connects when first needed, and anew after each fault.

    `timeout_s`: how long a command waits for its reply, the time to connect included. ValueError when `url`
    is none that redis-py would take.
    """

    def __init__(self, url: str, *, timeout_s: float = 1.0) -> None:
        self._options: dict[str, Any] = dict(parse_url(url))
        self._tls = url.startswith("rediss:")
        self._timeout_s = timeout_s
        self._connection: _Connection | None = None

    def call(self, *command: Word) -> asyncio.Future[Any]:
        """The reply: bytes, an int, None, or a list of these.

        The future raises RedisError as redis-py has it: ResponseError for a command that Redis refuses,
        ConnectionError or TimeoutError (of `redis.exceptions`) when Redis is away.
        """
        return self._connected().ask(pack(*command), None)

    async def run(self, script: Script, keys: Sequence[Word], args: Sequence[Word]) -> Any:
        """The reply of a script. Raises RedisError as `call` does."""
        try:
            return await self.call("EVALSHA", script.sha, len(keys), *keys, *args)
        except ResponseError as error:
            if not is_unknown_script(error):
                raise
        return await self.call("EVAL", script.source, len(keys), *keys, *args)

    async def run_all(
        self, script: Script, calls: Sequence[tuple[Sequence[Word], Sequence[Word]]]
    ) -> list[Any]:
        """The replies of a script, in the order of its calls (keys, arguments), in one round trip.

        Raises RedisError as `call` does; others of the calls may have run then.
        """
        packed = [pack("EVALSHA", script.sha, len(keys), *keys, *args) for keys, args in calls]
        return await self.run_packed(script, packed)

    async def run_packed(self, script: Script, calls: Sequence[bytes]) -> list[Any]:
        """As `run_all`, of calls that are packed: EVALSHA with the script's hash, its keys and arguments."""
        replies = await self._pipeline(calls)
        unknown = [place for place, reply in enumerate(replies) if is_unknown_script(reply)]
        if unknown:
            await self.call("SCRIPT", "LOAD", script.source)
            again = await self._pipeline([calls[place] for place in unknown])
            for place, reply in zip(unknown, again, strict=True):
                replies[place] = reply
        for reply in replies:
            if isinstance(reply, RedisError):
                raise reply
        return replies

    @property
    def connected(self) -> bool:
        """Whether there is a connection that nothing is known against."""
        return self._connection is not None and not self._connection.over

    def close(self) -> None:
        """Ends the connection; what waits in it fails, and what was not sent yet never is."""
        if self._connection is not None:
            self._connection.end(RedisConnectionError("closed"))

    def _pipeline(self, calls: Sequence[bytes]) -> asyncio.Future[list[Any]]:
        """The replies of commands that are packed, errors among them in their places."""
        return self._connected().ask(b"".join(calls), len(calls))

    def _connected(self) -> _Connection:
        connection = self._connection
        if connection is None or connection.over:
            connection = self._connection = _Connection(self._options, self._tls, self._timeout_s)
        return connection


_Asked = tuple[asyncio.Future[Any], float, list[Any] | None, int | None]
"""Who waits, until when; of several commands the replies so far, and how many there will be."""


class _Connection(asyncio.Protocol):
    """From the first try to connect to the end. Commands may be given at once; they leave when they can."""

    def __init__(self, options: Mapping[str, Any], tls: bool, timeout_s: float) -> None:
        self.over = False
        self._loop = asyncio.get_running_loop()
        self._timeout_s = timeout_s
        self._reader = hiredis.Reader(protocolError=InvalidResponse, replyError=ResponseError)
        self._transport: asyncio.Transport | None = None
        self._greeting = _greeting(options)
        self._greeted = 0
        """How many commands of the greeting are answered; all others wait for that."""
        self._unsent: list[bytes] = []
        self._wave = Wave(lambda: len(self._unsent), self._send, most=_MOST_TOGETHER)
        self._waiting: deque[_Asked] = deque()
        """In the order of their commands."""
        self._timer: asyncio.TimerHandle | None = None
        self._connecting = self._loop.create_task(self._connect(options, tls), name="redis commands")

    def ask(self, packed: bytes, count: int | None) -> asyncio.Future[Any]:
        """The reply of one command, or the list of those of `count` commands."""
        reply: asyncio.Future[Any] = self._loop.create_future()
        if count == 0:
            reply.set_result([])
            return reply
        replies: list[Any] | None = None if count is None else []
        self._waiting.append((reply, self._loop.time() + self._timeout_s, replies, count))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout_s, self._on_time)
        if count is not None:
            self._loop.call_soon(self._send)  # a company of its own
        else:
            self._wave.come()
        self._unsent.append(packed)
        return reply

    def end(self, error: RedisError) -> None:
        """Fails what waits. Repeatable."""
        if self.over:
            return
        self.over = True
        self._connecting.cancel()
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        for reply, *_ in self._waiting:
            if not reply.done():
                reply.set_exception(error)
        self._waiting.clear()
        self._unsent.clear()

    async def _connect(self, options: Mapping[str, Any], tls: bool) -> None:
        try:
            if "path" in options:
                await self._loop.create_unix_connection(lambda: self, options["path"])
            else:
                host, port = options.get("host", "127.0.0.1"), options.get("port", 6379)
                context = ssl.create_default_context(cafile=options.get("ssl_ca_certs")) if tls else None
                await self._loop.create_connection(lambda: self, host, port, ssl=context)
        except OSError as error:
            self.end(RedisConnectionError(f"cannot connect: {type(error).__name__}"))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases
        if self.over:
            self._transport.abort()
            return
        for command in self._greeting:
            self._transport.write(pack(*command))
        self._send()

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                self._take(reply)
        except RedisError as error:
            self.end(error)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        self.end(RedisConnectionError("the connection was lost"))

    def _take(self, reply: Any) -> None:
        if self._greeted < len(self._greeting):
            if isinstance(reply, RedisError):
                raise reply
            self._greeted += 1
            self._send()
            return
        if not self._waiting:
            raise InvalidResponse("a reply that nobody asked for")
        future, _, replies, count = self._waiting[0]
        if replies is not None:
            replies.append(reply)
            if len(replies) != count:
                return
            reply = replies
        self._waiting.popleft()
        if future.done():
            return  # whoever asked has gone
        if isinstance(reply, RedisError):
            future.set_exception(reply)
        else:
            future.set_result(reply)

    def _send(self) -> None:
        """Writes what was asked, once Redis knows who asks."""
        if self._transport is not None and self._unsent and self._greeted == len(self._greeting):
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def _on_time(self) -> None:
        """One timer for all: looks at the oldest, which is the first to be late."""
        self._timer = None
        if self._waiting:
            left = self._waiting[0][1] - self._loop.time()
            if left <= 0:
                self.end(RedisTimeoutError("no reply in time"))
            else:
                self._timer = self._loop.call_later(left, self._on_time)


def is_unknown_script(reply: object) -> bool:
    """A Redis that restarted, failed over or was told SCRIPT FLUSH has no scripts."""
    return isinstance(reply, ResponseError) and str(reply).startswith("NOSCRIPT")


def _greeting(options: Mapping[str, Any]) -> list[tuple[Word, ...]]:
    """What a new connection has to say first."""
    commands: list[tuple[Word, ...]] = []
    if password := options.get("password"):
        user = (options["username"],) if options.get("username") else ()
        commands.append(("AUTH", *user, password))
    if database := options.get("db"):
        commands.append(("SELECT", database))
    return commands


def pack(*command: Word) -> bytes:
    """A command as Redis' protocol has it."""
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub means 1-tuples
    return packed
