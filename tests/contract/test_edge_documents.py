"""The edge serves what its documents say, and its documents say all that it serves."""

from __future__ import annotations

import inspect
import re
from typing import Any

import orjson
import pytest
from openapi_spec_validator import validate

from chatctl import announce
from conversation_svc import events as conversation_events
from edge_gateway import app, problems
from edge_gateway.routes import documents
from edge_gateway.sockets import events, frames
from edge_gateway.sockets.codes import Close
from edge_gateway.sockets.ephemeral import EPHEMERAL_TYPES
from message_svc import events as message_events
from tests.support import contract

DOCUMENTS = {("GET", "/openapi.json"), ("GET", "/asyncapi.json"), ("GET", "/docs")}


def test_openapi_is_valid() -> None:
    validate(contract.document("openapi.yaml"))


def test_every_route_is_in_openapi_and_nothing_else_is() -> None:
    routes = {(route.method, route.template) for route in app.ROUTES}
    assert routes | DOCUMENTS == contract.operations()
    assert {(method, path) for method, path, _ in documents.endpoints()} == DOCUMENTS


def test_every_operation_says_what_it_answers_to_whom() -> None:
    for route in app.ROUTES:
        operation = contract.document("openapi.yaml")["paths"][route.template][route.method.lower()]
        expected = {"401", "403", "429", "503"} | ({"413", "415"} if route.writes else set())
        assert expected <= set(operation["responses"]), route.template
        assert operation["summary"].endswith(".")


def test_every_frame_is_in_asyncapi_and_nothing_else_is() -> None:
    published = set(re.findall(r'"((?:message|conversation|read|block)\.[a-z]+)"', _source(message_events)))
    published |= set(
        re.findall(r'"((?:message|conversation|read|block)\.[a-z]+)"', _source(conversation_events))
    )
    published |= set(conversation_events.BLOCK_EVENTS)
    published.add(announce.NOTICE)
    assert published >= events.JOINED_TYPES
    assert contract.frame_types("tell") == frames.OWN_TYPES | EPHEMERAL_TYPES | published
    assert contract.frame_types("listen") == frames.CLIENT_TYPES


def test_asyncapi_names_every_close_code() -> None:
    text = contract.document("asyncapi.yaml")["info"]["description"]
    for code in Close:
        if code is not Close.NORMAL:
            assert str(code.value) in text


def test_every_reference_leads_somewhere() -> None:
    loaded = {name: contract.document(name) for name in ("openapi.yaml", "asyncapi.yaml")}
    for name, document in loaded.items():
        for reference in _references(document):
            file, _, pointer = reference.partition("#")
            target: Any = loaded[file.removeprefix("./") or name]
            for part in pointer.strip("/").split("/"):
                target = target[part.replace("~1", "/")]


@pytest.mark.parametrize("name", ["openapi.yaml", "asyncapi.yaml"])
def test_what_is_served_refers_to_what_is_served(name: str) -> None:
    served = orjson.dumps(documents.load(name)).decode()
    assert ".yaml" not in served


def test_the_page_for_people_shows_every_route_frame_and_code() -> None:
    page = documents.human_page(documents.load("openapi.yaml"), documents.load("asyncapi.yaml")).decode()
    for route in app.ROUTES:
        assert f"{route.method} {route.template}" in page
    for name in contract.frame_types("tell") | contract.frame_types("listen"):
        assert name in page
    for code in problems.TEXTS:
        assert f'id="{code}"' in page
    assert "src=" not in page


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    if isinstance(node, list):
        return [found for value in node for found in _references(value)]
    return []


def _source(module: Any) -> str:

    return inspect.getsource(module)
