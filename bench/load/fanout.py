"""Sockets that only listen, counted by their frames' headers, and somebody who publishes to them.

`{edge_url, redis_url, people: [[id, token]], timed}`, then a line for each turn,
`{kind, sockets, rate, window, warm_s, measure_s}` (see `bench.turn`).

Kind `everybody`: a notice to all sockets, published here. Kind `pairs`: durable events to two people each,
published by `bench.load.publish`. `rate`: messages a second; `window`: messages in flight.
`nchan`, instead of the first three, `{url, subscribe, publish}` (two paths): its sockets and its notices.
`timed`: one socket in as many looks at how long what it gets was on its way, 16 when not given (to look at
all is dear beyond a thousand frames a second); when given, all delays are said, in the order in which they
were found.
"""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import orjson
import redis

from bench.load import nchan
from bench.load.notice import MARK, notice
from bench.load.poll import CLOSE, PING, TEXT, Lost, Poll, WebSocket
from bench.load.program import configuration, cpu_s, next_turn, say, wait
from bench.percentiles import percentile
from servicekit.realtime import EVERYBODY

_HANDSHAKES = 32
_CONNECT_S = 240.0
_SAMPLED = 16
_BUFFER = bytearray(256 * 1024)


class _Tally:
    def __init__(self) -> None:
        self.frames = 0
        self.delays: list[float] = []


class _Listener:
    """Takes over an open socket. Some look at what they get: how long the first of a read was on its way."""

    __slots__ = ("_rest", "_sampled", "_sock", "_tally")

    def __init__(self, sock: socket.socket, tally: _Tally, sampled: bool) -> None:
        self._sock = sock
        self._tally = tally
        self._sampled = sampled
        self._rest = b""

    def readable(self) -> None:
        size = self._sock.recv_into(_BUFFER)
        if not size:
            raise Lost("a WebSocket")
        data = _BUFFER
        if self._rest:
            data = bytearray(self._rest + _BUFFER[:size])
            size, self._rest = len(data), b""
        at = count = 0
        while at + 4 <= size:
            length, begin = data[at + 1], at + 2
            if length == 126:
                length, begin = data[at + 2] << 8 | data[at + 3], at + 4
            if begin + length > size:
                break
            opcode = data[at] & 0x0F
            if opcode == TEXT:
                count += 1
            elif opcode == PING:
                self._sock.sendall(bytes((0x8A, 0x80 | length, 0, 0, 0, 0)) + data[begin : begin + length])
            elif opcode == CLOSE:
                raise Lost(f"a WebSocket, closed with {int.from_bytes(data[begin : begin + 2], 'big')}")
            at = begin + length
        if at < size:
            self._rest = bytes(data[at:size])
        self._tally.frames += count
        if self._sampled and count:
            found = data.find(MARK, 0, at) + len(MARK)
            if found >= len(MARK):
                self._tally.delays.append((time.monotonic_ns() - int(data[found : found + 20])) / 1e6)


class _Everybody:
    """Publishes notices to all sockets, as `chatctl announce` does."""

    def __init__(self, redis_url: str) -> None:
        self._redis = redis.Redis.from_url(redis_url)

    def publish(self, messages: int) -> None:
        for _ in range(messages):
            self._redis.publish(EVERYBODY, notice())

    def close(self) -> None:
        self._redis.close()


class _Pairs:
    """Has a process of its own publish: a byte to it is a message."""

    def __init__(self, redis_url: str, users: list[str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.load.publish"], stdin=subprocess.PIPE, bufsize=0
        )
        self._pipe = self._process.stdin
        self._write(orjson.dumps({"redis_url": redis_url, "users": users}) + b"\n")

    def publish(self, messages: int) -> None:
        self._write(b"." * messages)

    def close(self) -> None:
        if self._pipe is not None:
            self._pipe.close()
        self._process.wait(10)

    def _write(self, data: bytes) -> None:
        if self._pipe is not None:
            self._pipe.write(data)


class _Load:
    def __init__(self, given: dict[str, Any]) -> None:
        self._given = given
        self.poll = Poll()
        self._tally = _Tally()
        self._listeners: list[_Listener] = []

    def open(self, number: int) -> None:
        """As many sockets, those of earlier calls among them."""
        if peer := self._given.get("nchan"):
            while len(self._listeners) < number:
                self._listen(nchan.subscribe(peer["url"], peer["subscribe"]))
            return
        began, opening = time.monotonic(), list[WebSocket]()
        while len(self._listeners) < number:
            while len(opening) < _HANDSHAKES and len(self._listeners) + len(opening) < number:
                _, token = self._given["people"][len(self._listeners) + len(opening)]
                opening.append(WebSocket(self.poll, self._given["edge_url"], token, None))
            if time.monotonic() > began + _CONNECT_S:
                raise SystemExit("sockets did not open")
            self.poll.turn(0.05)
            # Only from the front, so that the sockets are those of the first people.
            while opening and opening[0].caught_up:
                sock = opening.pop(0).sock
                self.poll.remove(sock)
                self._listen(sock)

    def _listen(self, sock: socket.socket) -> None:
        listener = _Listener(
            sock, self._tally, len(self._listeners) % self._given.get("timed", _SAMPLED) == 0
        )
        self._listeners.append(listener)
        self.poll.add(sock, listener.readable)

    def _publisher(self, turn: dict[str, Any]) -> _Everybody | _Pairs | nchan.Publisher:
        if peer := self._given.get("nchan"):
            return nchan.Publisher(self.poll, peer["url"], peer["publish"])
        if turn["kind"] == "everybody":
            return _Everybody(self._given["redis_url"])
        users = [user for user, _ in self._given["people"][: turn["sockets"]]]
        return _Pairs(self._given["redis_url"], users)

    def measure(self, turn: dict[str, Any]) -> None:
        """One turn, to its last frame."""
        self.open(turn["sockets"])
        tally, sockets = self._tally, turn["sockets"]
        frames_before = tally.frames
        copies = 2 if turn["kind"] == "pairs" else sockets
        publisher = self._publisher(turn)
        publisher.publish(1)  # who publishes may have to start first
        if not self.poll.run_until(lambda: tally.frames >= frames_before + copies, time.monotonic() + 30):
            raise SystemExit("the first message was not told")
        began, sent = time.monotonic(), 1

        def due() -> int:
            if "rate" in turn:
                return 1 + int((time.monotonic() - began) * turn["rate"])
            return int((tally.frames - frames_before) // copies + turn["window"])

        def run(until: Callable[[], bool]) -> None:
            nonlocal sent
            while not until():
                if (more := due() - sent) > 0:
                    publisher.publish(more)
                    sent += more
                self.poll.turn(0.002)

        run(lambda: time.monotonic() > began + turn["warm_s"])
        say("measuring")
        wait()
        tally.delays = []
        start, cpu_start, frames_start = time.monotonic(), cpu_s(), tally.frames
        run(lambda: time.monotonic() > start + turn["measure_s"])
        elapsed, used, frames = time.monotonic() - start, cpu_s() - cpu_start, tally.frames - frames_start
        say(
            "measured",
            frames=frames,
            frames_per_s=round(frames / elapsed),
            delay_ms=[round(percentile(tally.delays, share), 2) for share in (0.5, 0.99)],
            **({"delays_ms": [round(each, 2) for each in tally.delays]} if "timed" in self._given else {}),
            load_us=round(used * 1e6 / max(1, frames), 2),
        )
        wait()
        all_told = frames_before + sent * copies
        if not self.poll.run_until(lambda: tally.frames >= all_told, time.monotonic() + 30):
            raise SystemExit(f"{all_told - tally.frames} frames were not told")
        publisher.close()
        say("done")


def main() -> None:
    given = configuration()
    load = _Load(given)
    while turn := next_turn(load.poll):
        load.measure(turn)


if __name__ == "__main__":
    main()
