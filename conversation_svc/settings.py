"""conversation_svc's settings, from the environment; each has a default."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator

from conversation_svc.domain import Role, Rules, origin_of
from conversation_svc.domain.mail import mail_address
from conversation_svc.mail.post import Server
from servicekit.settings import PublishingSettings


class ConversationSettings(PublishingSettings):
    """What every service has, and what only this one has."""

    grpc_port: int = Field(default=50052, ge=0, le=65535)

    message_svc_target: str = "127.0.0.1:50051"
    message_svc_timeout_seconds: float = Field(default=3.0, gt=0)
    """For one call, and never more than the surrounding call has left."""

    request_ttl_days: int = Field(default=30, ge=1)
    expire_seconds: float = Field(default=60.0, gt=0)
    """How often requests are ended whose time is over."""
    denied_starts: tuple[tuple[Role, Role], ...] = ((Role.CANDIDATE, Role.CANDIDATE),)
    """Who may not start with whom: pairs of (who, with whom), as JSON."""
    context_allowed_origins: tuple[str, ...] = ()
    """Where a context's logo and link may point: origins such as `https://jobs.example.com`, as JSON."""

    push_owed_after_seconds: float = Field(default=3.0, gt=0)
    """How long the call that made a change has for its push, before the sweeper takes it over."""
    push_sweep_seconds: float = Field(default=1.0, gt=0)
    reconcile_seconds: float = Field(default=60.0, gt=0)
    unopened_ttl_seconds: float = Field(default=60.0, ge=10)
    """When a conversation whose first message never arrived is forgotten; longer than any call's deadline."""

    @field_validator("context_allowed_origins")
    @classmethod
    def _are_origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        found = [origin_of(each) for each in origins]
        whole = all(each.rstrip("/").count("/") == 2 and not set("?#") & set(each) for each in origins)
        if None in found or not whole:
            raise ValueError("an origin is http or https, a host in ASCII and maybe a port, and no more")
        return tuple(each for each in found if each)

    mail_enabled: bool = False
    """Whether people are mailed about messages they left unread."""
    unread_mail_delay_seconds: float = Field(default=900.0, ge=0)
    """How long they stay unread before that."""
    mail_poll_seconds: float = Field(default=5.0, gt=0)
    """How often the worker looks for what is due."""
    mail_retry_seconds: float = Field(default=60.0, gt=0)
    """After which time a mail is tried again."""
    mail_hears_every_message: bool = False
    """Hears of every message too: while a message_svc of a release without `conversation.written.v1` runs."""
    mail_from: str = "no-reply@localhost"
    """The address that mail comes from."""
    public_url: str = "http://127.0.0.1:8080/demo/"
    """Where a mail leads, its only link; `{conversationId}` in it is filled."""
    smtp_url: str = Field(default="smtp://127.0.0.1:25", repr=False)
    """`smtp://[user:password@]host[:port]`, with STARTTLS where the server has it, or `smtps://...`."""
    smtp_timeout_seconds: float = Field(default=20.0, gt=0, le=60)
    """For each answer of that server."""
    consumer_prefetch: int = Field(default=250, ge=1, le=1000)
    """Events in one worker at once, and the most that one transaction takes."""
    consumed_keep_days: float = Field(default=14.0, gt=0)
    """How long it is remembered which events have been consumed."""

    @field_validator("smtp_url")
    @classmethod
    def _smtp(cls, value: str) -> str:
        Server.from_url(value)
        return value

    @field_validator("mail_from")
    @classmethod
    def _sender(cls, value: str) -> str:
        if not mail_address(value):
            raise ValueError("must be one plain address")
        return value

    def rules(self) -> Rules:
        """What of this the domain needs."""
        return Rules(
            request_ttl=timedelta(days=self.request_ttl_days),
            denied_starts=frozenset(self.denied_starts),
            context_origins=frozenset(self.context_allowed_origins),
        )
