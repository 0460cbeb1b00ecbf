"""Settings of the development issuer."""

import ipaddress
import json
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class IssuerSettings(BaseSettings):
    """From the environment: ISSUER_HOST, ISSUER_PORT, ISSUER_KEYS_DIR and so on."""

    model_config = SettingsConfigDict(env_prefix="ISSUER_")

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=1, le=65535)
    url: str = ""
    keys_dir: Path = Path(".state/issuer")
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = ()
    """Origins whose pages may ask for tokens: names parted by commas, or a JSON list."""
    audience: str = "splits-chat"

    @field_validator("allowed_origins", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("["):
            return tuple(json.loads(value))
        return tuple(part.strip() for part in value.split(",") if part.strip())

    @model_validator(mode="after")
    def _loopback_only(self) -> Self:
        if not is_loopback(self.host):
            raise ValueError(f"ISSUER_HOST must be a loopback address, not {self.host!r}")
        host = f"[{self.host}]" if ":" in self.host else self.host
        self.url = (self.url or f"http://{host}:{self.port}").rstrip("/")
        return self


def is_loopback(name: str) -> bool:
    """Say whether a host name can only mean this machine."""
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
