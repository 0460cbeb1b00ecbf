"""Checks requests against the rules in their contract (protovalidate), before any work."""

from functools import lru_cache
from typing import Any

import protovalidate

from servicekit.errors import ChatError, Reason, Violation
from servicekit.interceptors.base import Call, Proceed, UnaryInterceptor

_MAX_VIOLATIONS = 20


class ValidationInterceptor(UnaryInterceptor):
    """Refuses a request that breaks a rule with VALIDATION_FAILED and a pointer to each field at fault."""

    def __init__(self) -> None:
        self._validator = protovalidate.Validator()

    async def around(self, call: Call, proceed: Proceed) -> Any:
        """Handles the call when its request is valid."""
        found = self._validator.collect_violations(call.request)
        if found:
            raise ChatError(
                Reason.VALIDATION_FAILED,
                "The request is not valid.",
                violations=[_violation(violation) for violation in found[:_MAX_VIOLATIONS]],
            )
        return await proceed()


def _violation(violation: protovalidate.Violation) -> Violation:
    proto = violation.proto
    steps: list[str] = []
    for element in proto.field.elements if proto.field else ():
        steps.append(_json_name(element.field_name))
        if element.subscript is not None:
            steps.append(_escaped(str(element.subscript.value)))
    pointer = "".join(f"/{step}" for step in steps)
    return Violation(pointer, proto.rule_id or "invalid", proto.message or "is not valid")


@lru_cache(maxsize=1024)
def _json_name(field_name: str) -> str:
    head, *rest = field_name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in rest)


def _escaped(step: str) -> str:
    return step.replace("~", "~0").replace("/", "~1")
