"""WebSocket handshakes: from where, with what."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from edge_gateway.problems import ProblemError
from edge_gateway.sockets import upgrade

PAGE = "https://splits.example"
HEADERS = {
    "Origin": PAGE,
    "Upgrade": "websocket",
    "Connection": "keep-alive, Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Protocol": "chat.v1, bearer.a.b.c",
}


def read(**changes: str | None) -> upgrade.Upgrade:
    headers = {**HEADERS, **{name.replace("_", "-"): value for name, value in changes.items()}}
    given = CIMultiDict({name: value for name, value in headers.items() if value is not None})
    return upgrade.read(given, {PAGE})


def status(**changes: str | None) -> int:
    with pytest.raises(ProblemError) as error:
        read(**changes)
    return error.value.problem.status


def test_a_browsers_handshake_is_answered_as_the_standard_has_it() -> None:
    found = read()
    assert found.token == "a.b.c"
    assert found.headers == {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        "Sec-WebSocket-Protocol": "chat.v1",
    }


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "https://evil.example",
        "https://splits.example.evil.example",
        "https://evilsplits.example",
        "http://splits.example",
        "https://splits.example:8443",
        "https://splits.example/",
        "https://SPLITS.example",
        "",
    ],
)
def test_a_foreign_origin_is_refused_even_with_a_header(origin: str) -> None:
    assert status(Origin=origin) == 403
    assert status(Origin=origin, Authorization="Bearer a.b.c") == 403


def test_only_who_sets_a_header_may_leave_out_the_origin() -> None:
    assert status(Origin=None) == 403
    found = read(Origin=None, Authorization="Bearer x.y.z", Sec_WebSocket_Protocol=None)
    assert found.token == "x.y.z"
    assert "Sec-WebSocket-Protocol" not in found.headers


def test_a_header_goes_before_the_subprotocol() -> None:
    assert read(Authorization="bearer x.y.z").token == "x.y.z"
    assert read(Authorization="Basic x").token == "a.b.c"
    assert read(Sec_WebSocket_Protocol="chat.v1").token == ""


@pytest.mark.parametrize(
    "changes",
    [
        {"Upgrade": None},
        {"Upgrade": "h2c"},
        {"Connection": "close"},
        {"Sec_WebSocket_Version": "8"},
        {"Sec_WebSocket_Key": None},
        {"Sec_WebSocket_Key": "short"},
        {"Sec_WebSocket_Key": "é"},
        {"Sec_WebSocket_Protocol": "chat.v2, bearer.a.b.c"},
    ],
)
def test_what_is_no_handshake_is_a_bad_request(changes: dict[str, str | None]) -> None:
    assert status(**changes) == 400
