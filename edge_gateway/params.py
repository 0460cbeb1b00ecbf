"""Path and query parameters to checked values. Pure. A parameter's pointer is `/name`."""

from __future__ import annotations

import re
from collections.abc import Mapping

from multidict import MultiMapping

from edge_gateway import problems
from edge_gateway.bodies import MAX_INTEGER

DEFAULT_LIMIT = 50
MAX_LIMIT = 100
MAX_USER_ID = 200
MAX_USER_IDS = 100
_USER_ID_FORMAT = f"must be 1 to {MAX_USER_ID} printable characters"

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
MAX_KEY = 255
_KEY = re.compile(r"[ -~]{0,255}")
_DIGITS = re.compile(r"[0-9]{1,16}")


def known_shape(text: str) -> str:
    """The id of a conversation or message. Raises for what cannot be one as for an id that nobody has."""
    if not ID.fullmatch(text):
        raise problems.not_found()
    return text


def idempotency_key(headers: Mapping[str, str]) -> str:
    """The caller's key of this request; "" when there is none. Its pointer is `/Idempotency-Key`."""
    key = headers.get("Idempotency-Key", "")
    if not _KEY.fullmatch(key):
        raise problems.invalid(
            "/Idempotency-Key", "format", f"must be at most {MAX_KEY} printable ASCII characters"
        )
    return key


def user_id(value: str) -> str:
    """A user id as it may stand in a path."""
    if not _can_be_a_user(value):
        raise problems.invalid("/userId", "format", _USER_ID_FORMAT)
    return value


def user_ids(query: MultiMapping[str]) -> list[str]:
    """`userIds`, ids parted by commas, then `userId`, one as it is: 1 to 100 user ids, each once.

    An issuer's ids may hold commas (names of a directory do), and many clients encode those that part ids,
    too: only a parameter of its own tells the two apart.
    """
    parted = [each for value in query.getall("userIds", ()) for each in value.split(",")]
    whole = query.getall("userId", ())
    if not whole and not any(parted):
        raise problems.invalid("/userIds", "required", "is required, or userId")
    asked = list(dict.fromkeys([*parted, *whole]))
    if len(asked) > MAX_USER_IDS:
        name = "userIds" if parted else "userId"
        raise problems.invalid(f"/{name}", "length", f"must be at most {MAX_USER_IDS} ids in all")
    if not all(map(_can_be_a_user, parted)):
        raise problems.invalid(
            "/userIds",
            "format",
            f"must hold ids of 1 to {MAX_USER_ID} printable characters, parted by commas",
        )
    if not all(map(_can_be_a_user, whole)):
        raise problems.invalid("/userId", "format", _USER_ID_FORMAT)
    return asked


def _can_be_a_user(text: str) -> bool:
    return 1 <= len(text) <= MAX_USER_ID and text.isprintable()


def limit(query: Mapping[str, str]) -> int:
    """Page size, 1..100."""
    value = _integer(query, "limit")
    if value is None:
        return DEFAULT_LIMIT
    if not 1 <= value <= MAX_LIMIT:
        raise problems.invalid("/limit", "range", f"must be from 1 to {MAX_LIMIT}")
    return value


def choice(query: Mapping[str, str], name: str, allowed: Mapping[str, int], default: str) -> str:
    """One of a few words."""
    value = query.get(name, default)
    if value not in allowed:
        raise problems.invalid(f"/{name}", "choice", f"must be one of {', '.join(allowed)}")
    return value


def position(query: Mapping[str, str]) -> tuple[str, int] | None:
    """At most one of beforeSeq, afterSeq, aroundSeq, as its name and number."""
    given = [name for name in ("beforeSeq", "afterSeq", "aroundSeq") if name in query]
    if len(given) > 1:
        raise problems.invalid(f"/{given[1]}", "choice", f"cannot be combined with {given[0]}")
    if not given:
        return None
    value = _integer(query, given[0])
    return None if value is None else (given[0], value)


def after(query: Mapping[str, str]) -> int:
    """The change after which to go on; 0 = from the first."""
    return _integer(query, "after") or 0


def _integer(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    if not _DIGITS.fullmatch(text) or int(text) > MAX_INTEGER:
        raise problems.invalid(f"/{name}", "type", "must be a whole number")
    return int(text)
