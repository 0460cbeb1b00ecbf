"""Settings of the edge, from the environment: a variable is the upper-case name of its field."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import orjson
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from edge_gateway.tokens.issuers import Issuer, check_together
from servicekit.settings import Names, RedisUrl, Settings, TelemetrySettings

_RATE = r"^(off|[1-9][0-9]{0,8}/[1-9][0-9]{0,5})$"
_ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")


class _Listening(Settings):
    edge_host: str = "127.0.0.1"
    edge_port: int = Field(default=8080, ge=0, le=65535)
    """REST, WebSocket, documents. 0 = any free port."""
    ops_host: str = "127.0.0.1"
    ops_port: int = Field(default=9080, ge=0, le=65535)
    """/livez, /readyz, /metrics: never to be reached from outside. 0 = any free port."""
    drain_seconds: float = Field(default=10.0, ge=0)
    """At shutdown, over how long the sockets are sent away to reconnect elsewhere."""


class _Http(Settings):
    http_idle_ms: int = Field(default=75_000, ge=10)
    """How long a connection may ask nothing, or not read an answer; longer than a proxy keeps an idle one."""
    http_max_header_bytes: int = Field(default=16 * 1024, ge=1024)
    """Longest header of a request: an access token and its name. With a longer one it is refused (400)."""
    http_max_ahead_bytes: int = Field(default=64 * 1024, ge=1024)
    """Bytes that may come while a request is answered; with more, no more are read until it is."""
    http_body_timeout_ms: int = Field(default=15_000, ge=10)
    """For the body of a request to come, once its head has; then it is refused with 503."""
    http_linger_ms: int = Field(default=2000, ge=0)
    """For the rest of a body that was refused before it had all come; then the connection is closed."""
    http_backlog: int = Field(default=4096, ge=1)
    """Connections that may wait to be accepted; the system's own limit (somaxconn) may be lower."""
    http_drain_ms: int = Field(default=5000, ge=0)
    """At shutdown, for requests in work and answers that are still read; then they are cut off."""
    max_body_bytes: int = Field(default=64 * 1024, ge=1024)
    """Longest JSON body."""


class _Backends(Settings):
    conversation_svc_target: str = "127.0.0.1:50052"
    message_svc_target: str = "127.0.0.1:50051"
    presence_svc_target: str = "127.0.0.1:50053"
    redis_url: RedisUrl = Field(default="redis://127.0.0.1:6379/0", repr=False)
    service_key_file: Path = Path("keys/edge_gateway.pem")
    """Ed25519 private key, PEM: proves the edge to the services."""
    cursor_key: SecretStr | None = None
    """Signs list cursors; the same on every edge. Absent = derived from the service key."""
    redis_timeout_ms: int = Field(default=1000, ge=10)
    """How long a command waits for its reply, the time to connect included."""
    redis_connect_timeout_ms: int = Field(default=5000, ge=10)
    """For the connection on which events come, and for its first channels."""
    redis_silence_ms: int = Field(default=15_000, ge=30)
    """That connection is pinged three times in it; after so long without a byte it is taken for lost."""
    request_timeout_ms: int = Field(default=5000, ge=100)
    """For one request from its body to its answer; services get what is left of it."""
    call_timeout_ms: int = Field(default=3000, ge=10)
    """For one call to a service, and never more than the request has left."""
    redact_timeout_ms: int = Field(default=4500, ge=10)
    """The same for a redaction: it is answered once no copy of the text is on its way any more."""
    send_batch_max: int = Field(default=32, ge=1, le=64)
    """Messages in one call to message_svc: those that wait while calls are in flight go together."""
    send_calls_max: int = Field(default=2, ge=1)
    """Such calls in flight; what comes meanwhile waits for one of them to end."""
    send_queue_max: int = Field(default=1024, ge=1)
    """Messages that wait so; one more is refused with 503."""


class _Callers(Settings):
    jwt_issuers: Annotated[tuple[Issuer, ...], NoDecode] = ()
    """JSON list; its objects are described by `tokens.issuers.Issuer`."""
    allowed_origins: Names = ()
    """Origins whose pages may use REST and WebSocket: names parted by commas, or a JSON list."""

    jwks_timeout_ms: int = Field(default=3000, ge=10)
    """For an issuer to answer with its keys; those known before stay good."""
    jwks_refetch_s: float = Field(default=30, gt=0)
    """Between fetches at least, however many unknown keys tokens name."""
    jwks_refresh_s: float = Field(default=600, gt=0)
    """Keys older than this are fetched anew, so that one that its issuer withdrew goes."""
    tokens_remembered: int = Field(default=20_000, ge=1)
    """Tokens that need not be verified again, until they expire; about one for each open socket."""
    profiles_remembered: int = Field(default=50_000, ge=1)
    """People whose profiles are known to have been told to conversation_svc."""
    profiles_again_s: float = Field(default=600, gt=0)
    """After this long they are told again: it may have been restored from an older backup."""

    @field_validator("jwt_issuers", mode="before")
    @classmethod
    def _issuers(cls, value: object) -> object:
        return orjson.loads(value) if isinstance(value, str) else value

    @field_validator("jwt_issuers")
    @classmethod
    def _apart(cls, value: tuple[Issuer, ...]) -> tuple[Issuer, ...]:
        check_together(value)
        return value

    @field_validator("allowed_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"{origin!r} is not an origin such as https://splits.example")
        return value


class _Access(Settings):
    access_poll_ms: int = Field(default=20_000, ge=10)
    """How often it is asked for new revocations and bans, of which Redis may not have told."""
    access_reload_s: float = Field(default=86_400, gt=0)
    """How often all of them are read anew, so that old ones are forgotten."""


class _Sockets(Settings):
    max_sockets: int = Field(default=20_000, ge=1)
    """Open sockets of this process; one more is refused with 503."""
    ws_max_connecting: int = Field(default=1000, ge=1)
    """Handshakes in work at once; one more is refused with 503 before its token is looked at."""
    ws_max_per_user: int = Field(default=8, ge=1)
    """Open sockets of one person over all edges; one more replaces the oldest (4504)."""
    ws_max_age_s: float = Field(default=86_400, gt=0)
    """Seconds that a socket may stay; then it is closed (4005) and comes back, perhaps to another edge."""
    ws_max_age_jitter: float = Field(default=0.1, ge=0, lt=1)
    """Up to this part of them less, by chance: sockets that came together do not all go together."""
    ws_ping_ms: int = Field(default=25_000, ge=50)
    """Between pings. A socket that has not answered one when the next is due is closed (4000)."""
    ws_max_frame_bytes: int = Field(default=16 * 1024, ge=256)
    """Longest message from a client."""
    ws_max_buffer_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Bytes waiting for one slow reader; with more it is closed (4003)."""
    ws_max_ephemeral_bytes: int = Field(default=16 * 1024, ge=1024)
    """Longest announcement; and with more bytes waiting, a reader is not told it (it may be left out)."""
    ws_announce_buffer_bytes: int = Field(default=1024 * 1024, ge=1024)
    """Announcements that wait to be told; with more of them, more are told nobody."""
    ws_max_held: int = Field(default=1000, ge=1)
    """Events that wait until a socket is open, or for what they are about; with more it has to start over."""
    ws_max_replayed: int = Field(default=2000, ge=1)
    """Events that one socket is told of what it missed; with more it starts over."""
    ws_max_open: int = Field(default=20, ge=1)
    """Conversations that one socket may have open (`conversation.open`)."""
    ws_recheck_ms: int = Field(default=25_000, ge=50)
    """After this long, or up to a fifth less, it is asked again what may be shown of each of them."""
    ws_look_timeout_ms: int = Field(default=4000, ge=50)
    """Without an answer for so long there is none; with WS_RECHECK_MS not more than 30 s, as was promised."""
    ws_look_retry_ms: int = Field(default=1000, ge=10)
    """After none it is asked again in at most so long, then in twice that, and so on."""
    ws_look_retry_max_ms: int = Field(default=8000, ge=10)
    """And never in longer than this."""
    ws_typing_every_ms: int = Field(default=2000, ge=0)
    """Somebody types: passed on no more often, for one socket and conversation; more is left out."""
    ws_typing_ms: int = Field(default=6000, ge=50)
    """Somebody of whom nothing more was heard for so long has stopped typing."""
    event_patience_ms: int = Field(default=8000, ge=100)
    """How long a user's events may wait for one whose data cannot be had; then their sockets close (1012)."""
    ws_presence_every_ms: int = Field(default=20_000, ge=0)
    """Between renewals of a socket's presence, at least; PRESENCE_TTL_SECONDS has to be much more."""
    ws_presence_gather_ms: int = Field(default=100, ge=0)
    """How long words about sockets are gathered, to be told to presence_svc together."""
    ws_presence_retry_ms: int = Field(default=2000, ge=1)
    """How long they wait after presence_svc was not there to hear them."""
    ws_presence_last_ms: int = Field(default=5000, ge=0)
    """At shutdown, for telling what is left; the rest will lapse."""
    ws_frames_last_ms: int = Field(default=3000, ge=0)
    """At shutdown, for answering what clients have said by then; they say the rest again."""
    read_debounce_ms: int = Field(default=2000, ge=0)
    """How long read marks that follow one of the same person and conversation are gathered."""
    read_marks_max: int = Field(default=100, ge=1)
    """Read marks of one person and conversation that wait so; one more is written with them at once."""
    read_writes_max: int = Field(default=64, ge=1)
    """Writes of gathered read marks at a time, as when many sockets close."""
    ws_close_timeout_ms: int = Field(default=5000, ge=10)
    """How long a closing handshake may take before the connection is cut."""


class _Rates(Settings):
    """Each of one person: `<quota>/<seconds>`, the quota at once and again within the seconds; or `off`."""

    rate_pause_ms: int = Field(default=5000, ge=0)
    """After Redis did not answer, nothing of a person's requests is counted for so long."""

    rate_send: str = Field(default="300/60", pattern=_RATE)
    """Messages sent, edited, redacted."""
    rate_start: str = Field(default="60/600", pattern=_RATE)
    """Conversations started."""
    rate_read: str = Field(default="1200/60", pattern=_RATE)
    """Whatever is only looked at."""
    rate_other: str = Field(default="600/60", pattern=_RATE)
    """All other changes."""
    rate_connect: str = Field(default="300/60", pattern=_RATE)
    """Sockets opened; one too many is refused before the upgrade."""
    rate_frames: str = Field(default="120/10", pattern=_RATE)
    """Frames over one socket; one that goes on and on is closed (4004)."""
    rate_frames_user: str = Field(default="240/10", pattern=_RATE)
    """Messages over all sockets of a person on one edge; only those that go on and on are closed (4004)."""


class EdgeSettings(_Listening, _Http, _Backends, _Callers, _Access, _Sockets, _Rates, TelemetrySettings):
    """Everything the edge reads from its environment."""

    demo_enabled: bool = False
    """Serves the demonstration page at /demo/. It needs the development issuer."""
    demo_issuer_url: str = ""
    """Where that page gets its tokens."""
