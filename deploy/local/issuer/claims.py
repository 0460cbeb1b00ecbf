"""Whom a token is for, and what it says about them."""

import secrets
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from deploy.local.issuer.settings import IssuerSettings
from deploy.local.people import BY_ID

HOUR_S = 3600
DAY_S = 24 * HOUR_S

Label = Annotated[str, Field(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")]


class TokenRequest(BaseModel):
    """Whom a token is for. What is left out is taken from the demo person with that id, if there is one."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", strict=True, str_max_length=2000)

    user_id: str = Field(min_length=1, max_length=200, pattern=r"^[!-~]+$")
    role: Literal["recruiter", "company", "candidate", "moderator", "admin"]
    org_id: Label | None = None
    org_name: Label | None = None
    org_verified: bool | None = None
    display_name: Label | None = None
    avatar_url: str | None = Field(default=None, pattern=r"^https://")
    email: Label | None = None
    impersonator: str | None = Field(default=None, min_length=1, max_length=200, pattern=r"^[!-~]+$")
    """The id of somebody who acts in this person's name."""
    expires_in: int = Field(default=HOUR_S, ge=-DAY_S, le=DAY_S)
    """Seconds; a negative number makes a token that is already over."""


def claims_for(wanted: TokenRequest, settings: IssuerSettings, *, now: int) -> dict[str, object]:
    """Return the claims of a token issued at `now` (Unix seconds)."""
    person = BY_ID.get(wanted.user_id)
    org = person.org if person else None
    same_org = org is not None and wanted.org_id in (None, org.id)
    verified = org.verified if org and same_org else False
    issued = now if wanted.expires_in > 0 else now + wanted.expires_in - HOUR_S
    claims: dict[str, object | None] = {
        "iss": settings.url,
        "aud": settings.audience,
        "sub": wanted.user_id,
        "sid": f"sess_{secrets.token_hex(12)}",
        "iat": issued,
        "nbf": issued,
        "exp": now + wanted.expires_in,
        "role": wanted.role,
        "org_id": wanted.org_id or (org.id if org and same_org else None),
        "org_name": wanted.org_name or (org.name if org and same_org else None),
        "org_verified": verified if wanted.org_verified is None else wanted.org_verified,
        "name": wanted.display_name or (person.name if person else wanted.user_id),
        "picture": wanted.avatar_url,
        "email": wanted.email or (person.email if person else None),
        "act": {"sub": wanted.impersonator} if wanted.impersonator else None,
    }
    return {name: value for name, value in claims.items() if value is not None}
