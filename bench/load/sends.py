"""Pairs who talk: each sender sends the next message once the receiver has the previous one and it is
acknowledged. `{edge_url, pairs: [[path, sender token, receiver token]]}`, then a line for each turn,
`{warm_s, measure_s}` (see `bench.turn`)."""

from __future__ import annotations

import secrets
import time

from bench.load.poll import Http, Poll, WebSocket, post
from bench.load.program import configuration, cpu_s, next_turn, say, wait
from bench.percentiles import percentile, steady, window_p99s

_CONNECT_S = 60.0
_WINDOW = 100
"""Messages of one pair: half a second."""


class _Pair:
    def __init__(self, poll: Poll, edge_url: str, run: str, number: int, facts: list[str], text: str) -> None:
        path, sender, receiver = facts
        # Client message ids have one length, so that a request is two pieces put together.
        self._mark = f"{run}-{number:04d}-".encode()
        before = b'{"clientMessageId":"' + self._mark
        after = b'","text":"' + text.encode() + b'"}'
        whole = post(path, sender, before + b"0" * 8 + after)
        self._before, self._after = whole[: len(whole) - len(after) - 8], after
        self.http = Http(poll, edge_url, self._acknowledged)
        self.socket = WebSocket(poll, edge_url, receiver, None)
        self._wanted = b""
        self._sent_at = self._acked_at = self._got_at = 0.0
        self._count = 0
        self.stopped = True
        self.acks: list[float] = []
        self.deliveries: list[float] = []
        self.from_ack: list[float] = []

    def begin(self) -> None:
        self.socket.listen(self._got)
        self.stopped = False
        self._next()

    def _next(self) -> None:
        self._count += 1
        number = b"%08d" % self._count
        self._wanted = self._mark + number
        self._acked_at = self._got_at = 0.0
        self._sent_at = time.perf_counter()
        self.http.send(self._before + number + self._after)

    def _acknowledged(self, status: int, body: bytes) -> None:
        if status != 201:
            raise RuntimeError(f"a send was answered {status}: {body[:300]!r}")
        self._acked_at = time.perf_counter()
        self._both()

    def _got(self, payload: bytes) -> None:
        if self._wanted and self._wanted in payload:
            self._got_at = time.perf_counter()
            self._both()

    def _both(self) -> None:
        if self._acked_at and self._got_at:
            self.acks.append(self._acked_at - self._sent_at)
            self.deliveries.append(self._got_at - self._sent_at)
            self.from_ack.append(max(0.0, self._got_at - self._acked_at))
            if not self.stopped:
                self._next()
            else:
                self._wanted = b""

    @property
    def busy(self) -> bool:
        return bool(self._wanted)


def _measure(poll: Poll, pairs: list[_Pair], turn: dict[str, float]) -> None:
    for pair in pairs:
        pair.begin()
    poll.run_until(lambda: False, time.monotonic() + turn["warm_s"])
    say("measuring")
    wait()
    for pair in pairs:
        pair.acks, pair.deliveries, pair.from_ack = [], [], []
    began, cpu_began = time.monotonic(), cpu_s()
    poll.run_until(lambda: False, began + turn["measure_s"])
    elapsed, used = time.monotonic() - began, cpu_s() - cpu_began
    acks = [each for pair in pairs for each in pair.acks]
    deliveries = [each for pair in pairs for each in pair.deliveries]
    say(
        "measured",
        messages=len(acks),
        per_s=round(len(acks) / elapsed, 1),
        ack_ms=[round(percentile(acks, share) * 1e3, 2) for share in (0.5, 0.99)],
        deliver_ms=[round(percentile(deliveries, share) * 1e3, 2) for share in (0.5, 0.99)],
        deliver_steady_p99_ms=round(steady(window_p99s(deliveries, _WINDOW)) * 1e3, 2),
        load_us=round(used * 1e6 / max(1, len(acks)), 1),
    )
    wait()
    for pair in pairs:
        pair.stopped = True
    if not poll.run_until(lambda: not any(pair.busy for pair in pairs), time.monotonic() + 10):
        raise SystemExit("messages were not delivered")
    say("done")


def main() -> None:
    given = configuration()
    poll = Poll()
    text = "x" * 300
    run = secrets.token_hex(4)  # no two runs' ids are one
    pairs = [
        _Pair(poll, given["edge_url"], run, number, facts, text)
        for number, facts in enumerate(given["pairs"])
    ]
    deadline = time.monotonic() + _CONNECT_S
    if not poll.run_until(lambda: all(pair.socket.caught_up for pair in pairs), deadline):
        raise SystemExit("sockets did not open")
    while turn := next_turn(poll):
        _measure(poll, pairs, turn)


if __name__ == "__main__":
    main()
