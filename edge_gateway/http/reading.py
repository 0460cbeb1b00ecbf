"""Request bodies off the wire: bounded before anything is parsed."""

from __future__ import annotations

import asyncio

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.helpers import parse_content_type
from aiohttp.http_exceptions import HttpProcessingError

from edge_gateway import problems
from edge_gateway.http.visitor import Visitor
from servicekit.errors import Reason


async def read_body(request: web.BaseRequest | Visitor, limit: int, timeout_s: float) -> bytes:
    """All of the body, at most `limit` bytes, within `timeout_s` seconds.

    Raises ProblemError: 413, 415 for a compressed one, 400 for broken framing, 503 when it does not come.
    """
    if request.headers.get("Content-Encoding", "identity").strip().lower() not in ("", "identity"):
        raise problems.failure(Reason.UNSUPPORTED_MEDIA_TYPE)
    body = request.body if isinstance(request, Visitor) else await _from_server(request, limit, timeout_s)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _from_server(request: web.BaseRequest, limit: int, timeout_s: float) -> bytes:
    # A body may be compressed for its way only, too.
    if request.headers.get("Transfer-Encoding", "chunked").strip().lower() != "chunked":
        raise problems.failure(Reason.UNSUPPORTED_MEDIA_TYPE)
    if (request.content_length or 0) > limit:
        raise _too_large(limit)
    if not request.can_read_body:
        return b""
    # To an older client that would be the answer.
    asks_first = (
        request.headers.get("Expect", "").lower() == "100-continue" and request.version >= HttpVersion11
    )
    if asks_first and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        async with asyncio.timeout(timeout_s):
            return await _read(request.content, limit)
    except TimeoutError:
        raise problems.failure(Reason.UNAVAILABLE, detail="The body did not arrive in time.") from None
    except (HttpProcessingError, web.RequestPayloadError):
        raise problems.invalid("", "framing", "is not framed as HTTP has it") from None


async def _read(content: StreamReader, limit: int) -> bytes:
    """What comes, until it ends or is more than `limit`."""
    body = bytearray()
    async for chunk in content.iter_any():
        body += chunk
        if len(body) > limit:
            break
    return bytes(body)


def _too_large(limit: int) -> problems.ProblemError:
    return problems.failure(
        Reason.PAYLOAD_TOO_LARGE, detail=f"A request body may have at most {limit} bytes."
    )


def require_json(declared: str | None) -> None:
    """Raises ProblemError 415 unless a `Content-Type` says JSON in UTF-8."""
    if declared == "application/json":
        return  # as nearly everybody says it: nothing to parse
    content_type, parameters = parse_content_type(declared or "")
    if content_type != "application/json" or parameters.get("charset", "utf-8").lower() not in (
        "utf-8",
        "utf8",
    ):
        raise problems.failure(Reason.UNSUPPORTED_MEDIA_TYPE)
