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
    settings = PublishingSettings(
        database_url="postgresql://me:hunter2@db/chat",
        redis_url="rediss://:hunter2@cache:6379/0",
        amqp_url="amqps://me:hunter2@bus/chat",
    )
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


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "hunter2"),
        ("DATABASE_URL", "mysql://me:hunter2@db/chat"),
        ("REDIS_URL", "hunter2"),
        ("REDIS_URL", "http://me:hunter2@cache"),
        ("REDIS_URL", "redis://me:hunter2@cache:port/0"),
        ("REDIS_URL", "redis://me:hunter2/3@cache:6379/0"),
        ("AMQP_URL", "hunter2"),
        ("AMQP_URL", "amqp://me:hunter2@bus:99999/"),
    ],
)
def test_an_address_that_is_none_is_a_line_at_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SystemExit):
        PublishingSettings.from_environment()
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{name}: not an address such as ")
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DATABASE_URL", "postgres://me:a%2Fb@one:5432,two:5433/chat?target_session_attrs=read-write"),
        ("DATABASE_URL", "postgresql:///chat?host=/run/postgresql"),
        ("REDIS_URL", "unix:///run/redis.sock?db=1"),
        ("REDIS_URL", "rediss://user:a%2Fb@cache.example/0?ssl_ca_certs=/etc/ca.pem"),
        ("AMQP_URL", "amqps://me:x@bus.example/chat?heartbeat=30"),
    ],
)
def test_an_address_may_be_all_that_its_driver_knows(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    assert getattr(PublishingSettings(), name.lower()) == value
