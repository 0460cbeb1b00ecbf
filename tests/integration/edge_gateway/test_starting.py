"""An edge that cannot start says why, in one sentence, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edge_gateway.app import EdgeApp
from edge_gateway.measures import cursor_key
from edge_gateway.settings import EdgeSettings
from servicekit.runner import StartError
from tests.support.edge import Edge
from tests.support.keys import Keys


def settings(keys: Keys, **more: Any) -> EdgeSettings:
    values: dict[str, Any] = {
        "edge_port": 0,
        "ops_port": 0,
        "service_key_file": keys.key_file("edge_gateway"),
    }
    return EdgeSettings(**{**values, **more})


async def fails(keys: Keys, **more: Any) -> str:
    with pytest.raises(StartError) as error:
        await EdgeApp(settings(keys, **more)).start()
    return str(error.value)


async def test_a_port_that_is_taken_is_named(keys: Keys, redis_url: str, edge: Edge) -> None:
    said = await fails(keys, redis_url=redis_url, edge_port=edge.app.port)
    assert str(edge.app.port) in said
    said = await fails(keys, redis_url=redis_url, ops_port=edge.app.ops_port)
    assert str(edge.app.ops_port) in said


async def test_a_key_that_is_missing_is_named(keys: Keys, redis_url: str, tmp_path: Path) -> None:
    assert "no.pem" in await fails(keys, redis_url=redis_url, service_key_file=tmp_path / "no.pem")


async def test_an_option_of_the_address_of_redis_that_is_none_is_told(keys: Keys) -> None:
    assert "REDIS_URL" in await fails(keys, redis_url="redis://127.0.0.1/0?socket_timeout=x")


def test_edges_that_share_their_key_file_share_the_key_of_cursors(keys: Keys) -> None:
    assert cursor_key(settings(keys)) == cursor_key(settings(keys))
    assert cursor_key(settings(keys, cursor_key="a setting of its own")) == b"a setting of its own"
