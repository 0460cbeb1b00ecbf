"""What a client may say over its socket."""

from __future__ import annotations

from typing import Protocol

import structlog

from edge_gateway import problems, views
from edge_gateway.clients import Backends, budget
from edge_gateway.sockets import frames
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.session import Session
from edge_gateway.tokens.guard import Guard, admit
from edge_gateway.views import Json
from servicekit import telemetry
from servicekit.errors import ChatError, Reason
from servicekit.ids import new_id_text

_log = structlog.get_logger(__name__)


class Reports(Protocol):
    """Who tells presence_svc which sockets are there."""

    def ping(self, session: Session, *, away: bool | None) -> None:
        """The client says that it is there; None = as it said last. Must not block."""


class Commands:
    """Handles the frames of all sockets; each is answered by `ack` or `error`."""

    def __init__(
        self, backends: Backends, guard: Guard, *, timeout_s: float, reports: Reports | None = None
    ) -> None:
        self._backends = backends
        self._guard = guard
        self._timeout_s = timeout_s
        self._reports = reports

    async def handle(self, session: Session, payload: bytes) -> None:
        """One frame, from bytes to the answer."""
        request_id = new_id_text()
        telemetry.bind_request_id(request_id)
        reply_to: str | None = None
        try:
            command = frames.parse(payload)
            reply_to = command.reply_to
            data = await self._do(session, command)
        except frames.FrameError as error:
            session.say(frames.error(error.reply_to, error.problem, request_id))
        except problems.ProblemError as error:
            session.say(frames.error(reply_to, error.problem, request_id))
        except ChatError as error:
            session.say(frames.error(reply_to, problems.of(error), request_id))
        except Exception as error:  # noqa: BLE001 - a fault of ours ends one answer, not the socket
            _log.error("frame_failed", exception=telemetry.safe_traceback(error))
            session.say(frames.error(reply_to, problems.problem(Reason.INTERNAL), request_id))
        else:
            if reply_to is not None or data is not None:
                session.say(frames.ack(reply_to, data))

    async def _do(self, session: Session, command: frames.Command) -> Json | None:
        match command.body:
            case frames.ReadReceipt() as mark:
                await self._read(session, mark)
                return None
            case frames.AuthRefresh() as refresh:
                return await self._refresh(session, refresh)
            case frames.PresencePing(away):
                if self._reports is not None:
                    self._reports.ping(session, away=away)
                return None
            case frames.Typing() | frames.ConversationOpen() | frames.ConversationClose():
                raise ChatError(Reason.UNAVAILABLE, "Nothing of it is shown yet.")

    async def _read(self, session: Session, mark: frames.ReadReceipt) -> None:
        admit(session.principal, "ws read.receipt", writes=True)
        with budget(self._timeout_s), telemetry.tracer().start_as_current_span("ws read.receipt"):
            await self._backends.mark_read(session.principal.user, mark.conversation_id, mark.last_read_seq)

    async def _refresh(self, session: Session, refresh: frames.AuthRefresh) -> Json | None:
        principal = await self._guard.authenticate(refresh.token)
        admit(principal, "ws auth.refresh", writes=False)
        if principal.user.user_id != session.user_id:
            session.end(Close.INVALID_TOKEN)
            return None
        session.renew(principal)
        return {"expiresAt": views.unix_time(principal.expires_at)}
