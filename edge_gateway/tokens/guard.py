"""Who is let in, and what somebody may do who acts in another person's name: for REST and for sockets."""

from __future__ import annotations

import structlog

from edge_gateway import problems
from edge_gateway.tokens.jwks import KeysUnavailableError
from edge_gateway.tokens.verifier import Principal, TokenRejectedError, TokenVerifier
from servicekit.errors import Reason

_log = structlog.get_logger("edge_gateway.audit")


async def authenticate(verifier: TokenVerifier, token: str) -> Principal:
    """Who calls. Raises the one 401 for whatever is wrong with a token, and 503 while no keys can be had."""
    try:
        return await verifier.verify(token)
    except TokenRejectedError:
        raise problems.failure(Reason.UNAUTHENTICATED) from None
    except KeysUnavailableError:
        raise problems.failure(Reason.UNAVAILABLE) from None


def admit(principal: Principal, what: str, *, writes: bool) -> None:
    """One line in the audit trail for everything an impersonator does or tries; nothing for anybody else.

    Raises the 403 when they would change something.
    """
    if not principal.read_only:
        return
    _log.warning(
        "impersonated",
        what=what,
        user=principal.user.user_id,
        impersonator=principal.user.impersonator,
        refused=writes,
    )
    if writes:
        raise problems.failure(Reason.FORBIDDEN)
