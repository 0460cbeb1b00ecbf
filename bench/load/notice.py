"""What everybody is told: a notice as long as most frames, which says when it was made."""

from __future__ import annotations

import time

import orjson

MARK = b'"@'
"""Before the nanoseconds (monotonic, twenty digits) at which a message was published: how a text begins."""
_BYTES = 300
_EMPTY = orjson.dumps(
    {
        "type": "system.notice",
        "eventId": "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b",
        "eventVersion": 1,
        "occurredAt": "2026-01-02T03:04:05.678Z",
        "data": {"noticeId": "0", "code": "announcement", "severity": "info", "text": ""},
    }
)
_BEFORE = _EMPTY[:-4]
_AFTER = b"x" * (_BYTES - len(_BEFORE) - 25) + b'"}}'


def notice() -> bytes:
    """One, made now."""
    return _BEFORE + MARK + b"%020d" % time.monotonic_ns() + _AFTER
