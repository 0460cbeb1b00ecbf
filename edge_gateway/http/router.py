"""Which endpoint a method and a path name. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Generic, TypeVar
from urllib.parse import unquote

EndpointT = TypeVar("EndpointT")


@dataclass(slots=True)
class Found(Generic[EndpointT]):
    """An endpoint, the template it was found by, and what stood in the template's `{…}`.

    Bytes there that are no UTF-8 are lone surrogates (as in PEP 383): an id like any other that nobody has.
    """

    endpoint: EndpointT
    template: str
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class NoSuchMethod:
    """The path exists for other methods."""

    template: str
    allowed: tuple[str, ...]


class Router(Generic[EndpointT]):
    """Templates such as `/v1/conversations/{id}`; a fixed segment goes before a variable one."""

    def __init__(self, routes: Iterable[tuple[str, str, EndpointT]]) -> None:
        self._shapes: dict[int, list[_Shape[EndpointT]]] = {}
        """By number of segments; those with the fewest variable ones first."""
        self._fixed: dict[tuple[str, str], Found[EndpointT]] = {}
        """What has no variable segment, by method and path."""
        # Most requests are about few conversations. An address has at most 8 KiB.
        self.find = lru_cache(maxsize=1024)(self._find)
        """The endpoint for a method and a percent-encoded path, or why there is none (None: no such path)."""
        templates: dict[str, dict[str, EndpointT]] = {}
        for method, template, endpoint in routes:
            methods = templates.setdefault(template, {})
            if method in methods:
                raise ValueError(f"{method} {template} is there twice")
            methods[method] = endpoint
        for template, methods in sorted(templates.items(), key=lambda item: item[0].count("{")):
            if "GET" in methods:
                methods.setdefault("HEAD", methods["GET"])
            if "{" not in template:
                for method, endpoint in methods.items():
                    self._fixed[method, template] = Found(endpoint, template, {})
            segments = template.split("/")
            names = {place: text[1:-1] for place, text in enumerate(segments) if text.startswith("{")}
            shapes = self._shapes.setdefault(len(segments), [])
            shape = next((each for each in shapes if each.places == tuple(names)), None)
            if shape is None:
                shapes.append(shape := _Shape(tuple(names)))
            shape.templates.setdefault(shape.fixed(segments), (template, tuple(names.values()), methods))

    def _find(self, method: str, raw_path: str) -> Found[EndpointT] | NoSuchMethod | None:
        fixed = self._fixed.get((method, raw_path))
        if fixed is not None:
            return fixed
        given = raw_path.split("/")
        for shape in self._shapes.get(len(given), ()):
            found = shape.templates.get(shape.fixed(given))
            if found is None or not all(given[place] for place in shape.places):
                continue
            template, names, methods = found
            if method not in methods:
                return NoSuchMethod(template, tuple(sorted(methods)))
            texts = [given[place] for place in shape.places]
            if "%" in raw_path:
                texts = [unquote(text, errors="surrogateescape") for text in texts]
            return Found(methods[method], template, dict(zip(names, texts, strict=True)))
        return None


@dataclass(frozen=True, slots=True)
class _Shape(Generic[EndpointT]):
    """Templates that are variable in the same places, by what is fixed in them: one look-up for all."""

    places: tuple[int, ...]
    templates: dict[tuple[str, ...], tuple[str, tuple[str, ...], dict[str, EndpointT]]] = field(
        default_factory=dict
    )

    def fixed(self, segments: list[str]) -> tuple[str, ...]:
        """The segments, empty where they are variable."""
        found = segments.copy()
        for place in self.places:
            found[place] = ""
        return tuple(found)
