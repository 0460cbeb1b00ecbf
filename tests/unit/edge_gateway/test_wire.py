"""RFC 6455 frames, whatever the pieces they come in."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gateway.sockets import wire
from edge_gateway.sockets.wire import Opcode, Reader, WireError

LIMIT = 1000
MASK = b"\x01\x02\x03\x04"


def client_frame(opcode: int, payload: bytes, *, final: bool = True, first: int | None = None) -> bytes:
    """A frame as a client masks it; `first` sets the first byte."""
    head = bytes([first if first is not None else (0x80 if final else 0) | opcode])
    size = len(payload)
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += struct.pack("!BH", 0x80 | 126, size)
    else:
        head += struct.pack("!BQ", 0x80 | 127, size)
    return head + MASK + bytes(byte ^ MASK[at % 4] for at, byte in enumerate(payload))


def read(*pieces: bytes, limit: int = LIMIT) -> list[tuple[Opcode, bytes]]:
    reader = Reader(limit)
    return [message for piece in pieces for message in reader.feed(piece)]


@given(
    messages=st.lists(
        st.tuples(st.sampled_from([1, 2]), st.lists(st.binary(max_size=300), min_size=1, max_size=3)),
        max_size=5,
    ),
    cuts=st.lists(st.integers(1, 40), max_size=60),
    ping=st.binary(max_size=125),
)
def test_messages_come_out_whole_however_they_are_cut_and_fragmented(
    messages: list[tuple[int, list[bytes]]], cuts: list[int], ping: bytes
) -> None:
    stream, expected = b"", []
    for opcode, fragments in messages:
        for number, fragment in enumerate(fragments):
            last = number == len(fragments) - 1
            stream += client_frame(opcode if number == 0 else 0, fragment, final=last)
            if not last:
                stream += client_frame(9, ping)
                expected.append((Opcode.PING, ping))
        expected.append((Opcode(opcode), b"".join(fragments)))
    pieces, at = [], 0
    for cut in cuts:
        pieces.append(stream[at : at + cut])
        at += cut
    assert read(*pieces, stream[at:]) == expected


@given(st.binary(max_size=400))
def test_no_bytes_do_anything_but_wait_come_out_or_end_it(data: bytes) -> None:
    reader = Reader(LIMIT)
    try:
        for at in range(0, len(data), 7):
            for _, payload in reader.feed(data[at : at + 7]):
                assert len(payload) <= LIMIT
    except WireError:
        return


@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, LIMIT])
def test_a_message_may_be_as_long_as_the_limit(size: int) -> None:
    assert read(client_frame(1, b"x" * size)) == [(Opcode.TEXT, b"x" * size)]


BROKEN = {
    "longer than the limit": client_frame(1, b"x" * (LIMIT + 1)),
    "longer than the limit in fragments": client_frame(1, b"x" * LIMIT, final=False) + client_frame(0, b"x"),
    "of two to the sixty-three": bytes([0x81, 0xFF]) + struct.pack("!Q", 2**63),
    "not masked": bytes([0x81, 1]) + b"x",
    "with a reserved bit": client_frame(1, b"x", first=0xC1),
    "of an unknown kind": client_frame(3, b"x"),
    "of an unknown control kind": client_frame(11, b"x"),
    "a continuation of nothing": client_frame(0, b"x"),
    "a message inside a message": client_frame(1, b"x", final=False) + client_frame(1, b"y"),
    "a fragmented ping": client_frame(9, b"x", final=False),
    "a long ping": client_frame(9, b"x" * 126),
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_frame_breaks_the_protocol_that_is(what: str) -> None:
    with pytest.raises(WireError):
        read(BROKEN[what])


def test_the_length_is_refused_before_the_message_has_come() -> None:
    with pytest.raises(WireError):
        read(client_frame(1, b"x" * (LIMIT + 1))[:4])


def test_what_came_before_a_broken_frame_is_still_heard() -> None:
    heard = Reader(LIMIT).feed(client_frame(1, b"a") + client_frame(3, b""))
    assert next(heard) == (Opcode.TEXT, b"a")
    with pytest.raises(WireError):
        next(heard)


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_a_text_frame_has_the_shortest_length_that_fits(size: int) -> None:
    frame = wire.text_frame(b"x" * size)
    head = 2 if size < 126 else 4 if size < 65536 else 10
    assert frame[0] == 0x81
    assert len(frame) == head + size
    assert frame[head:] == b"x" * size


def test_a_close_frame_carries_its_code() -> None:
    frame = wire.close_frame(4003, "slow_consumer")
    assert frame[0] == 0x88
    assert wire.close_code(frame[2:]) == 4003
    assert wire.close_code(b"") == 1005
