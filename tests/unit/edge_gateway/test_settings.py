"""Settings from the environment."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from edge_gateway import measures
from edge_gateway.clients import Times
from edge_gateway.http.server import Bounds
from edge_gateway.settings import EdgeSettings
from edge_gateway.sockets import looks, marks, reports


def test_every_setting_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in EdgeSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    settings = EdgeSettings()
    assert (settings.edge_port, settings.allowed_origins, settings.demo_enabled) == (8080, (), False)


def test_times_are_seconds_where_they_are_kept() -> None:
    settings = EdgeSettings(
        ws_recheck_ms=1000,
        ws_look_timeout_ms=2000,
        ws_look_retry_ms=3000,
        ws_look_retry_max_ms=4000,
        ws_presence_every_ms=5000,
        ws_presence_gather_ms=6000,
        ws_presence_retry_ms=7000,
        ws_presence_last_ms=8000,
        read_debounce_ms=9000,
        request_timeout_ms=10_000,
        read_marks_max=11,
        read_writes_max=12,
        http_idle_ms=13_000,
        http_linger_ms=14_000,
        http_drain_ms=15_000,
        call_timeout_ms=16_000,
        redact_timeout_ms=17_000,
    )
    assert measures.look_times(settings) == looks.Times(recheck_s=1, answer_s=2, again_s=3, again_most_s=4)
    assert measures.report_times(settings) == reports.Times(every_s=5, gather_s=6, retry_s=7, last_s=8)
    assert measures.mark_bounds(settings) == marks.Bounds(
        gather_s=9, timeout_s=10, most_waiting=11, most_writes=12
    )
    assert measures.http_bounds(settings) == Bounds(
        idle_s=13,
        linger_s=14,
        drain_s=15,
        max_header=16 * 1024,
        max_ahead=64 * 1024,
        max_body=64 * 1024,
        backlog=4096,
    )
    assert measures.call_times(settings) == Times(call_s=16, redact_s=17)


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
