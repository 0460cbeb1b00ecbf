"""List cursors: opaque, signed, and bound to the caller and the query they were made for.

Text: base64url (no padding) of a 16-byte tag followed by the position as JSON. The tag is HMAC-SHA256, cut,
over version, caller, query and position, so that neither another caller nor another list can use it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any

import orjson

from edge_gateway import problems

_TAG_BYTES = 16
_MAX_TEXT = 2048


class CursorSigner:
    """Writes and reads cursors under one key that all edges share."""

    def __init__(self, key: bytes) -> None:
        self._key = hashlib.sha256(b"splits-chat cursor v1\0" + key).digest()

    def write(self, position: Any, *, caller: str, query: str) -> str:
        """Cursor for a JSON position."""
        body = orjson.dumps(position)
        return base64.urlsafe_b64encode(self._tag(body, caller, query) + body).rstrip(b"=").decode()

    def read(self, text: str, *, caller: str, query: str) -> Any:
        """The position. Raises a `validation_failed` problem at `/cursor` for anything but an own cursor."""
        try:
            if len(text) > _MAX_TEXT:
                raise ValueError
            raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            # One cursor has one text: spare bits at the end must be as `write` leaves them.
            if base64.urlsafe_b64encode(raw).rstrip(b"=").decode() != text:
                raise ValueError
            tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
            if not hmac.compare_digest(tag, self._tag(body, caller, query)):
                raise ValueError
            return orjson.loads(body)
        except (ValueError, binascii.Error):
            raise problems.invalid("/cursor", "cursor", "is not a cursor of this list") from None

    def _tag(self, body: bytes, caller: str, query: str) -> bytes:
        parts = [caller.encode("utf-8", "surrogatepass"), query.encode("utf-8", "surrogatepass"), body]
        signed = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
        return hmac.digest(self._key, signed, "sha256")[:_TAG_BYTES]
