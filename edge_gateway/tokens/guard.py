"""Who is let in, and what somebody may do who acts in another person's name: for REST and for sockets."""

from __future__ import annotations

import structlog

from edge_gateway import problems
from edge_gateway.tokens.access import Access, AccessUnknownError, Standing
from edge_gateway.tokens.jwks import KeysUnavailableError
from edge_gateway.tokens.verifier import Principal, TokenRejectedError, TokenVerifier
from servicekit.clock import Clock
from servicekit.errors import Reason

_log = structlog.get_logger("edge_gateway.audit")


class BannedError(Exception):
    """The token is good, and whose it is is banned."""


class CannotTellError(Exception):
    """Who is let in cannot be told now: no keys were ever had, nothing is known of revocations and bans."""


class Guard:
    """The one way to a principal: a token is verified, and looked up among revocations and bans each time."""

    def __init__(self, verifier: TokenVerifier, access: Access, clock: Clock) -> None:
        self._verifier = verifier
        self._access = access
        self._clock = clock

    async def verify(self, token: str) -> Principal:
        """Who this is. Raises TokenRejectedError, also for a revoked token; BannedError; CannotTellError."""
        try:
            principal = await self._verifier.verify(token)
            standing = self.standing(principal)
        except (KeysUnavailableError, AccessUnknownError) as error:
            raise CannotTellError from error
        if standing is Standing.REVOKED:
            raise TokenRejectedError(standing.value)
        if standing is Standing.BANNED:
            raise BannedError
        return principal

    async def authenticate(self, token: str) -> Principal:
        """Who calls. Raises the one 401 whatever is wrong with a token, 403 for who is banned, and 503."""
        try:
            return await self.verify(token)
        except TokenRejectedError:
            raise problems.failure(Reason.UNAUTHENTICATED) from None
        except BannedError:
            raise problems.failure(Reason.ACCOUNT_BANNED) from None
        except CannotTellError:
            raise problems.failure(Reason.UNAVAILABLE) from None

    def standing(self, principal: Principal) -> Standing:
        """Whether somebody who was let in still would be. Raises AccessUnknownError."""
        return self._access.standing(principal, self._clock.now().timestamp())


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
