"""A socket whose peer goes without reading what waits for it."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge_gateway.metrics import Metrics
from edge_gateway.sockets.socket import Limits, Socket
from edge_gateway.sockets.wheel import Wheel

_CLOSE = bytes((0x88, 0x80, 0, 0, 0, 0))
"""A client's frame."""
_WAITING = 8 * 1024 * 1024
"""Bytes: more than the kernel takes."""


class Nobody:
    """Counts how often it hears of the end."""

    def __init__(self) -> None:
        self.ended = 0

    def on_text(self, payload: bytes) -> None: ...

    def on_alive(self) -> None: ...

    def on_control(self) -> bool:
        return False

    def on_heard(self) -> None: ...

    def on_closing(self) -> None:
        self.ended += 1


@pytest.mark.parametrize("says_so", [True, False])
async def test_a_peer_that_goes_and_does_not_read_is_cut_off_in_time(says_so: bool) -> None:
    loop, gone, nobody = asyncio.get_running_loop(), asyncio.Event(), Nobody()
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as peer:
        peer.connect(server.getsockname())
        accepted, _ = server.accept()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
        limits = Limits(
            ping_s=60, close_timeout_s=0.2, max_frame=1024, max_buffer=2 * _WAITING, max_ephemeral=1024
        )
        Socket(
            transport,
            nobody,
            limits,
            Metrics(),
            head=b"",
            pings=Wheel(60),
            on_gone=lambda _socket: gone.set(),
        ).write(bytes(_WAITING))
        if says_so:
            peer.sendall(_CLOSE)
        else:
            peer.shutdown(socket.SHUT_WR)
        async with asyncio.timeout(10):
            await gone.wait()
    assert nobody.ended == 1


class Noting(Nobody):
    """Notes in which turn of the loop each message came."""

    def __init__(self, turns: list[int]) -> None:
        super().__init__()
        self.said: list[tuple[int, bytes]] = []
        self._turns = turns

    def on_text(self, payload: bytes) -> None:
        self.said.append((self._turns[0], payload))


def _text(payload: bytes) -> bytes:
    """A client's frame, masked with zeros."""
    return bytes((0x81, 0x80 | len(payload), 0, 0, 0, 0)) + payload


Connected = tuple[Socket, socket.socket, asyncio.Transport]


@asynccontextmanager
async def connected(listener: Nobody, gone: asyncio.Event) -> AsyncIterator[Connected]:
    """A socket of the edge, its peer and its transport; `gone` is set once the connection is."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as peer:
        peer.connect(server.getsockname())
        accepted, _ = server.accept()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, accepted)
        limits = Limits(ping_s=60, close_timeout_s=5, max_frame=1024, max_buffer=1024, max_ephemeral=1024)
        edge = Socket(
            transport, listener, limits, Metrics(), head=b"", pings=Wheel(60), on_gone=lambda _: gone.set()
        )
        yield edge, peer, transport
        async with asyncio.timeout(10):
            await gone.wait()


async def test_what_comes_together_is_handled_in_many_turns_in_order_and_to_its_end() -> None:
    turns, gone = [0], asyncio.Event()
    noting = Noting(turns)
    loop = asyncio.get_running_loop()

    def turn() -> None:
        turns[0] += 1
        if not gone.is_set():
            loop.call_soon(turn)

    said = [b"%d" % number for number in range(1000)]
    async with connected(noting, gone) as (_, peer, _):
        peer.sendall(b"".join(map(_text, said)) + _CLOSE)  # all of it is there before any of it is read
        loop.call_soon(turn)
    assert [payload for _, payload in noting.said] == said
    in_turn = Counter(number for number, _ in noting.said)
    assert max(in_turn.values()) <= 8
    assert noting.ended == 1


async def test_a_socket_that_is_cut_handles_nothing_of_what_waits() -> None:
    noting = Noting([0])
    async with connected(noting, asyncio.Event()) as (edge, _, transport):
        edge.data_received(_text(b"x") * 100)
        transport.abort()
    assert len(noting.said) == 8


class Faulty(Noting):
    """Fails with the ninth message, which comes in a later turn than the first."""

    def on_text(self, payload: bytes) -> None:
        super().on_text(payload)
        if len(self.said) == 9:
            raise RuntimeError("ninth")


async def test_a_fault_in_a_later_turn_ends_the_connection() -> None:
    faulty, faults = Faulty([0]), list[object]()
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: faults.append(context.get("exception")))
    try:
        async with connected(faulty, asyncio.Event()) as (_, peer, _):
            peer.sendall(_text(b"x") * 100)
    finally:
        loop.set_exception_handler(None)
    assert [str(fault) for fault in faults] == ["ninth"]
    assert len(faulty.said) == 9
