"""The trail of those who act in somebody else's name."""

from __future__ import annotations

import structlog

from edge_gateway.tokens.verifier import Principal

_log = structlog.get_logger("edge_gateway.audit")


def note_impersonation(principal: Principal, what: str, *, refused: bool) -> None:
    """One line for everything an impersonator does or tries; nothing for anybody else."""
    if principal.read_only:
        _log.warning(
            "impersonated",
            what=what,
            user=principal.user.user_id,
            impersonator=principal.user.impersonator,
            refused=refused,
        )
