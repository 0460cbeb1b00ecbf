"""Messages of a conversation: list, send, edit, redact, read; what changed."""

from __future__ import annotations

import re

from splits.chat.message.v1 import message_pb2 as message_pb
from splits.chat.message.v1 import service_pb2 as message_rpc

from edge_gateway import params, problems, sends, views
from edge_gateway.bodies import Fields
from edge_gateway.routes.route import Answer, Body, Call, Route, Services
from servicekit.errors import Reason

MAX_TEXT = 8000
MAX_CLIENT_ID = 64
MAX_ATTACHMENTS = 10
_CLIENT_ID = re.compile(r"[!-~]+")


def new_message(fields: Fields) -> message_pb.NewMessage:
    """`{clientMessageId, text, attachmentIds?, replyToId?}`; what is wrong is noted in `fields`.

    Nobody has an attachment yet. One that is named is refused: a message without it is not what was sent.
    """
    attachments = fields.texts("attachmentIds", most=MAX_ATTACHMENTS, longest=64)
    message = message_pb.NewMessage(
        client_message_id=fields.text(
            "clientMessageId", longest=MAX_CLIENT_ID, required=True, pattern=_CLIENT_ID
        ),
        text=fields.text("text", longest=MAX_TEXT, required=not attachments),
        reply_to_id=fields.text("replyToId", longest=64, pattern=params.ID),
    )
    if attachments and not fields.violations:
        raise problems.failure(Reason.ATTACHMENT_UNAVAILABLE)
    return message


async def list_messages(services: Services, call: Call) -> Answer:
    conversation_id = params.known_shape(call.path["id"])
    request = message_rpc.ListMessagesRequest(conversation_id=conversation_id, limit=params.limit(call.query))
    match params.position(call.query):
        case ("beforeSeq", seq):
            request.before_seq = seq
        case ("afterSeq", seq):
            request.after_seq = seq
        case ("aroundSeq", seq):
            request.around_seq = seq
    page = await services.backends.list_messages(call.user, request)
    return Answer(
        200,
        {
            "items": [views.message(message) for message in page.messages],
            "hasOlder": page.has_older,
            "hasNewer": page.has_newer,
        },
    )


async def send(services: Services, call: Call) -> Answer:
    conversation_id = params.known_shape(call.path["id"])
    fields = call.fields
    message = new_message(fields)
    fields.finish()
    sent = await sends.send(services.backends, call.user, conversation_id, message)
    return Answer(201 if sent.now else 200, views.message(sent.message))


async def edit(services: Services, call: Call) -> Answer:
    conversation_id, message_id = _place(call)
    fields = call.fields
    text = fields.text("text", longest=MAX_TEXT, required=True)
    fields.finish()
    outcome = await services.backends.edit_message(call.user, conversation_id, message_id, text)
    return _changed(outcome)


async def redact(services: Services, call: Call) -> Answer:
    conversation_id, message_id = _place(call)
    return _changed(await services.backends.redact_message(call.user, conversation_id, message_id))


async def list_changes(services: Services, call: Call) -> Answer:
    conversation_id = params.known_shape(call.path["id"])
    after, limit = params.after(call.query), params.limit(call.query)
    page = await services.backends.list_changes(call.user, conversation_id, after, limit)
    items = [views.message(message) for message in page.messages]
    return Answer(200, {"items": items, "hasMore": page.has_more})


async def read(services: Services, call: Call) -> Answer:
    conversation_id = params.known_shape(call.path["id"])
    fields = call.fields
    last_read_seq = fields.integer("lastReadSeq")
    fields.finish()
    answer = await services.backends.mark_read(call.user, conversation_id, last_read_seq)
    return Answer(200, views.read_mark(answer))


def _place(call: Call) -> tuple[str, str]:
    return params.known_shape(call.path["id"]), params.known_shape(call.path["messageId"])


def _changed(outcome: message_rpc.EditMessageResponse | message_rpc.RedactMessageResponse) -> Answer:
    if not outcome.HasField("message"):
        raise sends.refused(outcome.refused)
    return Answer(200, views.message(outcome.message))


_MESSAGES = "/v1/conversations/{id}/messages"
ROUTES = [
    Route("GET", _MESSAGES, list_messages),
    Route("POST", _MESSAGES, send, Body.REQUIRED, kind="send"),
    Route("PATCH", f"{_MESSAGES}/{{messageId}}", edit, Body.REQUIRED, kind="send"),
    Route("DELETE", f"{_MESSAGES}/{{messageId}}", redact, kind="send"),
    Route("GET", "/v1/conversations/{id}/changes", list_changes),
    Route("PUT", "/v1/conversations/{id}/read", read, Body.REQUIRED),
]
