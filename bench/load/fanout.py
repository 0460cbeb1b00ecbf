"""Sockets that only listen, counted by their frames' headers, and somebody who publishes to them.

`{edge_url, redis_url, people: [[id, token]], timed,
phases: [{kind, sockets, rate, window, warm_s, measure_s}]}`

Kind `everybody`: a notice to all sockets, published here. Kind `pairs`: durable events to two people each,
published by `bench.load.publish`. `rate`: messages a second; `window`: messages in flight.
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

from bench.load.poll import CLOSE, PING, TEXT, Lost, Poll, WebSocket
from bench.load.program import configuration, cpu_s, say, wait
from bench.percentiles import percentile
from servicekit.realtime import EVERYBODY

MARK = b'"@'
"""Before the nanoseconds (monotonic, twenty digits) at which a message was published: how a text begins."""
_HANDSHAKES = 32
_CONNECT_S = 240.0
_SAMPLED = 16
_FRAME_BYTES = 300
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
        # As long as a frame is to be, but for the time in it.
        self._before = orjson.dumps(
            {
                "type": "system.notice",
                "eventId": "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
                "eventVersion": 1,
                "occurredAt": "2026-01-02T03:04:05.678Z",
                "data": {"noticeId": "0", "code": "announcement", "severity": "info", "text": ""},
            }
        )[:-4]
        self._after = b"x" * (_FRAME_BYTES - len(self._before) - 25) + b'"}}'

    def publish(self, messages: int) -> None:
        for _ in range(messages):
            at = MARK + b"%020d" % time.monotonic_ns()
            self._redis.publish(EVERYBODY, self._before + at + self._after)

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
        self._poll = Poll()
        self._tally = _Tally()
        self._listeners: list[_Listener] = []

    def open(self, number: int) -> float:
        """As many sockets, those of earlier calls among them. Returns the seconds that it took."""
        began, opening = time.monotonic(), list[WebSocket]()
        while len(self._listeners) < number:
            while len(opening) < _HANDSHAKES and len(self._listeners) + len(opening) < number:
                _, token = self._given["people"][len(self._listeners) + len(opening)]
                opening.append(WebSocket(self._poll, self._given["edge_url"], token, None))
            if time.monotonic() > began + _CONNECT_S:
                raise SystemExit("sockets did not open")
            self._poll.turn(0.05)
            # Only from the front, so that the sockets are those of the first people.
            while opening and opening[0].caught_up:
                self._take_over(opening.pop(0).sock)
        return time.monotonic() - began

    def _take_over(self, sock: socket.socket) -> None:
        self._poll.remove(sock)
        listener = _Listener(
            sock, self._tally, len(self._listeners) % self._given.get("timed", _SAMPLED) == 0
        )
        self._listeners.append(listener)
        self._poll.add(sock, listener.readable)

    def measure(self, phase: dict[str, Any]) -> None:
        """One phase, to its last frame."""
        tally, sockets = self._tally, phase["sockets"]
        frames_before = tally.frames
        publisher: _Everybody | _Pairs
        if phase["kind"] == "everybody":
            publisher, copies = _Everybody(self._given["redis_url"]), sockets
        else:
            users = [user for user, _ in self._given["people"][:sockets]]
            publisher, copies = _Pairs(self._given["redis_url"], users), 2
        publisher.publish(1)  # who publishes may have to start first
        if not self._poll.run_until(lambda: tally.frames >= frames_before + copies, time.monotonic() + 30):
            raise SystemExit("the first message was not told")
        began, sent = time.monotonic(), 1

        def due() -> int:
            if "rate" in phase:
                return 1 + int((time.monotonic() - began) * phase["rate"])
            return int((tally.frames - frames_before) // copies + phase["window"])

        def run(until: Callable[[], bool]) -> None:
            nonlocal sent
            while not until():
                if (more := due() - sent) > 0:
                    publisher.publish(more)
                    sent += more
                self._poll.turn(0.002)

        run(lambda: time.monotonic() > began + phase["warm_s"])
        say("measuring")
        wait()
        tally.delays = []
        start, cpu_start, frames_start = time.monotonic(), cpu_s(), tally.frames
        run(lambda: time.monotonic() > start + phase["measure_s"])
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
        publisher.close()
        all_told = frames_before + sent * copies
        if not self._poll.run_until(lambda: tally.frames >= all_told, time.monotonic() + 30):
            raise SystemExit(f"{all_told - tally.frames} frames were not told")


def main() -> None:
    given = configuration()
    load = _Load(given)
    for phase in given["phases"]:
        say("opened", seconds=round(load.open(phase["sockets"]), 1))
        load.measure(phase)
    say("done")


if __name__ == "__main__":
    main()
