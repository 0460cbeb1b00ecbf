"""List cursors: opaque, signed, and bound to the caller and the query they were made for.

Text: base64url (no padding) of a 16-byte tag, 8 bytes that stand for the caller, and the position as JSON.
The tag is HMAC-SHA256, cut, over version, query and what follows. So neither another caller nor another list
can use it; and somebody else's cursor is told from what is none, and answered as anything of somebody else's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any

import orjson

from edge_gateway import problems

_TAG_BYTES, _CALLER_BYTES = 16, 8
_MAX_TEXT = 2048


class CursorSigner:
    """Writes and reads cursors under one key that all edges share."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"splits-chat cursor v2\0" + key).digest()

    def write(self, position: Any, *, caller: str, query: str) -> str:
        """Cursor for a JSON position."""
        body = self._caller(caller) + orjson.dumps(position)
        return base64.urlsafe_b64encode(self._tag(body, query) + body).rstrip(b"=").decode()

    def read(self, text: str, *, caller: str, query: str) -> Any:
        """The position.

        Raises `not_found` for a cursor of another caller, and `validation_failed` at `/cursor` for what is no
        cursor of this list.
        """
        try:
            if len(text) > _MAX_TEXT:
                raise ValueError
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            # One cursor has one text: spare bits at the end must be as `write` leaves them.
            if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
                raise ValueError
            tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
            if not hmac.compare_digest(tag, self._tag(body, query)):
                raise ValueError
            if not hmac.compare_digest(body[:_CALLER_BYTES], self._caller(caller)):
                raise problems.not_found()
            return orjson.loads(body[_CALLER_BYTES:])
        except (ValueError, binascii.Error):
            raise problems.invalid("/cursor", "cursor", "is not a cursor of this list") from None

    def _tag(self, body: bytes, query: str) -> bytes:
        named = query.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, len(named).to_bytes(4, "big") + named + body, "sha256")[:_TAG_BYTES]

    def _caller(self, user_id: str) -> bytes:
        named = b"caller\0" + user_id.encode("utf-8", "surrogatepass")
        return hmac.digest(self._key, named, "sha256")[:_CALLER_BYTES]
