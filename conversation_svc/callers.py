"""The person a call acts for, as this service needs them."""

from __future__ import annotations

from conversation_svc.domain import Profile, Role
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser, acting_user


def writer() -> ActingUser:
    """The acting user, for a call that changes something. ChatError FORBIDDEN under impersonation."""
    user = acting_user()
    if user.impersonator is not None:
        raise ChatError(Reason.FORBIDDEN, "Under impersonation nothing can be changed.")
    return user


def profile_of(user: ActingUser) -> Profile:
    """What their verified token says of them. ChatError FORBIDDEN for a role that the chat does not know."""
    try:
        role = Role(user.role)
    except ValueError:
        raise ChatError(Reason.FORBIDDEN, "Your role has no place in the chat.") from None
    return Profile(
        user_id=user.user_id,
        display_name=_storable(user.display_name),
        avatar_url=_storable(user.avatar_url),
        role=role,
        org_id=_storable(user.org_id),
        org_name=_storable(user.org_name),
        org_verified=user.org_verified,
    )


def _storable(text: str | None) -> str:
    """Postgres holds no NUL, and UTF-8 no lone surrogate; an identity provider may let both through."""
    return (text or "").replace("\0", "").encode("utf-8", "replace").decode("utf-8")
