"""Bytes that nobody means, near the ones that somebody does. Pure: the same seed, the same bytes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

Pieces = list[tuple[bytes, bytes]]
"""The members of a JSON object, key and value as they are written."""

ODD_VALUES: tuple[bytes, ...] = (
    b"null",
    b"true",
    b"{}",
    b"[]",
    b'""',
    b"0",
    b"-0",
    b"-1",
    b"1.0",
    b"1e3",
    b"1e999",
    b"-1e999",
    b"NaN",
    b"Infinity",
    b"01",
    b"+1",
    b"0x10",
    str(2**31).encode(),
    str(2**53 - 1).encode(),
    str(2**53).encode(),
    str(2**63 - 1).encode(),
    str(2**63).encode(),
    str(2**64).encode(),
    b"9" * 400,
    b"1." + b"0" * 400 + b"1",
    b'"\\u0000"',
    b'"a\\u0000b"',
    b'"\\ud800"',
    b'"\\udc00\\ud800"',
    b'"\\ud83d\\ude00"',
    b'"\\x"',
    b'"\xff\xfe"',
    b'"\xed\xa0\x80"',
    b'"\x00"',
    b'"\n"',
    '"\u202e\u200d\u0300\u0300\U0001f468\u200d\U0001f469"'.encode(),
    b'"' + b"x" * 65 + b'"',
    b'"' + b"y" * 8193 + b'"',
    b"[" * 1100 + b"]" * 1100,
    b'{"a":' * 1000 + b"1" + b"}" * 1000,
    b"[" * 6000,
    b"[null,[],{},null]",
    b'{"__proto__":{},"":null}',
    b'"0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"',
    b'"0193A1B2-C3D4-7E5F-8A9B-0C1D2E3F4A5B"',
    b'"00000000-0000-0000-0000-000000000000"',
)
_ODD_KEYS = (
    b'""',
    b'"TYPE"',
    b'"type "',
    b'"__class__"',
    b'"\\u0074ype"',
    b'"a\\u0000"',
    b'"\xff"',
    b"type",
    b"1",
)
_BETWEEN = (b"", b" ", b"\n\t", b"\xef\xbb\xbf", b"//", b",", b"\x00")


def pieces(frame: Mapping[str, Any]) -> Pieces:
    """The members of a frame that is as it should be."""
    return [(orjson.dumps(key), orjson.dumps(value)) for key, value in frame.items()]


def joined(members: Pieces) -> bytes:
    """The JSON object of these members."""
    return b"{" + b",".join([key + b":" + value for key, value in members]) + b"}"


class Odd:
    """Makes odd JSON texts out of `valid` ones. `chance` decides everything."""

    def __init__(self, chance: random.Random, valid: Sequence[Mapping[str, Any]]) -> None:
        self._chance = chance
        self._valid = [pieces(frame) for frame in valid]
        self._ways: tuple[Callable[[Pieces], bytes], ...] = (
            self._as_it_is,
            self._another_value,
            self._another_value,
            self._another_value,
            self._one_less,
            self._twice,
            self._another_key,
            self._wrapped,
            self._bent,
            self._bent,
            self._cut,
            self._noise,
        )

    def text(self) -> bytes:
        """One more."""
        members = self._chance.choice(self._valid)
        return self._chance.choice(self._ways)(members)

    def _at(self, members: Pieces) -> int:
        return self._chance.randrange(len(members))

    def _as_it_is(self, members: Pieces) -> bytes:
        return joined(members)

    def _another_value(self, members: Pieces) -> bytes:
        at, members = self._at(members), list(members)
        members[at] = members[at][0], self._chance.choice(ODD_VALUES)
        return joined(members)

    def _one_less(self, members: Pieces) -> bytes:
        at = self._at(members)
        return joined(members[:at] + members[at + 1 :])

    def _twice(self, members: Pieces) -> bytes:
        """A key that is there already, with another value: the last one counts, or none."""
        return joined([*members, (members[self._at(members)][0], self._chance.choice(ODD_VALUES))])

    def _another_key(self, members: Pieces) -> bytes:
        at, members = self._at(members), list(members)
        members[at] = self._chance.choice(_ODD_KEYS), members[at][1]
        return joined(members)

    def _wrapped(self, members: Pieces) -> bytes:
        text, around = joined(members), self._chance.randrange(4)
        if around == 0:
            return b"[" + text + b"]"
        if around == 1:
            return b'{"data":' + text + b"}"
        odd = self._chance.choice(_BETWEEN)
        return odd + text if around == 2 else text + odd + text

    def _bent(self, members: Pieces) -> bytes:
        """A few bytes are others."""
        text = bytearray(joined(members))
        for _ in range(self._chance.randint(1, 4)):
            text[self._chance.randrange(len(text))] = self._chance.randrange(256)
        return bytes(text)

    def _cut(self, members: Pieces) -> bytes:
        text = joined(members)
        return text[: self._chance.randrange(len(text))]

    def _noise(self, _members: Pieces) -> bytes:
        return self._chance.randbytes(self._chance.randrange(64))
