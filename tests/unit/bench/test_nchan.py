"""The load's ends of nchan, against servers that answer what they like."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from bench.load.nchan import Publisher, subscribe
from bench.load.notice import MARK, notice
from bench.load.poll import Lost, Poll, Refused


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def url_of(listener: socket.socket) -> str:
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


def answer_once(listener: socket.socket, answer: bytes) -> threading.Thread:
    def serve() -> None:
        peer, _ = listener.accept()
        with peer:
            assert peer.recv(4096).startswith(b"GET /ws HTTP/1.1\r\n")
            peer.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


@pytest.mark.parametrize(
    ("answer", "error"), [(b"HTTP/1.1 403 Forbidden\r\n\r\n", Refused), (b"HTTP/1.1 101 Sw", Lost)]
)
def test_a_socket_that_is_not_opened(listener: socket.socket, answer: bytes, error: type[Lost]) -> None:
    thread = answer_once(listener, answer)
    with pytest.raises(error):
        subscribe(url_of(listener), "/ws")
    thread.join(10)


def test_a_socket_that_is_opened(listener: socket.socket) -> None:
    thread = answer_once(listener, b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n")
    subscribe(url_of(listener), "/ws").close()
    thread.join(10)


def test_a_notice_is_one_frame_of_300_bytes_that_says_when_it_was_made() -> None:
    first, second = notice(), notice()
    assert len(first) == len(second) == 300
    at = first.find(MARK) + len(MARK)
    assert int(first[at : at + 20]) < int(second[at : at + 20])


def test_notices_wait_while_every_connection_is_at_work(listener: socket.socket) -> None:
    poll = Poll()
    publisher = Publisher(poll, url_of(listener), "/pub")
    peers = [listener.accept()[0] for _ in range(4)]
    publisher.publish(5)
    for peer in peers:
        assert peer.recv(4096).startswith(
            b"POST /pub HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 300\r\n\r\n{"
        )
        peer.setblocking(False)
        with pytest.raises(BlockingIOError):
            peer.recv(1)
    peers[2].sendall(b"HTTP/1.1 201 Created\r\nContent-Length: 2\r\n\r\nok")
    poll.turn(1.0)
    assert peers[2].recv(4096).startswith(b"POST ")
    peers[1].sendall(b"HTTP/1.1 507 Insufficient Storage\r\nContent-Length: 0\r\n\r\n")
    with pytest.raises(RuntimeError, match="507"):
        poll.turn(1.0)
    publisher.close()
    for peer in peers:
        peer.close()
