"""Settings from the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edge_gateway.settings import EdgeSettings


def test_every_setting_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EdgeSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    settings = EdgeSettings()
    assert (settings.edge_port, settings.allowed_origins, settings.demo_enabled) == (8080, (), False)


def test_issuers_and_origins_are_read_from_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "JWT_ISSUERS", '[{"issuer":"https://a.example","audiences":["chat"],"userIdPrefix":"a:"}]'
    )
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://splits.example, http://localhost:8080")
    settings = EdgeSettings()
    [issuer] = settings.jwt_issuers
    assert issuer.user_id_prefix == "a:"
    assert issuer.keys_url == "https://a.example/.well-known/jwks.json"
    assert issuer.roles == ("recruiter", "company", "candidate")
    assert settings.allowed_origins == ("https://splits.example", "http://localhost:8080")
    monkeypatch.setenv("ALLOWED_ORIGINS", '["https://splits.example"]')
    assert EdgeSettings().allowed_origins == ("https://splits.example",)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ALLOWED_ORIGINS", "*"),
        ("ALLOWED_ORIGINS", "null"),
        ("ALLOWED_ORIGINS", "https://splits.example/"),
        ("ALLOWED_ORIGINS", "splits.example"),
        ("JWT_ISSUERS", "[{"),
        ("JWT_ISSUERS", '[{"issuer":"https://a.example"}]'),
        ("EDGE_PORT", "65536"),
    ],
)
def test_a_setting_is_refused_that_would_not_hold(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValidationError):
        EdgeSettings()


def test_a_secret_is_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CURSOR_KEY", "very-secret")
    monkeypatch.setenv("REDIS_URL", "redis://:very-secret@127.0.0.1/0")
    assert "very-secret" not in repr(EdgeSettings())
