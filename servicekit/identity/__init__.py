"""Who calls, and for whom.

A service proves itself by a short-lived EdDSA token it signs itself; the person it acts for travels as an
assertion signed by that same service, never as a bare header. All are JWTs:

    service token   iss = service, aud = "splits-chat-services", iat, exp = iat + 300
    assertion       iss = service, aud = "splits-chat-users", iat, exp = iat + 60, sub = user id, and the
                    fields of ActingUser by their names; a field that is absent has its default
    of many people  aud = "splits-chat-user-lists", and for sub and the fields a list `users` of such objects:
                    one signature for a batch, of which checking is the dearest part

Every refusal is the same UNAUTHENTICATED, whatever the cause.
"""

from servicekit.identity.callers import (
    ACTING_USER,
    CALLER_KINDS,
    METADATA,
    SERVICE_TOKEN,
    ActingUser,
    Caller,
    acting_user,
    bind_identity,
    current_caller,
)
from servicekit.identity.keys import write_keys
from servicekit.identity.signer import Signer, call_metadata
from servicekit.identity.trust import Trust

__all__ = [
    "ACTING_USER",
    "CALLER_KINDS",
    "METADATA",
    "SERVICE_TOKEN",
    "ActingUser",
    "Caller",
    "Signer",
    "Trust",
    "acting_user",
    "bind_identity",
    "call_metadata",
    "current_caller",
    "write_keys",
]
