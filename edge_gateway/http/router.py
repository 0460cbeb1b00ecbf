"""Which endpoint a method and a path name. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import unquote

EndpointT = TypeVar("EndpointT")


@dataclass(frozen=True, slots=True)
class Found(Generic[EndpointT]):
    """An endpoint, the template it was found by, and what stood in the template's `{…}`.

    Bytes there that are no UTF-8 are lone surrogates (as in PEP 383): an id like any other that nobody has.
    """

    endpoint: EndpointT
    template: str
    params: dict[str, str]


@dataclass(frozen=True, slots=True)
class NoSuchMethod:
    """The path exists for other methods."""

    template: str
    allowed: tuple[str, ...]


class Router(Generic[EndpointT]):
    """Templates such as `/v1/conversations/{id}`; a fixed segment goes before a variable one."""

    def __init__(self, routes: Iterable[tuple[str, str, EndpointT]]) -> None:
        self._by_length: dict[int, list[tuple[str, list[str], dict[str, EndpointT]]]] = {}
        templates: dict[str, dict[str, EndpointT]] = {}
        for method, template, endpoint in routes:
            methods = templates.setdefault(template, {})
            if method in methods:
                raise ValueError(f"{method} {template} is there twice")
            methods[method] = endpoint
        for template, methods in sorted(templates.items(), key=lambda item: item[0].count("{")):
            if "GET" in methods:
                methods.setdefault("HEAD", methods["GET"])
            segments = template.split("/")
            self._by_length.setdefault(len(segments), []).append((template, segments, methods))

    def find(self, method: str, raw_path: str) -> Found[EndpointT] | NoSuchMethod | None:
        """The endpoint for a percent-encoded path, or why there is none (None: no such path)."""
        given = raw_path.split("/")
        for template, segments, methods in self._by_length.get(len(given), ()):
            params = _match(segments, given)
            if params is None:
                continue
            if method not in methods:
                return NoSuchMethod(template, tuple(sorted(methods)))
            return Found(methods[method], template, params)
        return None


def _match(segments: list[str], given: list[str]) -> dict[str, str] | None:
    params = {}
    for segment, text in zip(segments, given, strict=True):
        if segment.startswith("{"):
            if not text:
                return None
            params[segment[1:-1]] = unquote(text, errors="surrogateescape")
        elif segment != text:
            return None
    return params
