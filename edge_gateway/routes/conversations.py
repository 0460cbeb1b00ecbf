"""Conversations: list, look at, start, mute, archive; accept, decline, withdraw a request; the watch list."""

from __future__ import annotations

from collections.abc import Mapping

from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc
from splits.chat.message.v1 import service_pb2 as message_rpc

from edge_gateway import joins, params, sends, views
from edge_gateway.bodies import Fields
from edge_gateway.routes.messages import new_message
from edge_gateway.routes.route import Answer, Body, Call, Route, Services

_FOLDERS: Mapping[str, message_rpc.InboxList.ValueType] = {
    "inbox": message_rpc.INBOX_LIST_INBOX,
    "requests": message_rpc.INBOX_LIST_REQUESTS,
    "sent": message_rpc.INBOX_LIST_SENT,
    "archived": message_rpc.INBOX_LIST_ARCHIVED,
}
_WATCH_LIST = "watch-list"
_MAX_SHORT, _MAX_URL, _MAX_REASON = 200, 2000, 500


async def list_conversations(services: Services, call: Call) -> Answer:
    folder = params.choice(call.query, "folder", _FOLDERS, "inbox")
    limit = params.limit(call.query)
    query = f"conversations {folder}"
    after = None
    if "cursor" in call.query:
        after = _position(services.cursors.read(call.query["cursor"], caller=call.user.user_id, query=query))
    inbox = await services.backends.list_inbox(call.user, _FOLDERS[folder], limit, after)
    items = await joins.page(services.backends, call.user, inbox.views)
    cursor = None
    if inbox.HasField("next"):
        at, last = inbox.next.activity_at, inbox.next.conversation_id
        position = [at.seconds, at.nanos, last]
        cursor = services.cursors.write(position, caller=call.user.user_id, query=query)
    return Answer(200, {"items": items, "nextCursor": cursor})


async def get_conversation(services: Services, call: Call) -> Answer:
    conversation_id = params.known_shape(call.path["id"])
    return Answer(200, await joins.conversation(services.backends, call.user, conversation_id))


async def change_conversation(services: Services, call: Call) -> Answer:
    """Mute and archive: for the caller alone."""
    conversation_id = params.known_shape(call.path["id"])
    fields = call.fields
    muted, archived = fields.maybe_boolean("muted"), fields.maybe_boolean("archived")
    fields.finish()
    view = await services.backends.set_flags(call.user, conversation_id, muted=muted, archived=archived)
    return Answer(200, await joins.with_member(services.backends, call.user, view))


async def watch_list(services: Services, call: Call) -> Answer:
    limit = params.limit(call.query)
    after = None
    if "cursor" in call.query:
        seconds, nanos, conversation_id = services.cursors.read(
            call.query["cursor"], caller=call.user.user_id, query=_WATCH_LIST
        )
        changed_at = Timestamp(seconds=seconds, nanos=nanos)
        after = message_rpc.WatchPosition(changed_at=changed_at, conversation_id=conversation_id)
    page = await services.backends.get_watch_list(call.user, limit, after=after)
    cursor = None
    if page.HasField("next"):
        at = page.next.changed_at
        position = [at.seconds, at.nanos, page.next.conversation_id]
        cursor = services.cursors.write(position, caller=call.user.user_id, query=_WATCH_LIST)
    return Answer(200, {"items": [views.watch_item(item) for item in page.items], "nextCursor": cursor})


async def create_conversation(services: Services, call: Call) -> Answer:
    """201 when it was started; 200 when the pair has one for this job: the message is sent there."""
    fields = call.fields
    recipient_id = fields.text("recipientId", longest=params.MAX_USER_ID, required=True)
    about = fields.child("context")
    context = None if about is None else _context(about)
    given = fields.child("message", required=True)
    message = None if given is None else new_message(given)
    fields.finish()
    assert message is not None  # noqa: S101 - `finish` has raised otherwise
    backends, user = services.backends, call.user
    created = await backends.create_conversation(
        user, recipient_id, context, message, idempotency_key=params.idempotency_key(call.headers)
    )
    match created.WhichOneof("outcome"):
        case "created":
            status, stored = 201, created.created.message
            body = await joins.with_view(backends, user, created.created.conversation)
        case "existing":
            status = 200
            stored = (await sends.send(backends, user, created.existing.id, message, at="/message")).message
            # Looked at after the send: sending may have accepted it.
            body = await joins.conversation(backends, user, created.existing.id)
        case _:
            raise sends.refused(created.refused, at="/message")
    return Answer(status, {"conversation": body, "message": views.message(stored)})


async def accept(services: Services, call: Call) -> Answer:
    conversation_id = params.known_shape(call.path["id"])
    return await _changed(services, call, await services.backends.accept_request(call.user, conversation_id))


async def decline(services: Services, call: Call) -> Answer:
    conversation_id = params.known_shape(call.path["id"])
    fields = call.fields
    reason = fields.text("reason", longest=_MAX_REASON)
    block = fields.boolean("block")
    fields.finish()
    outcome = await services.backends.decline_request(call.user, conversation_id, reason=reason, block=block)
    return await _changed(services, call, outcome)


async def withdraw(services: Services, call: Call) -> Answer:
    conversation_id = params.known_shape(call.path["id"])
    outcome = await services.backends.withdraw_request(call.user, conversation_id)
    return await _changed(services, call, outcome)


async def _changed(
    services: Services,
    call: Call,
    outcome: conversation_rpc.AcceptRequestResponse
    | conversation_rpc.DeclineRequestResponse
    | conversation_rpc.WithdrawRequestResponse,
) -> Answer:
    if not outcome.HasField("conversation"):
        raise sends.refused(outcome.refused)
    return Answer(200, await joins.with_view(services.backends, call.user, outcome.conversation))


def _context(about: Fields) -> conversation_pb.Context:
    # The company's name is not read: it comes from the caller's token.
    return conversation_pb.Context(
        job_id=about.text("jobId", longest=_MAX_SHORT),
        job_title=about.text("jobTitle", longest=_MAX_SHORT),
        company_logo_url=about.text("companyLogoUrl", longest=_MAX_URL),
        application_id=about.text("applicationId", longest=_MAX_SHORT),
        url=about.text("url", longest=_MAX_URL),
    )


def _position(cursor: list[object]) -> message_rpc.InboxPosition:
    seconds, nanos, conversation_id = cursor
    return message_rpc.InboxPosition(
        activity_at=Timestamp(seconds=int(str(seconds)), nanos=int(str(nanos))),
        conversation_id=str(conversation_id),
    )


_ONE = "/v1/conversations/{id}"
ROUTES = [
    Route("GET", "/v1/conversations", list_conversations),
    Route("POST", "/v1/conversations", create_conversation, Body.REQUIRED, kind="start"),
    Route("GET", _ONE, get_conversation),
    Route("PATCH", _ONE, change_conversation, Body.REQUIRED),
    Route("GET", "/v1/watch-list", watch_list),
    Route("POST", f"{_ONE}/accept", accept),
    Route("POST", f"{_ONE}/decline", decline, Body.OPTIONAL),
    Route("POST", f"{_ONE}/withdraw", withdraw),
]
