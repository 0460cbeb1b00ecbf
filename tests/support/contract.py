"""The public contract, as answers and frames are held against it: closed, so that a field too many fails."""

from __future__ import annotations

import copy
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

EDGE = Path(__file__).parents[2] / "edge_gateway"
# Parts of others by `allOf`: closed where they are put together.
_PARTS = {"Event", "DurableEvent", "ConversationEvent", "TypingEvent", "ClientFrame"}

Json = dict[str, Any]


@cache
def document(name: str) -> Json:
    """`openapi.yaml` or `asyncapi.yaml`."""
    loaded: Json = yaml.safe_load((EDGE / name).read_text(encoding="utf-8"))
    return loaded


def operations() -> set[tuple[str, str]]:
    """Method and template of everything in openapi.yaml."""
    methods = {"get", "post", "put", "patch", "delete"}
    return {
        (method.upper(), path)
        for path, item in document("openapi.yaml")["paths"].items()
        for method in methods & set(item)
    }


def frame_types(operation: str) -> set[str]:
    """Types of the frames that the server sends (`tell`) or takes (`listen`)."""
    asyncapi = document("asyncapi.yaml")
    channel = asyncapi["channels"]["chat"]["messages"]
    keys = [ref["$ref"].rpartition("/")[2] for ref in asyncapi["operations"][operation]["messages"]]
    return {asyncapi["components"]["messages"][_target(channel[key])]["name"] for key in keys}


def check_answer(method: str, template: str, status: int, content_type: str, body: object) -> None:
    """Fails unless openapi.yaml has this answer of this operation."""
    operation = document("openapi.yaml")["paths"][template][method.lower()]
    responses = operation["responses"]
    assert str(status) in responses, f"{method} {template} may not answer {status}: {body}"
    pointer = f"/paths/{_escaped(template)}/{method.lower()}/responses/{status}"
    response = responses[str(status)]
    if "$ref" in response:
        pointer = response["$ref"][1:]
        response = _at(document("openapi.yaml"), pointer)
    if "content" not in response:
        assert body is None, f"{method} {template} answers {status} without a body, not with {body}"
        return
    kind = content_type.partition(";")[0]
    assert kind in response["content"], f"{method} {template} {status} as {kind}"
    _check("openapi.yaml", f"{pointer}/content/{_escaped(kind)}/schema", body)


def check_problem(body: object) -> None:
    """Fails unless it is a `Problem`."""
    _check("openapi.yaml", "/components/schemas/Problem", body)


def check_schema(name: str, value: object) -> None:
    """Fails unless `value` is what openapi.yaml calls `name`."""
    _check("openapi.yaml", f"/components/schemas/{name}", value)


def check_frame(frame: Json) -> None:
    """Fails unless asyncapi.yaml has this frame of the server."""
    name = frame.get("type")
    assert name in frame_types("tell"), f"no such frame: {frame}"
    _check("asyncapi.yaml", f"/components/messages/{name}/payload", frame)


def _check(name: str, pointer: str, value: object) -> None:
    schema = {"$ref": f"urn:{name}#{pointer}"}
    validator = Draft202012Validator(schema, registry=_registry(), format_checker=FormatChecker())
    errors = [
        f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
        for error in validator.iter_errors(value)
    ]
    assert not errors, f"{pointer}: {errors}\n{value}"


@cache
def _registry() -> Registry[Any]:
    resources = []
    for name in ("openapi.yaml", "asyncapi.yaml"):
        closed = copy.deepcopy(document(name))
        _close(closed)
        resources.append((f"urn:{name}", DRAFT202012.create_resource(closed)))
    return Registry().with_resources(resources)


def _close(node: object, *, part: bool = False) -> None:
    if isinstance(node, list):
        for item in node:
            _close(item)
    if not isinstance(node, dict):
        return
    if str(node.get("$ref", "")).startswith("./openapi.yaml#"):
        node["$ref"] = node["$ref"].replace("./openapi.yaml#", "urn:openapi.yaml#")
    is_schema = "allOf" in node or (isinstance(node.get("properties"), dict) and "query" not in node)
    if is_schema and not part:
        node.setdefault("unevaluatedProperties", False)
    for key, value in node.items():
        if key == "allOf":
            for item in value:
                _close(item, part=True)
        elif key in ("properties", "schemas") and isinstance(value, dict):
            for name, item in value.items():
                _close(item, part=key == "schemas" and name in _PARTS)
        else:
            _close(value)


def _target(reference: Json) -> str:
    target: str = reference["$ref"].rpartition("/")[2]
    return target


def _escaped(text: str) -> str:
    return text.replace("~", "~0").replace("/", "~1").replace("{", "%7B").replace("}", "%7D")


def _at(node: Any, pointer: str) -> Json:
    for part in pointer.strip("/").split("/"):
        node = node[part.replace("~1", "/").replace("~0", "~")]
    found: Json = node
    return found
