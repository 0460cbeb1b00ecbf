"""`/v1/presence`: who of some people is here, as the caller may see it."""

from __future__ import annotations

from edge_gateway import params, views
from edge_gateway.routes.route import Answer, Call, Route, Services


async def presence(services: Services, call: Call) -> Answer:
    asked = params.user_ids(call.query)
    people = await services.backends.presence.get(call.user, asked)
    return Answer(200, {"items": [views.presence(person) for person in people]})


ROUTES = [Route("GET", "/v1/presence", presence)]
