"""The load's own HTTP and WebSocket reading, against servers that send what they like, in pieces."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from bench.load.poll import Http, Lost, Poll, WebSocket, post


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def soon(poll: Poll, done: object) -> bool:
    assert callable(done)
    return poll.run_until(done, time.monotonic() + 5)


def test_answers_in_pieces_and_two_on_one_connection(listener: socket.socket) -> None:
    poll, answers = Poll(), []
    http = Http(poll, url_of(listener), lambda status, body: answers.append((status, body)))
    peer, _ = listener.accept()
    with peer:
        http.send(post("/v1/x", "token", b"{}"))
        request = peer.recv(4096)
        assert request.startswith(b"POST /v1/x HTTP/1.1\r\n")
        assert request.endswith(b"\r\n\r\n{}")
        for piece in (b"HTTP/1.1 201 Created\r\ncontent-le", b"ngth: 5\r\n\r\nab", b"cde"):
            peer.sendall(piece)
            poll.turn(1.0)
        assert soon(poll, lambda: answers == [(201, b"abcde")])
        peer.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        assert soon(poll, lambda: answers[1:] == [(204, b"")])


def frame(payload: bytes, opcode: int = 1) -> bytes:
    size = len(payload)
    head = (
        bytes((0x80 | opcode, size)) if size < 126 else bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    )
    return head + payload


def test_frames_in_any_cut(listener: socket.socket) -> None:
    poll = Poll()
    seen: list[bytes] = []
    ws = WebSocket(poll, url_of(listener), "token", seen.append)
    peer, _ = listener.accept()
    with peer:
        assert b"Authorization: Bearer token" in peer.recv(4096)
        stream = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
        stream += (
            frame(b'{"type":"system.welcome"}') + frame(b"x" * 500) + frame(b'{"type":"system.caught_up"}')
        )
        for at in range(0, len(stream), 7):
            peer.sendall(stream[at : at + 7])
            poll.turn(1.0)
        assert soon(poll, lambda: ws.caught_up)
        assert [len(each) for each in seen] == [25, 500, 27]
        peer.sendall(frame(b"hi", opcode=9))
        poll.turn(5.0)
        assert peer.recv(64) == bytes((0x8A, 0x82, 0, 0, 0, 0)) + b"hi"


def test_a_lost_socket_is_not_passed_over(listener: socket.socket) -> None:
    poll = Poll()
    WebSocket(poll, url_of(listener), "token", None)
    peer, _ = listener.accept()
    peer.recv(4096)
    peer.sendall(b"HTTP/1.1 503 Service Unavailable\r\n\r\n")
    with pytest.raises(Lost, match="503"):
        soon(poll, lambda: False)
    peer.close()
