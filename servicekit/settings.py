"""Settings from the environment: a variable is the upper-case name of its field.

Every setting has a default that works on one machine. A service's own `settings.py` adds its fields and
sets its port; the edge composes the parts it needs.
"""

import sys
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class Settings(BaseSettings):
    """How all settings are read: frozen, and an invalid value is named without being printed."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def from_environment(cls) -> Self:
        """For a process that starts: variables that are wrong end it with status 1 and a line for each."""
        try:
            return cls()
        except ValidationError as error:
            for each in error.errors(include_url=False, include_context=False, include_input=False):
                # A rule about several settings names them itself.
                first, *inner = [str(part) for part in each["loc"]] or [""]
                name = ".".join([first.upper(), *inner])
                text = each["msg"].removeprefix("Value error, ")
                print(f"{name}: {text}" if name else text, file=sys.stderr)
            sys.exit(1)


def listed(text: str) -> tuple[str, ...]:
    """The names in a variable: parted by commas, or a JSON list. ValueError when it is neither."""
    if text.lstrip().startswith("["):
        return tuple(orjson.loads(text))
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _listed_text(value: object) -> object:
    return listed(value) if isinstance(value, str) else value


Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_listed_text)]
"""A setting as `listed` reads it."""


def _address(example: str, *schemes: str, hosts: bool = False) -> AfterValidator:
    """Whether a URL can be the address of such a server. `hosts`: it may name several, each with a port."""

    def check(value: str) -> str:
        wrong = ValueError(f"not an address such as {example}")
        try:
            parts = urlsplit(value)
            port = None if hosts else parts.port
        except ValueError:
            raise wrong from None  # its text quotes what may be a part of the password
        if parts.scheme not in schemes or port == 0:
            raise wrong
        return value

    return AfterValidator(check)


PostgresUrl = Annotated[
    str, _address("postgresql://user@127.0.0.1:5432/chat", "postgresql", "postgres", hosts=True)
]
RedisUrl = Annotated[str, _address("redis://127.0.0.1:6379/0", "redis", "rediss", "unix")]
AmqpUrl = Annotated[str, _address("amqp://user@127.0.0.1:5672/", "amqp", "amqps")]


class TelemetrySettings(Settings):
    """Logs and traces."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["json", "console"] = "json"
    otel_exporter_otlp_endpoint: str | None = None
    """Where spans go by OTLP over gRPC, such as `http://collector:4317`; absent = nowhere."""
    otel_traces_file: Path | None = None
    """A file that spans are appended to, one JSON object a line. A development aid, not for production."""


class IdentitySettings(Settings):
    """How the service proves itself and whom it believes."""

    service_key_file: Path = Path("keys/service.pem")
    """Ed25519 private key, PEM."""
    service_trust_file: Path = Path("keys/trust.json")
    """Public keys of the services that are believed."""


class GrpcServerSettings(Settings):
    """The gRPC server."""

    grpc_host: str = "127.0.0.1"
    grpc_port: int = Field(default=50051, ge=0, le=65535)
    """0 = any free port."""
    grpc_max_receive_bytes: int = Field(default=4 * 1024 * 1024, ge=1024)
    """The largest request: 64 messages of 8000 four-byte characters are 2 MiB."""
    grpc_max_concurrent: int = Field(default=256, ge=1)
    """Calls in work at once; those beyond are refused before any work. As many streams that carry calls."""
    grpc_default_deadline_seconds: float = Field(default=5.0, gt=0)
    """Deadline of a call whose client gave none."""
    grpc_max_connection_age_ms: int = Field(default=300_000, ge=1000)
    """After this a connection is wound down, so that clients resolve names again and find new replicas."""
    grpc_drain_seconds: float = Field(default=10.0, ge=0)
    """How long calls in work may take to finish at shutdown."""
    grpc_reflection: bool = True


class ServiceSettings(TelemetrySettings, IdentitySettings, GrpcServerSettings):
    """What every `*_svc` needs: Postgres and Redis behind gRPC."""

    database_url: PostgresUrl = Field(default="postgresql://127.0.0.1:5432/chat", repr=False)
    database_pool_min: int = Field(default=1, ge=0)
    database_pool_max: int = Field(default=10, ge=1)
    database_statement_timeout_ms: int = Field(default=5000, ge=1)
    database_migration_timeout_ms: int = Field(default=60_000, ge=1)
    """How long a statement of a migration may run: one that rewrites a large table needs more."""
    redis_url: RedisUrl = Field(default="redis://127.0.0.1:6379/0", repr=False)


class PublishingSettings(ServiceSettings):
    """What a `*_svc` with an outbox needs."""

    database_pool_max: int = Field(default=10, ge=4)
    """The relay holds one for each sink while it publishes, and rendering takes one more."""
    amqp_url: AmqpUrl = Field(default="amqp://127.0.0.1:5672/", repr=False)
    outbox_queue_limit: int = Field(default=10_000, ge=1)
    """Events that wait in memory for each sink; those beyond wait in the table, for the relay."""
    outbox_poll_seconds: float = Field(default=1.0, gt=0)
    """How often the relay looks for what was left."""
    outbox_keep_days: float = Field(default=14.0, gt=0)
    """When an event is given up that cannot be published though Redis or RabbitMQ is there."""
    stream_max_length: int = Field(default=1000, ge=1)
    """Entries of a user's Redis stream, approximately."""
    stream_max_age_seconds: int = Field(default=7 * 86_400, ge=1)
    """Age of an entry of a user's Redis stream."""
