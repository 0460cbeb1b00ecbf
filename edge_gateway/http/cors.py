"""Which pages may use the API: cross-origin answers by allow-list. Pure."""

from __future__ import annotations

from collections.abc import Collection

EXPOSED = "ETag, RateLimit, RateLimit-Policy, Retry-After, traceparent, X-Request-Id"
_REQUEST_HEADERS = "Authorization, Content-Type, Idempotency-Key, traceparent, X-Request-Id"


def answer_headers(origin: str | None, allowed: Collection[str]) -> dict[str, str]:
    """Headers of every answer: an origin that is not allowed gets none that let its page read it."""
    headers = {"Vary": "Origin"}
    if origin is not None and origin in allowed:
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = EXPOSED
    return headers


def preflight_headers(methods: Collection[str]) -> dict[str, str]:
    """What an allowed page may do at an address."""
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": _REQUEST_HEADERS,
        "Access-Control-Max-Age": "600",
    }
