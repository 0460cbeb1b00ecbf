"""The key that the development issuer signs with."""

import base64
import contextlib
import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Self

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

KEY_FILE = "issuer.pem"


class SigningKey:
    """An RS256 key whose `kid` is its RFC 7638 thumbprint."""

    def __init__(self, private: rsa.RSAPrivateKey) -> None:
        self._private = private
        numbers = private.public_key().public_numbers()
        public = {"e": _base64url(numbers.e), "kty": "RSA", "n": _base64url(numbers.n)}
        canonical = json.dumps(public, separators=(",", ":"), sort_keys=True).encode()
        self.kid = base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()
        self.jwk = public | {"kid": self.kid, "use": "sig", "alg": "RS256"}

    @classmethod
    def load_or_make(cls, directory: Path) -> Self:
        """Read the key kept in `directory`; the first start makes it, mode 0600, whole or not at all."""
        path = directory / KEY_FILE
        if not path.exists():
            directory.mkdir(parents=True, exist_ok=True)
            _write_new_key(path)
        private = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(private, rsa.RSAPrivateKey):
            raise TypeError(f"{path} does not hold an RSA key")
        return cls(private)

    def sign(self, claims: dict[str, object]) -> str:
        """Return the claims as a compact JWT."""
        return jwt.encode(claims, self._private, algorithm="RS256", headers={"kid": self.kid})


def _write_new_key(path: Path) -> None:
    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".issuer-")  # mkstemp: mode 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(pem)
        # A link never replaces: of two first starts at once the earlier one's key counts for both.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        Path(draft).unlink()


def _base64url(number: int) -> str:
    octets = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
