"""RFC 6455 frames, server side. Pure: bytes in, messages out, and back.

Ours rather than a library's, because a frame for many sockets is built once and written as bytes, a socket
must cost a few KB, and every fault of a peer must end in the close code of the contract after a proper
closing handshake. No extensions: a compressed socket costs ten times the memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum

_SHORT, _MEDIUM, _LONG = struct.Struct("!BB").pack, struct.Struct("!BBH").pack, struct.Struct("!BBQ").pack
MAX_CONTROL = 125
MAX_FRAGMENTS = 64
"""Of one message, empty ones too: thousands of tiny ones would cost far more than their bytes.
Not a setting: clients are told of it (asyncapi.yaml).
"""


class Opcode(IntEnum):
    """What a message is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


_FINAL_TEXT = 0x80 | Opcode.TEXT


class WireError(Exception):
    """The peer broke the protocol, or said more than it may at once."""


def text_frame(payload: bytes) -> bytes:
    """One unfragmented text message."""
    return _frame(_FINAL_TEXT, payload)


def control_frame(opcode: Opcode, payload: bytes = b"") -> bytes:
    """Ping or pong."""
    return _frame(0x80 | opcode, payload[:MAX_CONTROL])


def close_frame(code: int, reason: str = "") -> bytes:
    """Close; `reason` is ASCII and short."""
    return _frame(0x80 | Opcode.CLOSE, struct.pack("!H", code) + reason.encode("ascii")[: MAX_CONTROL - 2])


def close_code(payload: bytes) -> int:
    """The code in a peer's close frame; 1005 when it gave none."""
    return int(struct.unpack_from("!H", payload)[0]) if len(payload) >= 2 else 1005


def _frame(first: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return _SHORT(first, size) + payload
    if size < 65536:
        return _MEDIUM(first, 126, size) + payload
    return _LONG(first, 127, size) + payload


class Reader:
    """Puts a client's bytes together to messages of at most `max_message` bytes."""

    __slots__ = ("_buffer", "_count", "_fragments", "_max_message", "_opcode", "_size")

    def __init__(self, max_message: int) -> None:
        self._max_message = max_message
        self._buffer = b""
        self._fragments: list[bytes] = []
        self._size = 0
        self._count = 0
        self._opcode = Opcode.CONTINUATION  # no message begun

    def feed(self, data: bytes) -> Iterator[tuple[Opcode, bytes]]:
        """The messages that are complete with `data`. Raises WireError; then nothing may be fed any more."""
        data = self._buffer + data if self._buffer else data
        start = 0
        try:
            while (parsed := self._parse(data, start)) is not None:
                opcode, final, payload, start = parsed
                if opcode >= Opcode.CLOSE:
                    yield opcode, payload
                elif (message := self._assemble(opcode, final, payload)) is not None:
                    yield message
        finally:
            self._buffer = data[start:]

    def _parse(self, data: bytes, start: int) -> tuple[Opcode, bool, bytes, int] | None:
        """One frame and where the next begins; None when it is not complete."""
        if len(data) < start + 2:
            return None
        first, second = data[start], data[start + 1]
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise WireError("unknown opcode") from None
        final, size, at = bool(first & 0x80), second & 0x7F, start + 2
        if first & 0x70 or not second & 0x80:
            raise WireError("reserved bit, or not masked")
        if opcode >= Opcode.CLOSE and (not final or size > MAX_CONTROL):
            raise WireError("long or fragmented control frame")
        if size >= 126:
            width, code = (2, "!H") if size == 126 else (8, "!Q")
            if len(data) < at + width:
                return None
            size = struct.unpack_from(code, data, at)[0]
            at += width
        if opcode < Opcode.CLOSE and self._size + size > self._max_message:
            raise WireError("message too long")
        end = at + 4 + size
        if len(data) < end:
            return None
        return opcode, final, _unmask(data[at : at + 4], data[at + 4 : end]), end

    def _assemble(self, opcode: Opcode, final: bool, payload: bytes) -> tuple[Opcode, bytes] | None:
        if (opcode is Opcode.CONTINUATION) is (self._opcode is Opcode.CONTINUATION):
            raise WireError("fragments out of order")
        if opcode is Opcode.CONTINUATION:
            opcode = self._opcode
        elif not final:
            self._opcode = opcode
        if not final:
            self._count += 1
            if self._count >= MAX_FRAGMENTS:
                raise WireError("too many fragments")
            if payload:
                self._fragments.append(payload)
                self._size += len(payload)
            return None
        if self._fragments:
            payload = b"".join((*self._fragments, payload))
            self._fragments = []
        self._size, self._count, self._opcode = 0, 0, Opcode.CONTINUATION
        return opcode, payload


def _unmask(mask: bytes, payload: bytes) -> bytes:
    size = len(payload)
    if not size:
        return b""
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(key, "little")).to_bytes(size, "little")
