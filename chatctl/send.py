"""`chatctl send`: one message, in somebody's name."""

import uuid

import aiohttp

from chatctl.person import token_for
from chatctl.rest import JsonObject, Rest
from chatctl.running import Running


async def send(
    running: Running,
    person: JsonObject,
    text: str,
    *,
    conversation_id: str | None = None,
    recipient_id: str | None = None,
    context: JsonObject | None = None,
    client_message_id: str | None = None,
) -> JsonObject:
    """Send to a conversation, or start one with a person. Returns the stored message.

    Raises ProblemError, and aiohttp.ClientError when nothing answers.
    """
    message: JsonObject = {"clientMessageId": client_message_id or str(uuid.uuid4()), "text": text}
    async with aiohttp.ClientSession() as session:
        rest = Rest(session, running.edge_url, await token_for(session, running, person))
        if conversation_id is not None:
            _, stored = await rest.request("POST", f"/conversations/{conversation_id}/messages", message)
            return stored or {}
        start: JsonObject = {"recipientId": recipient_id, "message": message}
        if context:
            start["context"] = context
        _, started = await rest.request("POST", "/conversations", start)
        stored_first: JsonObject = (started or {})["message"]
        return stored_first
