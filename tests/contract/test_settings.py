"""`.env.example` names every setting of every process, with its default."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings

from conversation_svc.settings import ConversationSettings
from deploy.local.folders import CHECKOUT
from deploy.local.issuer.settings import IssuerSettings
from edge_gateway.settings import EdgeSettings
from message_svc.settings import MessageSettings
from presence_svc.settings import PresenceSettings

SETTINGS: dict[str, type[BaseSettings]] = {
    "conversation_svc": ConversationSettings,
    "message_svc": MessageSettings,
    "presence_svc": PresenceSettings,
    "edge_gateway": EdgeSettings,
    "deploy.local.issuer": IssuerSettings,
}


def _written(section: str) -> Iterator[tuple[str, str]]:
    """The settings written under `## <section>`: a line is `#NAME=default`, or `NAME=` when there is none."""
    text = (CHECKOUT / ".env.example").read_text()
    _, found, rest = text.partition(f"\n## {section}\n")
    assert found, f"no section {section}"
    for line in rest.partition("\n## ")[0].splitlines():
        if line and not line.startswith("# "):
            name, _, value = line.removeprefix("#").partition("=")
            yield name, value


def _default(field: FieldInfo) -> str:
    value = None if field.is_required() else field.get_default(call_default_factory=True)
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return value.get_secret_value()
    if isinstance(value, list | tuple | dict):
        return orjson.dumps(value).decode()
    return str(value).lower() if isinstance(value, bool) else str(value)


@pytest.mark.parametrize("section", SETTINGS)
def test_the_example_names_every_setting_with_its_default(section: str) -> None:
    model = SETTINGS[section]
    prefix = model.model_config.get("env_prefix", "")
    expected = {f"{prefix}{name}".upper(): _default(field) for name, field in model.model_fields.items()}
    written = list(_written(section))
    assert dict(written) == expected
    assert len(written) == len(expected), "a setting is named twice"


@pytest.mark.parametrize("section", SETTINGS)
def test_only_settings_without_a_default_have_to_be_set(section: str) -> None:
    lines = (CHECKOUT / ".env.example").read_text().splitlines()
    model = SETTINGS[section]
    for name, field in model.model_fields.items():
        assert field.is_required() == (f"{name.upper()}=" in lines) or f"#{name.upper()}=" in lines


def test_by_default_each_service_is_looked_for_where_it_listens() -> None:
    def default(model: type[BaseSettings], name: str) -> object:
        return model.model_fields[name].default

    conversation = f"127.0.0.1:{default(ConversationSettings, 'grpc_port')}"
    message = f"127.0.0.1:{default(MessageSettings, 'grpc_port')}"
    assert default(EdgeSettings, "conversation_svc_target") == conversation
    assert default(EdgeSettings, "message_svc_target") == message
    assert default(ConversationSettings, "message_svc_target") == message
    assert default(PresenceSettings, "conversation_svc_target") == conversation
