"""presence_svc's settings, from the environment; each has a default."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from presence_svc.domain import Rules
from servicekit.settings import ServiceSettings


class PresenceSettings(ServiceSettings):
    """What every service has, and what only this one has."""

    grpc_port: int = Field(default=50053, ge=0, le=65535)

    redis_timeout_seconds: float = Field(default=1.0, gt=0)
    """For one reply of Redis, the time to connect included."""

    conversation_svc_target: str = "127.0.0.1:50052"
    conversation_svc_timeout_seconds: float = Field(default=2.0, gt=0)
    """For one call, and never more than the surrounding call has left."""

    presence_ttl_seconds: float = Field(default=90.0, gt=0)
    """After which a connection that was not reported again is taken for gone."""
    presence_linger_seconds: float = Field(default=3.0, ge=0)
    """How long somebody stays here whose last connection was closed: they may only load a page anew."""
    presence_tell_seconds: float = Field(default=45.0, gt=0)
    """How often it is told again that somebody is still here: clients take who is not spoken of for gone
    after the 90 seconds of the contract and five more."""
    presence_settle_seconds: float = Field(default=5.0, ge=0)
    """A change between online and away waits until the one before is this old, and only the latest is told:
    nobody who watches is to hear of each of somebody's many. 0 = each is told at once."""
    presence_sweep_seconds: float = Field(default=1.0, gt=0)
    """How often it is looked for such connections."""
    presence_max_connections: int = Field(default=32, ge=1)
    """Of one person; with one more, the one that would lapse first is forgotten."""
    presence_keep_seconds: int = Field(default=7 * 86_400, ge=60)
    """How long Redis knows when somebody was last seen. After that, Postgres does."""
    last_seen_every_seconds: float = Field(default=60.0, ge=1)
    """Postgres is told no more often than this when a person was last seen."""
    last_seen_flush_seconds: float = Field(default=1.0, gt=0)
    """How long that is gathered, to be written together."""

    access_keep_days: float = Field(default=30.0, gt=0)
    """How long a revocation is kept: longer than any token or session of an issuer lives."""
    access_forget_seconds: float = Field(default=3600.0, gt=0)
    """How often it is looked for revocations and bans that need not be kept any more."""

    @model_validator(mode="after")
    def _is_kept_long_enough(self) -> Self:
        longest = max(self.presence_ttl_seconds, self.last_seen_every_seconds)
        if self.presence_keep_seconds < 2 * longest:
            raise ValueError("PRESENCE_KEEP_SECONDS must be twice as long as a lease, and as LAST_SEEN_EVERY")
        return self

    def rules(self) -> Rules:
        """What of this the domain needs."""
        return Rules(
            ttl_ms=int(self.presence_ttl_seconds * 1000),
            linger_ms=int(self.presence_linger_seconds * 1000),
            tell_every_ms=int(self.presence_tell_seconds * 1000),
            settle_ms=int(self.presence_settle_seconds * 1000),
            save_every_ms=int(self.last_seen_every_seconds * 1000),
            max_connections=self.presence_max_connections,
        )
