"""A client's bytes: messages framed as RFC 6455 has it, or nearly. Pure."""

from __future__ import annotations

import random
import struct

from tests.fuzz import wiremodel as wire

_CONTROLS = (wire.PING, wire.PING, wire.PONG)
_SIZES = (0, 125, 126, 127, 65535, 65536, 2**31, 2**63 - 1, 2**63, 2**64 - 1)


def framed(payload: bytes, chance: random.Random, *, opcode: int = wire.TEXT, final: bool = True) -> bytes:
    """One frame, masked as a client masks it."""
    size = len(payload)
    first = (0x80 if final else 0) | opcode
    if size < 126:
        head = struct.pack("!BB", first, 0x80 | size)
    elif size < 65536:
        head = struct.pack("!BBH", first, 0x80 | 126, size)
    else:
        head = struct.pack("!BBQ", first, 0x80 | 127, size)
    mask = chance.randbytes(4) if chance.random() < 0.5 else bytes(4)
    if not size or mask == bytes(4):
        return head + mask + payload
    key = int.from_bytes((mask * (size // 4 + 1))[:size], "little")
    return head + mask + (int.from_bytes(payload, "little") ^ key).to_bytes(size, "little")


def message(payload: bytes, chance: random.Random) -> tuple[bytes, int]:
    """One message, sometimes in fragments with pings between; its bytes, and how many frames they are."""
    if chance.random() < 0.9:
        return framed(payload, chance), 1
    cuts = sorted(chance.randrange(len(payload) + 1) for _ in range(chance.randint(1, 5)))
    parts = [payload[start:end] for start, end in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
    frames = []
    for number, part in enumerate(parts):
        opcode = wire.CONTINUATION if number else wire.TEXT
        frames.append(framed(part, chance, opcode=opcode, final=number == len(parts) - 1))
        if chance.random() < 0.2:
            frames.append(control(chance))
    return b"".join(frames), len(frames)


def control(chance: random.Random) -> bytes:
    """A ping or a pong."""
    return framed(chance.randbytes(chance.randrange(126)), chance, opcode=chance.choice(_CONTROLS))


def broken(payload: bytes, chance: random.Random) -> bytes:
    """A frame that most likely breaks the protocol, or ends the conversation, or never ends itself."""
    good = framed(payload, chance)
    match chance.randrange(9):
        case 0:  # any two first bytes
            return chance.randbytes(2) + good[2:]
        case 1:  # a length that is none, or is far too much
            size = chance.choice(_SIZES)
            return struct.pack("!BBQ", good[0], 0xFF, size) + good[2:]
        case 2:
            return struct.pack("!BBH", good[0], 0xFE, chance.randrange(65536)) + good[2:]
        case 3:  # not masked
            return bytes([good[0], good[1] & 0x7F]) + good[2:]
        case 4:  # a kind of frame, known or not, fragmented or not
            return bytes([chance.randrange(256)]) + good[1:]
        case 5:
            return framed(payload, chance, opcode=wire.BINARY)
        case 6:
            code = chance.choice(
                (b"", b"\x03", *(struct.pack("!H", each) for each in (0, 1000, 1005, 3000, 65535)))
            )
            return framed(code + chance.randbytes(chance.randrange(8)), chance, opcode=wire.CLOSE)
        case 7:  # fragments without end
            return framed(b"", chance, final=False) + framed(b"", chance, opcode=0, final=False) * 70
        case _:
            return chance.randbytes(chance.randrange(1, 40))


def cut(data: bytes, chance: random.Random) -> list[bytes]:
    """The same bytes in pieces, as a network may bring them."""
    if chance.random() < 0.7:
        return [data]
    most = chance.choice((1, 3, 64, 1500))
    if most < 64:
        data_, rest = data[:200], data[200:]
    else:
        data_, rest = data, b""
    found, at = [], 0
    while at < len(data_):
        size = chance.randint(1, most)
        found.append(data_[at : at + size])
        at += size
    return [*found, rest] if rest else found
