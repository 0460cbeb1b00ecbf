"""Request bodies: JSON text to checked values. Pure.

Every problem of a body is collected, each with its RFC 6901 pointer, and told at once.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from edge_gateway import problems
from servicekit.errors import Reason, Violation

MAX_INTEGER = 2**53 - 1
"""Largest integer that every JSON reader keeps exact."""


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body.

    Raises `validation_failed` for malformed JSON (also NaN, lone surrogates, wrong UTF-8, too deep) and for
    anything but an object.
    """
    try:
        value = orjson.loads(body)
    except (orjson.JSONDecodeError, RecursionError):
        raise problems.invalid("", "json", "is not well-formed JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise problems.invalid("", "type", "must be an object")
    return value


class Fields:
    """Reads the fields of one JSON object and notes what is wrong with them; unknown ones are ignored."""

    def __init__(
        self, values: Mapping[str, Any], pointer: str = "", violations: list[Violation] | None = None
    ) -> None:
        self._values = values
        self._pointer = pointer
        self.violations: list[Violation] = [] if violations is None else violations

    def finish(self) -> None:
        """Raises `validation_failed` with everything noted so far."""
        if self.violations:
            raise problems.failure(Reason.VALIDATION_FAILED, violations=self.violations)

    def text(
        self,
        name: str,
        *,
        longest: int,
        required: bool = False,
        pattern: re.Pattern[str] | None = None,
    ) -> str:
        """A string of at most `longest` characters without NUL; "" when absent (or null) or wrong."""
        value = self._values.get(name)
        if value is None or (value == "" and required):
            if required:
                self._note(name, "required", "is required")
        elif not isinstance(value, str):
            self._note(name, "type", "must be a string")
        elif len(value) > longest:
            self._note(name, "length", f"must have at most {longest} characters")
        elif "\0" in value:
            self._note(name, "format", "must not contain NUL")
        elif pattern is not None and value and not pattern.fullmatch(value):
            self._note(name, "format", "has characters that are not allowed here")
        else:
            return value
        return ""

    def texts(self, name: str, *, most: int, longest: int) -> list[str]:
        """At most `most` strings of 1 to `longest` characters; none when absent (or null) or wrong."""
        value = self._values.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            self._note(name, "type", "must be a list of strings")
        elif len(value) > most:
            self._note(name, "length", f"must have at most {most} elements")
        elif not all(1 <= len(each) <= longest and "\0" not in each for each in value):
            self._note(name, "format", f"must hold strings of 1 to {longest} characters without NUL")
        else:
            return list(value)
        return []

    def choice(self, name: str, allowed: Collection[str]) -> str:
        """One of a few words; "" when absent (or null) or wrong."""
        value = self._values.get(name)
        if value is None:
            return ""
        if isinstance(value, str) and value in allowed:
            return value
        self._note(name, "choice", f"must be one of {', '.join(allowed)}")
        return ""

    def boolean(self, name: str) -> bool:
        """True or false; false when absent (or null) or wrong."""
        value = self._values.get(name)
        if value is None or isinstance(value, bool):
            return bool(value)
        self._note(name, "type", "must be true or false")
        return False

    def maybe_boolean(self, name: str) -> bool | None:
        """True or false; None when absent (or null) or wrong."""
        return None if self._values.get(name) is None else self.boolean(name)

    def integer(self, name: str) -> int:
        """A required integer from 0 to 2^53 - 1; 0 when wrong."""
        value = self._values.get(name)
        if value is None:
            self._note(name, "required", "is required")
        elif isinstance(value, bool) or not isinstance(value, int):
            self._note(name, "type", "must be an integer")
        elif not 0 <= value <= MAX_INTEGER:
            self._note(name, "range", f"must be from 0 to {MAX_INTEGER}")
        else:
            return value
        return 0

    def child(self, name: str, *, required: bool = False) -> Fields | None:
        """The object under `name`; its problems are noted here too. None when absent (or null) or wrong."""
        value = self._values.get(name)
        if value is None:
            if required:
                self._note(name, "required", "is required")
            return None
        if not isinstance(value, dict):
            self._note(name, "type", "must be an object")
            return None
        return Fields(value, f"{self._pointer}/{name}", self.violations)

    def _note(self, name: str, code: str, message: str) -> None:
        self.violations.append(Violation(f"{self._pointer}/{name}", code, message))
