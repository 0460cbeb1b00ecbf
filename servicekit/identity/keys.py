"""Makes key files, for development and tests; a real deployment brings its own secrets."""

import base64
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from servicekit.identity.trust import Trust

ACTING_KINDS = frozenset({"edge", "internal", "conversation_svc"})
"""Kinds of caller that `write_keys` lets act for users."""


def write_keys(
    directory: Path, services: Mapping[str, str], *, acting_kinds: Collection[str] = ACTING_KINDS
) -> None:
    """Makes `<service>.pem` (0600) for each service and one `trust.json` that believes them all.

    `services` maps a service's name to its caller kind. For development and tests; existing keys are kept,
    and so are entries that somebody added for a service of their own. StartError when their file is broken.
    """
    directory.mkdir(parents=True, exist_ok=True)
    trusted = directory / "trust.json"
    entries: list[dict[str, object]] = []
    if trusted.exists():
        Trust.from_file(trusted)  # says what is wrong with it
        before = json.loads(trusted.read_text())["keys"]
        entries = [entry for entry in before if entry["service"] not in services]
    for service, kind in services.items():
        path = directory / f"{service}.pem"
        if not path.exists():
            _write_private(path, Ed25519PrivateKey.generate())
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        raw = key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        entries.append(
            {
                "service": service,
                "caller": kind,
                "acts_for_users": kind in acting_kinds,
                "public_key": base64.b64encode(raw).decode(),
            }
        )
    scratch = directory / ".trust.json.new"
    scratch.write_text(json.dumps({"keys": entries}, indent=2) + "\n")
    scratch.replace(trusted)


def _write_private(path: Path, key: Ed25519PrivateKey) -> None:
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem)
