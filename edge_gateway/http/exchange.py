"""One request on its way to its answer: what every answer carries, and how answers are made."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
from aiohttp import HttpVersion11, web

from edge_gateway import problems
from edge_gateway.http.reply import Reply, head
from edge_gateway.http.visitor import Visitor
from edge_gateway.problems import Problem
from edge_gateway.views import Json
from servicekit.ids import new_id_text

_SANE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_UNMATCHED = "unmatched"


@dataclass(slots=True)
class Exchange:
    """One request. `template` is the route it matched; problems name it as their `instance`."""

    request: web.BaseRequest | Visitor
    request_id: str
    template: str = _UNMATCHED
    headers: dict[str, str] = field(default_factory=dict)
    """For the answer, whatever it is."""
    traceparent: str | None = None
    """Of its span."""

    @property
    def instance(self) -> str:
        """The same for every id, so that problems of one kind are the same bytes: `/v1/conversations/:id`."""
        return re.sub(r"\{(\w+)\}", r":\1", self.template) if self.template != _UNMATCHED else "/"

    @property
    def may_upgrade(self) -> bool:
        """Whether method and version are those of a handshake (RFC 6455, 4.1); at a door no others are."""
        request = self.request
        return isinstance(request, Visitor) or (request.method == "GET" and request.version >= HttpVersion11)

    def finish(self, reply: Reply) -> Reply:
        """Puts the common headers on an answer."""
        self._add_common(reply.headers)
        return reply

    def _add_common(self, headers: dict[str, str]) -> None:
        headers.update(self.headers)
        headers["X-Request-Id"] = self.request_id
        headers["Server"] = "splits-chat"
        if self.traceparent is not None:
            headers["traceparent"] = self.traceparent

    def take_over(self, headers: Mapping[str, str]) -> tuple[asyncio.Transport, bytes, bytes]:
        """Takes the connection of a request that is upgraded away from HTTP.

        Returns it, the head of the answer (`headers` are its own), which is still to be written, and the
        bytes that came behind the request. Raises ConnectionResetError when the client is gone.
        """
        request = self.request
        transport, rest = request.take_over() if isinstance(request, Visitor) else _take_over(request)
        all_headers = {**headers}
        self._add_common(all_headers)
        return transport, head(101, all_headers), rest

    def json(self, status: int, body: Json | None) -> Reply:
        """A JSON answer; None = no body."""
        if body is None:
            return Reply(status)
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        return Reply(status, orjson.dumps(body), headers)

    def problem(self, wrong: Problem, more: Mapping[str, str] | None = None) -> Reply:
        """An error's answer; `more` are headers of it."""
        headers = {"Content-Type": problems.CONTENT_TYPE, "Cache-Control": "no-store", **(more or {})}
        if wrong.retry_after_s is not None:
            headers["Retry-After"] = str(wrong.retry_after_s)
        if wrong.status == 401:
            headers["WWW-Authenticate"] = "Bearer"
        return Reply(wrong.status, wrong.body(instance=self.instance, request_id=self.request_id), headers)


def _take_over(request: web.BaseRequest) -> tuple[asyncio.Transport, bytes]:
    """To the server the connection is lost: its parser, buffers and task go with the request."""
    protocol, transport = request.protocol, request.transport
    if transport is None or transport.is_closing():
        raise ConnectionResetError
    rest = protocol._message_tail
    protocol.transport = None  # so that it does not close it
    protocol.connection_lost(None)
    if not transport.is_reading():
        transport.resume_reading()  # the server had stopped it: nobody took the bytes behind the head
    return transport, rest


def request_id_of(request: web.BaseRequest | Visitor) -> str:
    """The caller's own `X-Request-Id` when it is sane, else a new one."""
    given = request.headers.get("X-Request-Id")
    return given if given is not None and _SANE_ID.fullmatch(given) else new_id_text()
