"""The edge's connection to Redis for subscriptions: many channels, each confirmed before it is relied on.

A lost connection is a gap: what was published meanwhile is gone from here. After each reconnect `on_gap` is
called once, before any new event, so that whoever relied on the channels starts over. Nothing is subscribed
again but `always`, and what these carry may come a moment before `on_gap`.

Redis' own protocol (RESP2) is spoken here, because a client library reads one message at a time through
several coroutines; here a burst of events is parsed and handed on in one step.
"""

from __future__ import annotations

import asyncio
import random
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, cast

import hiredis
import structlog
from redis.asyncio.connection import parse_url

from servicekit.errors import ChatError, Reason

_log = structlog.get_logger(__name__)


def _away() -> ChatError:
    return ChatError(Reason.UNAVAILABLE, "Events are not available; try again.", retry_after_ms=1000)


class Channels:
    """Subscriptions over one connection; `on_message(channel, payload)` is called for each event in turn.

    `always`: channels of every connection, confirmed before it counts as one. `connect_s`: for that, in
    seconds. `silence_s`: Redis answers pings; without a byte for so long the connection is taken for dead.
    ValueError when `url` is none that redis-py would take.
    """

    def __init__(
        self,
        url: str,
        *,
        on_message: Callable[[bytes, bytes], None],
        on_gap: Callable[[], None],
        on_state: Callable[[bool], None] = lambda _connected: None,
        always: Sequence[str] = (),
        connect_s: float,
        silence_s: float,
    ) -> None:
        self._connect_s = connect_s
        self._silence_s = silence_s
        self._options: dict[str, Any] = dict(parse_url(url))
        self._tls = url.startswith("rediss:")
        self._on_message = on_message
        self._on_gap = on_gap
        self._on_state = on_state
        self._always = [name.encode() for name in always]
        self._connection: _Connection | None = None
        self._had_one = False

    @property
    def connected(self) -> bool:
        """Whether events arrive."""
        return self._connection is not None

    def subscribe(self, channel: str) -> asyncio.Future[None]:
        """Done once Redis has confirmed. Raises, or fails with, ChatError UNAVAILABLE when it is away."""
        if self._connection is None:
            raise _away()
        return self._connection.subscribe(channel.encode())

    def unsubscribe(self, channel: str) -> None:
        """Asks for no more events; those on their way may still come."""
        if self._connection is not None:
            self._connection.unsubscribe(channel.encode())

    async def run(self, stop: asyncio.Event) -> None:
        """Keeps connected until `stop` is set."""
        stopped = asyncio.create_task(stop.wait())
        failures = 0
        while not stop.is_set():
            try:
                async with asyncio.timeout(self._connect_s):
                    connection = await _connect(self._options, self._tls, self._on_message, self._always)
            except (OSError, TimeoutError, hiredis.HiredisError, ChatError) as error:
                failures += 1
                _log.warning("redis_unreachable", error=type(error).__name__, failures=failures)
                pause = min(2.0, 0.1 * 2.0 ** min(failures, 5)) * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load
                await asyncio.wait({stopped}, timeout=pause)
                continue
            failures = 0
            if self._had_one:
                self._on_gap()
            self._had_one = True
            self._connection = connection
            self._on_state(True)
            beat = asyncio.create_task(connection.beat(self._silence_s))
            waiting: set[asyncio.Future[Any]] = {connection.lost, stopped}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            beat.cancel()
            self._connection = None
            self._on_state(False)
            connection.close()
            if not stop.is_set():
                _log.warning("redis_lost")


class _Connection(asyncio.Protocol):
    def __init__(self, on_message: Callable[[bytes, bytes], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_message = on_message
        self._parser = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._unsent: list[bytes] = []
        self._replies: deque[asyncio.Future[Any]] = deque()
        # Each SUBSCRIBE is confirmed once, in order; an UNSUBSCRIBE may lie between two of one channel.
        self._pending: dict[bytes, deque[asyncio.Future[None]]] = {}
        self._heard_at = self._loop.time()
        self.lost: asyncio.Future[None] = self._loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but its bases

    def data_received(self, data: bytes) -> None:
        self._heard_at = self._loop.time()
        try:
            self._parser.feed(data)
            while (reply := self._parser.gets()) is not False:
                self._handle(reply)
        except hiredis.ProtocolError:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's signature
        waiting = [*self._replies, *(each for queue in self._pending.values() for each in queue)]
        self._replies.clear()
        self._pending.clear()
        for future in waiting:
            if not future.done():
                future.set_exception(_away())
        if not self.lost.done():
            self.lost.set_result(None)

    async def call(self, *command: bytes) -> Any:
        """A command before the first subscription."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._replies.append(future)
        self.send(*command)
        return await future

    def subscribe(self, channel: bytes) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        self.send(b"SUBSCRIBE", channel)
        self._pending.setdefault(channel, deque()).append(future)
        return future

    def unsubscribe(self, channel: bytes) -> None:
        if self._alive:
            self.send(b"UNSUBSCRIBE", channel)

    def send(self, *command: bytes) -> None:
        """Leaves with all that is sent in the same turn of the loop: uvloop would write each at once."""
        if self._transport is None or not self._alive:
            raise _away()
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub means 1-tuples

    def _flush(self) -> None:
        sent, self._unsent = b"".join(self._unsent), []
        if self._transport is not None:
            self._transport.write(sent)

    @property
    def _alive(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    async def beat(self, silence_s: float) -> None:
        """Pings, and gives the connection up when it is silent."""
        while not self.lost.done():
            await asyncio.sleep(silence_s / 3)
            if self._loop.time() - self._heard_at > silence_s:
                self.close()
                return
            if self._alive:
                self.send(b"PING")

    def _handle(self, reply: Any) -> None:
        if isinstance(reply, list) and reply:
            kind = reply[0]
            if kind == b"message":
                self._on_message(reply[1], reply[2])
                return
            if kind == b"subscribe":
                self._confirm(reply[1])
                return
            if kind in (b"unsubscribe", b"pong"):
                return
        if self._replies:
            future = self._replies.popleft()
            if future.done():
                return
            if isinstance(reply, Exception):
                future.set_exception(reply)
            else:
                future.set_result(reply)
        elif isinstance(reply, Exception):
            # Redis refused a subscription: which one cannot be told, so none can be relied on.
            _log.error("redis_refused", error=str(reply)[:200])
            self.close()

    def _confirm(self, channel: bytes) -> None:
        queue = self._pending.get(channel)
        if queue:
            future = queue.popleft()
            if not queue:
                del self._pending[channel]
            if not future.done():
                future.set_result(None)


async def _connect(
    options: dict[str, Any], tls: bool, on_message: Callable[[bytes, bytes], None], always: Sequence[bytes]
) -> _Connection:
    loop = asyncio.get_running_loop()
    if "path" in options:
        _, connection = await loop.create_unix_connection(lambda: _Connection(on_message), options["path"])
    else:
        _, connection = await loop.create_connection(
            lambda: _Connection(on_message),
            options.get("host", "127.0.0.1"),
            options.get("port", 6379),
            ssl=ssl.create_default_context(cafile=options.get("ssl_ca_certs")) if tls else None,
        )
    try:
        if password := options.get("password"):
            user = [options["username"].encode()] if options.get("username") else []
            await connection.call(b"AUTH", *user, password.encode())
        await connection.call(b"PING")
        for name in always:
            await connection.subscribe(name)
    except BaseException:
        connection.close()
        raise
    return connection
