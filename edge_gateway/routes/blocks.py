"""Blocks: whom the caller does not want to hear from."""

from __future__ import annotations

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc

from edge_gateway import params, views
from edge_gateway.routes.route import Answer, Call, Route, Services

_QUERY = "blocks"


async def list_blocks(services: Services, call: Call) -> Answer:
    limit = params.limit(call.query)
    after = None
    if "cursor" in call.query:
        seconds, nanos, user_id = services.cursors.read(
            call.query["cursor"], caller=call.user.user_id, query=_QUERY
        )
        after = conversation_rpc.BlockPosition(
            blocked_at=Timestamp(seconds=seconds, nanos=nanos), user_id=user_id
        )
    page = await services.backends.list_blocks(call.user, limit, after)
    cursor = None
    if page.HasField("next"):
        at = page.next.blocked_at
        position = [at.seconds, at.nanos, page.next.user_id]
        cursor = services.cursors.write(position, caller=call.user.user_id, query=_QUERY)
    return Answer(200, {"items": [views.block(block) for block in page.blocks], "nextCursor": cursor})


async def put_block(services: Services, call: Call) -> Answer:
    await services.backends.put_block(call.user, params.user_id(call.path["userId"]))
    return Answer(204)


async def delete_block(services: Services, call: Call) -> Answer:
    await services.backends.delete_block(call.user, params.user_id(call.path["userId"]))
    return Answer(204)


ROUTES = [
    Route("GET", "/v1/blocks", list_blocks),
    Route("PUT", "/v1/blocks/{userId}", put_block),
    Route("DELETE", "/v1/blocks/{userId}", delete_block),
]
