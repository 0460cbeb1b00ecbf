"""What a route is, and the way from a request to it: who calls, may they write, what do they say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from aiohttp import web
from multidict import MultiMapping

from edge_gateway import bodies
from edge_gateway.bodies import Fields
from edge_gateway.clients import Backends, budget
from edge_gateway.cursors import CursorSigner
from edge_gateway.http.exchange import Exchange
from edge_gateway.http.front import Endpoint
from edge_gateway.http.patience import TimeLimit
from edge_gateway.http.reading import read_body, require_json
from edge_gateway.http.reply import Reply
from edge_gateway.http.visitor import Visitor
from edge_gateway.profiles import Profiles
from edge_gateway.rates import Rates
from edge_gateway.tokens.guard import Guard, admit
from edge_gateway.tokens.verifier import Principal
from edge_gateway.views import Json
from servicekit.identity import ActingUser


class Body(Enum):
    """What a route does with the body of a request."""

    NONE = "none"
    """Nothing: what comes is read, within the limit, and dropped."""
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Services:
    """What routes work with."""

    backends: Backends
    profiles: Profiles
    cursors: CursorSigner
    rates: Rates
    max_body_bytes: int
    body_timeout_s: float


@dataclass(slots=True)  # not frozen, as all that is made for each request
class Call:
    """A request of somebody known."""

    principal: Principal
    path: Mapping[str, str]
    query: MultiMapping[str]
    body: dict[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def user(self) -> ActingUser:
        return self.principal.user

    @property
    def fields(self) -> Fields:
        """The body, to be checked field by field."""
        return Fields(self.body)


@dataclass(slots=True)
class Answer:
    """Status and JSON; no JSON = no body."""

    status: int
    body: Json | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """One row of the contract's table."""

    method: str
    template: str
    handle: Callable[[Services, Call], Awaitable[Answer]]
    body: Body = Body.NONE
    kind: str = ""
    """Whose bucket it takes from: `read` for GET, else `other`, unless said here."""

    @property
    def rate(self) -> str:
        """The kind of its rate limit."""
        return self.kind or ("other" if self.writes else "read")

    @property
    def writes(self) -> bool:
        """Whether it changes anything; a read-only caller may not."""
        return self.method != "GET"


def bearer(header: str | None) -> str:
    """The token of an `Authorization` header; "" when there is none."""
    scheme, _, token = (header or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def endpoints(
    routes: Iterable[Route], services: Services, guard: Guard, *, timeout_s: float
) -> list[tuple[str, str, Endpoint]]:
    """The routes as the HTTP front takes them."""
    limit = TimeLimit(timeout_s)
    return [(route.method, route.template, _endpoint(route, services, guard, limit)) for route in routes]


def _endpoint(route: Route, services: Services, guard: Guard, limit: TimeLimit) -> Endpoint:
    name, writes, rate = f"{route.method} {route.template}", route.writes, route.rate

    async def answer(exchange: Exchange, path: Mapping[str, str]) -> Reply:
        request = exchange.request
        principal = await guard.authenticate(bearer(request.headers.get("Authorization")))
        admit(principal, name, writes=writes)
        await services.rates.require(principal.user.user_id, rate, exchange.headers)
        body = await _body(route, request, services) if writes else {}
        # Not before the body is here: a slow upload has a time of its own.
        with limit(), budget(limit.seconds):
            if not principal.read_only:
                await services.profiles.sync(principal.user)
            result = await route.handle(services, Call(principal, path, request.query, body, request.headers))
        return exchange.json(result.status, result.body)

    return answer


async def _body(route: Route, request: web.BaseRequest | Visitor, services: Services) -> dict[str, Any]:
    raw = await read_body(request, services.max_body_bytes, services.body_timeout_s)
    if route.body is Body.NONE or (route.body is Body.OPTIONAL and not raw):
        return {}
    if raw:
        require_json(request.headers.get("Content-Type"))
    return bodies.parse_object(raw)
