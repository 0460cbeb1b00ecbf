"""`/v1/me`: the caller, their totals, the limits they write under, their settings."""

from __future__ import annotations

import asyncio

from splits.chat.conversation.v1 import service_pb2 as conversation_rpc

from edge_gateway import views
from edge_gateway.routes.messages import MAX_CLIENT_ID, MAX_TEXT
from edge_gateway.routes.route import Answer, Body, Call, Route, Services
from servicekit.identity import ActingUser


async def me(services: Services, call: Call) -> Answer:
    unread, settings = await asyncio.gather(
        services.backends.get_unread(call.user), services.backends.get_settings(call.user)
    )
    known = None if call.principal.read_only else await services.profiles.sync(call.user)
    return Answer(
        200,
        {
            "user": _from_token(call.user) if known is None else views.user(known),
            "unread": views.unread(unread),
            "limits": {
                "maxTextLength": MAX_TEXT,
                "maxClientMessageIdLength": MAX_CLIENT_ID,
                "maxBodyBytes": services.max_body_bytes,
            },
            "settings": views.settings(settings),
        },
    )


async def change_settings(services: Services, call: Call) -> Answer:
    fields = call.fields
    request = conversation_rpc.UpdateSettingsRequest(
        read_receipts=fields.maybe_boolean("readReceipts"),
        typing_indicators=fields.maybe_boolean("typingIndicators"),
        presence=fields.maybe_boolean("presence"),
    )
    fields.finish()
    return Answer(200, views.settings(await services.backends.update_settings(call.user, request)))


def _from_token(user: ActingUser) -> views.Json:
    return {
        "id": user.user_id,
        "displayName": user.display_name,
        "avatarUrl": user.avatar_url,
        "role": user.role,
        "orgId": user.org_id,
        "orgName": user.org_name,
        "orgVerified": user.org_verified,
    }


ROUTES = [
    Route("GET", "/v1/me", me),
    Route("PATCH", "/v1/me/settings", change_settings, Body.REQUIRED),
]
