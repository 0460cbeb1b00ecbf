"""Frames that a client may send, made from asyncapi.yaml: what is added there is fuzzed from then on."""

from __future__ import annotations

import random
from typing import Any

from tests.support import contract

Schema = dict[str, Any]
NOWHERE = "0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b"


def client_frames(chance: random.Random, where: str = NOWHERE, *, number: int = 4) -> list[dict[str, Any]]:
    """So many of each kind, each with an `id`, and everything in it that it may have; ids are `where`."""
    messages = contract.document("asyncapi.yaml")["components"]["messages"]
    kinds = sorted(contract.frame_types("listen"))
    found = []
    for kind in kinds:
        payload = messages[f"client.{kind}"]["payload"] if f"client.{kind}" in messages else None
        payload = payload or next(each["payload"] for each in messages.values() if each["name"] == kind)
        for each in range(number):
            found.append({**_object(payload, chance, where), "type": kind, "id": f"{kind}-{each}"})
    return found


def _object(schema: Schema, chance: random.Random, where: str) -> dict[str, Any]:
    schema = _resolved(schema)
    made: dict[str, Any] = {}
    for part in schema.get("allOf", ()):
        made |= _object(part, chance, where)
    for name, each in schema.get("properties", {}).items():
        made[name] = _value(each, chance, where)
    return made


def _value(schema: Schema, chance: random.Random, where: str) -> Any:
    schema = _resolved(schema)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return chance.choice(schema["enum"])
    match schema.get("type"):
        case "string":
            return "a.b.c" if schema.get("maxLength", 0) > 1000 else where
        case "integer" | "number":
            return chance.choice((0, 1, 7, 2**31, 2**53 - 1))
        case "boolean":
            return chance.random() < 0.5
        case "array":
            return [_value(schema["items"], chance, where)]
        case _:
            return _object(schema, chance, where)


def _resolved(schema: Schema) -> Schema:
    while "$ref" in schema:
        name, _, pointer = schema["$ref"].partition("#")
        schema = contract.document(name.removeprefix("./") or "asyncapi.yaml")
        for part in pointer.strip("/").split("/"):
            schema = schema[part]
    return schema
