"""What a server has to make of a client's bytes (RFC 6455), written down slowly: the fast reader's oracle.

It takes all bytes at once, so that however they were cut on their way can make no difference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MAX_FRAGMENTS = 64


class End(Enum):
    """How it stands after the last byte."""

    WHOLE = "whole"
    WAITING = "waiting"
    """For the rest of a frame or of a message."""
    BROKEN = "broken"


@dataclass
class Heard:
    """Messages as opcode and payload, in order."""

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    end: End = End.WHOLE


def hear(data: bytes, *, longest: int) -> Heard:
    """All that the bytes say, up to the first thing that breaks the protocol."""
    heard, at = Heard(), 0
    begun: int | None = None
    parts: list[bytes] = []
    while True:
        heard.end = End.WHOLE if at == len(data) and begun is None else End.WAITING
        if len(data) - at < 2:
            return heard
        final, reserved, opcode = bool(data[at] >> 7), data[at] >> 4 & 7, data[at] & 15
        masked, size = bool(data[at + 1] >> 7), data[at + 1] & 127
        control = opcode >= CLOSE
        known = opcode in (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG)
        if not known or reserved or not masked or (control and (not final or size > 125)):
            heard.end = End.BROKEN
            return heard
        at += 2
        wide = {126: 2, 127: 8}.get(size, 0)
        if len(data) - at < wide:
            return heard
        if wide:
            size, at = int.from_bytes(data[at : at + wide], "big"), at + wide
        if not control and sum(map(len, parts)) + size > longest:
            heard.end = End.BROKEN
            return heard
        if len(data) - at < 4 + size:
            return heard
        mask, at = data[at : at + 4], at + 4
        payload = bytes(byte ^ mask[place % 4] for place, byte in enumerate(data[at : at + size]))
        at += size
        if control:
            heard.messages.append((opcode, payload))
            continue
        if (opcode == CONTINUATION) == (begun is None):
            heard.end = End.BROKEN
            return heard
        begun = opcode if begun is None else begun
        parts.append(payload)
        if final:
            heard.messages.append((begun, b"".join(parts)))
            begun, parts = None, []
        elif len(parts) >= MAX_FRAGMENTS:
            heard.end = End.BROKEN
            return heard
