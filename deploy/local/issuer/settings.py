"""Settings of the development issuer."""

import ipaddress
from pathlib import Path
from typing import Self

from pydantic import Field, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from servicekit.settings import Names


class IssuerSettings(BaseSettings):
    """From the environment: ISSUER_HOST, ISSUER_PORT, ISSUER_KEYS_DIR and so on."""

    model_config = SettingsConfigDict(env_prefix="ISSUER_")

    host: str = "127.0.0.1"
    port: int = Field(default=8090, ge=1, le=65535)
    url: str = ""
    keys_dir: Path = Path(".state/issuer")
    allowed_origins: Names = ()
    """Origins whose pages may ask for tokens: names parted by commas, or a JSON list."""
    audience: str = "splits-chat"

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
