"""Keys of a small marketplace: a few services that trust each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from servicekit.clock import Clock
from servicekit.identity import Signer, Trust, write_keys

SERVICES = {
    "edge_gateway": "edge",
    "ats_sync": "internal",
    "conversation_svc": "conversation_svc",
    "message_svc": "message_svc",
    "presence_svc": "presence_svc",
}
"""Caller kinds by service; message_svc and presence_svc do not act for users."""


@dataclass(frozen=True)
class Keys:
    """A folder made by `write_keys`."""

    folder: Path

    @property
    def trust_file(self) -> Path:
        return self.folder / "trust.json"

    def key_file(self, service: str) -> Path:
        return self.folder / f"{service}.pem"

    def signer(self, service: str = "edge_gateway", clock: Clock | None = None) -> Signer:
        return Signer.from_file(service, self.key_file(service), clock=clock)

    def private_key(self, service: str) -> Ed25519PrivateKey:
        key = serialization.load_pem_private_key(self.key_file(service).read_bytes(), password=None)
        assert isinstance(key, Ed25519PrivateKey)
        return key

    def trust(self, clock: Clock | None = None) -> Trust:
        return Trust.from_file(self.trust_file, clock=clock)


def make_keys(folder: Path, services: Mapping[str, str] = SERVICES) -> Keys:
    """Writes keys for `services` into `folder`."""
    write_keys(folder, services)
    return Keys(folder)


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    """Keys of SERVICES, made once a session."""
    return make_keys(tmp_path_factory.mktemp("keys"))
