"""Decodes requests after their callers are known: gRPC itself would do it before everything else."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError

from servicekit.errors import ChatError, Reason
from servicekit.interceptors.base import Call, Proceed, UnaryInterceptor


class DecodingInterceptor(UnaryInterceptor):
    """Gives the bytes to the interceptors outside of it and the message to those inside.

    Bytes that are no message are VALIDATION_FAILED. From gRPC's own decoding a stranger would get the text of
    the exception, and the log a traceback.
    """

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Handles the call when its request can be read."""
        if call.decode is not None:
            try:
                call.request = call.decode(call.request)
            except DecodeError:
                raise ChatError(Reason.VALIDATION_FAILED, "The request cannot be read.") from None
        return await proceed()
