"""Pairs who talk: each sender sends the next message once the receiver has the previous one and it is
acknowledged. `{edge_urls, pairs: [[path, sender token, receiver token]]}`, then a line for each turn,
`{warm_s, measure_s}` (see `bench.turn`). Of several edges each has as many senders and receivers as the
others, and as many pairs are at two of them as chance would have it."""

from __future__ import annotations

import secrets
import time

from bench.load.poll import Http, Poll, WebSocket, post
from bench.load.program import configuration, next_turn
from bench.load.talk import play

_CONNECT_S = 60.0


class _Pair:
    def __init__(
        self, poll: Poll, edge_urls: list[str], run: str, number: int, facts: list[str], text: str
    ) -> None:
        path, sender, receiver = facts
        edges = len(edge_urls)
        senders, receivers = edge_urls[number % edges], edge_urls[(number + number // edges) % edges]
        # Client message ids have one length, so that a request is two pieces put together.
        self._mark = f"{run}-{number:04d}-".encode()
        before = b'{"clientMessageId":"' + self._mark
        after = b'","text":"' + text.encode() + b'"}'
        whole = post(path, sender, before + b"0" * 8 + after)
        self._before, self._after = whole[: len(whole) - len(after) - 8], after
        self.http = Http(poll, senders, self._acknowledged)
        self.socket = WebSocket(poll, receivers, receiver, None)
        self._wanted = b""
        self._sent_at = self._acked_at = self._got_at = 0.0
        self.count = 0
        self.stopped = True
        self.acks: list[float] = []
        self.deliveries: list[float] = []

    def begin(self) -> None:
        self.socket.listen(self._got)
        self.stopped = False
        self._next()

    def _next(self) -> None:
        self.count += 1
        number = b"%08d" % self.count
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
            if not self.stopped:
                self._next()
            else:
                self._wanted = b""

    @property
    def busy(self) -> bool:
        return bool(self._wanted)

    def forget(self) -> None:
        self.acks, self.deliveries = [], []

    def found(self) -> dict[str, list[float]]:
        return {"ack": self.acks, "deliver": self.deliveries}


def main() -> None:
    given = configuration()
    poll = Poll()
    text = "x" * 300
    run = secrets.token_hex(4)  # no two runs' ids are one
    pairs = [
        _Pair(poll, given["edge_urls"], run, number, facts, text)
        for number, facts in enumerate(given["pairs"])
    ]
    deadline = time.monotonic() + _CONNECT_S
    if not poll.run_until(lambda: all(pair.socket.caught_up for pair in pairs), deadline):
        raise SystemExit("sockets did not open")
    while turn := next_turn(poll):
        play(poll, pairs, turn)


if __name__ == "__main__":
    main()
