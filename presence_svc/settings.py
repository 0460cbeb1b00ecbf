"""presence_svc's settings, from the environment; each has a default."""

from __future__ import annotations

from pydantic import Field

from servicekit.settings import ServiceSettings


class PresenceSettings(ServiceSettings):
    """What every service has, and what only this one has."""

    grpc_port: int = Field(default=50053, ge=0, le=65535)

    redis_timeout_seconds: float = Field(default=1.0, gt=0)
    """For one reply of Redis, the time to connect included."""

    conversation_svc_target: str = "127.0.0.1:50052"
    conversation_svc_timeout_seconds: float = Field(default=2.0, gt=0)
    """For one call, and never more than the surrounding call has left."""
