"""The settings as the parts of the edge take them."""

from __future__ import annotations

import hashlib

from edge_gateway.clients import Times as CallTimes
from edge_gateway.http.server import Bounds as HttpBounds
from edge_gateway.rates import Policy, policy
from edge_gateway.settings import EdgeSettings
from edge_gateway.sockets import looks, marks, reports
from edge_gateway.sockets.socket import Limits


def limits(settings: EdgeSettings) -> Limits:
    """The sockets' bounds as the settings have them."""
    return Limits(
        ping_s=settings.ws_ping_ms / 1000,
        close_timeout_s=settings.ws_close_timeout_ms / 1000,
        max_frame=settings.ws_max_frame_bytes,
        max_buffer=settings.ws_max_buffer_bytes,
        max_ephemeral=settings.ws_max_ephemeral_bytes,
    )


def http_bounds(settings: EdgeSettings) -> HttpBounds:
    """What an HTTP connection may take."""
    return HttpBounds(
        idle_s=settings.http_idle_ms / 1000,
        linger_s=settings.http_linger_ms / 1000,
        drain_s=settings.http_drain_ms / 1000,
        max_header=settings.http_max_header_bytes,
        max_ahead=settings.http_max_ahead_bytes,
        max_body=settings.max_body_bytes,
        backlog=settings.http_backlog,
    )


def call_times(settings: EdgeSettings) -> CallTimes:
    """What a call to a service may take."""
    return CallTimes(call_s=settings.call_timeout_ms / 1000, redact_s=settings.redact_timeout_ms / 1000)


def look_times(settings: EdgeSettings) -> looks.Times:
    """When it is asked what may be shown on screens."""
    return looks.Times(
        recheck_s=settings.ws_recheck_ms / 1000,
        answer_s=settings.ws_look_timeout_ms / 1000,
        again_s=settings.ws_look_retry_ms / 1000,
        again_most_s=settings.ws_look_retry_max_ms / 1000,
    )


def mark_bounds(settings: EdgeSettings) -> marks.Bounds:
    """How read marks are gathered."""
    return marks.Bounds(
        gather_s=settings.read_debounce_ms / 1000,
        timeout_s=settings.request_timeout_ms / 1000,
        most_waiting=settings.read_marks_max,
        most_writes=settings.read_writes_max,
    )


def report_times(settings: EdgeSettings) -> reports.Times:
    """When presence_svc is told of sockets."""
    return reports.Times(
        every_s=settings.ws_presence_every_ms / 1000,
        gather_s=settings.ws_presence_gather_ms / 1000,
        retry_s=settings.ws_presence_retry_ms / 1000,
        last_s=settings.ws_presence_last_ms / 1000,
    )


def policies(settings: EdgeSettings) -> dict[str, Policy | None]:
    """Rate limits by kind of request."""
    return {
        "send": policy(settings.rate_send),
        "start": policy(settings.rate_start),
        "read": policy(settings.rate_read),
        "other": policy(settings.rate_other),
        "connect": policy(settings.rate_connect),
    }


def cursor_key(settings: EdgeSettings) -> bytes:
    """All edges share it: the setting, else derived from the key file that they share."""
    if settings.cursor_key is not None:
        return settings.cursor_key.get_secret_value().encode()
    return hashlib.sha256(b"cursor key\0" + settings.service_key_file.read_bytes()).digest()
