"""Settings come from the environment and keep secrets to themselves."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from servicekit.settings import PublishingSettings


def test_every_setting_has_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PublishingSettings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    settings = PublishingSettings()
    assert settings.grpc_max_receive_bytes == 4 * 1024 * 1024
    assert settings.otel_exporter_otlp_endpoint is None


def test_a_variable_is_the_upper_case_name_of_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_PORT", "6001")
    monkeypatch.setenv("SERVICE_KEY_FILE", "/run/keys/me.pem")
    monkeypatch.setenv("GRPC_REFLECTION", "false")
    settings = PublishingSettings()
    assert (settings.grpc_port, settings.service_key_file) == (6001, Path("/run/keys/me.pem"))
    assert not settings.grpc_reflection


def test_passwords_do_not_show_in_a_representation() -> None:
    secret = "postgresql://me:hunter2@db/chat"
    settings = PublishingSettings(database_url=secret, redis_url=secret, amqp_url=secret)
    assert "hunter2" not in repr(settings) + str(settings)


def test_a_value_that_is_not_valid_is_named_and_not_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_PORT", "hunter2")
    with pytest.raises(ValidationError) as caught:
        PublishingSettings()
    assert "grpc_port" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_process_that_starts_says_each_variable_that_is_wrong_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("GRPC_PORT", "hunter2")
    monkeypatch.setenv("DATABASE_POOL_MAX", "1")
    with pytest.raises(SystemExit) as ended:
        PublishingSettings.from_environment()
    assert ended.value.code == 1
    lines = sorted(capsys.readouterr().err.splitlines())
    assert [line.partition(":")[0] for line in lines] == ["DATABASE_POOL_MAX", "GRPC_PORT"]
    assert "hunter2" not in "".join(lines)
