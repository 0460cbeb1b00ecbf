"""What a client may say over its socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial

import structlog

from edge_gateway import problems, views
from edge_gateway.problems import Problem
from edge_gateway.sockets import frames
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.keyboards import Keyboards
from edge_gateway.sockets.marks import ReadMarks
from edge_gateway.sockets.reports import Reports
from edge_gateway.sockets.screens import Screens
from edge_gateway.sockets.session import Session
from edge_gateway.tokens.guard import Guard, admit
from edge_gateway.tokens.verifier import Principal
from edge_gateway.views import Json
from servicekit import telemetry
from servicekit.errors import ChatError, Reason
from servicekit.ids import new_id_text

_log = structlog.get_logger(__name__)


class Commands:
    """Handles the frames of all sockets; each is answered by `ack` or `error`."""

    def __init__(
        self,
        marks: ReadMarks,
        guard: Guard,
        screens: Screens,
        keyboards: Keyboards,
        reports: Reports,
        *,
        renew: Callable[[Session, Principal], None],
    ) -> None:
        """`renew`: gives a session the token that it was refreshed with."""
        self._marks = marks
        self._guard = guard
        self._renew = renew
        self._screens = screens
        self._keyboards = keyboards
        self._reports = reports

    async def handle(self, session: Session, payload: bytes) -> None:
        """One frame, from bytes to the answer."""
        request_id = new_id_text()
        telemetry.bind_request_id(request_id)
        reply_to: str | None = None
        try:
            command = frames.parse(payload)
            reply_to = command.reply_to
            if session.closed and not isinstance(command.body, frames.ReadReceipt):
                return
            data = await self._do(session, command)
        except Exception as error:  # noqa: BLE001 - it ends one answer, not the socket
            named = error.reply_to if isinstance(error, frames.FrameError) else reply_to
            session.say(frames.error(named, _problem(error), request_id))
        else:
            if isinstance(data, asyncio.Future):
                data.add_done_callback(partial(_answer, session, reply_to, request_id))
                session.owe(data)
            elif reply_to is not None or data is not None:
                session.say(frames.ack(reply_to, data))

    async def _do(self, session: Session, command: frames.Command) -> Json | asyncio.Future[None] | None:
        """`data` of the answer, or what it waits for."""
        match command.body:
            case frames.ReadReceipt() as mark:
                return await self._read(session, mark)
            case frames.AuthRefresh() as refresh:
                return await self._refresh(session, refresh)
            case frames.PresencePing(away):
                self._reports.ping(session, away=away)
                return None
            case frames.ConversationOpen(conversation_id):
                admit(session.principal, "ws conversation.open", writes=False)
                await self._screens.open(session, conversation_id)
                return None
            case frames.ConversationClose(conversation_id):
                self._screens.close(session, conversation_id)
                return None
            case frames.Typing(conversation_id, started):
                admit(session.principal, "ws typing", writes=True)
                await self._keyboards.typed(session, conversation_id, started=started)
                return None

    async def _read(self, session: Session, mark: frames.ReadReceipt) -> asyncio.Future[None] | None:
        admit(session.principal, "ws read.receipt", writes=True)
        return await self._marks.mark(
            session.principal.user, mark.conversation_id, mark.last_read_seq, at_once=session.closed
        )

    async def _refresh(self, session: Session, refresh: frames.AuthRefresh) -> Json | None:
        principal = await self._guard.authenticate(refresh.token)
        admit(principal, "ws auth.refresh", writes=False)
        if principal.user.user_id != session.user_id:
            session.end(Close.INVALID_TOKEN)
            return None
        self._renew(session, principal)
        return {"expiresAt": views.unix_time(principal.expires_at)}


def _answer(session: Session, reply_to: str | None, request_id: str, done: asyncio.Future[None]) -> None:
    """What became of a command that others did not wait for."""
    error = done.exception()
    if error is not None:
        session.say(frames.error(reply_to, _problem(error), request_id))
    elif reply_to is not None:
        session.say(frames.ack(reply_to))


def _problem(error: BaseException) -> Problem:
    match error:
        case frames.FrameError() | problems.ProblemError():
            return error.problem
        case ChatError():
            return problems.of(error)
    _log.error("frame_failed", exception=telemetry.safe_traceback(error))
    return problems.problem(Reason.INTERNAL)
