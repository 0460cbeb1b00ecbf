"""Which endpoint a path names."""

from __future__ import annotations

import pytest

from edge_gateway.http.router import Found, NoSuchMethod, Router

ROUTER = Router(
    [
        ("GET", "/v1/things", "list"),
        ("POST", "/v1/things", "create"),
        ("GET", "/v1/things/{id}", "get"),
        ("GET", "/v1/things/special", "special"),
        ("PUT", "/v1/things/{id}/parts/{part}", "put"),
    ]
)


def test_a_path_finds_its_endpoint_and_what_stands_in_it() -> None:
    assert ROUTER.find("GET", "/v1/things") == Found("list", "/v1/things", {})
    assert ROUTER.find("HEAD", "/v1/things") == Found("list", "/v1/things", {})
    assert ROUTER.find("GET", "/v1/things/special") == Found("special", "/v1/things/special", {})
    found = ROUTER.find("PUT", "/v1/things/a%2Fb%7Cc/parts/%C3%A9")
    assert found == Found("put", "/v1/things/{id}/parts/{part}", {"id": "a/b|c", "part": "é"})


@pytest.mark.parametrize(
    "path",
    ["/", "", "/v1", "/v1/things/", "/v1/things/x/parts", "//v1/things", "/V1/things", "/%ff"],
)
def test_other_paths_find_none(path: str) -> None:
    assert ROUTER.find("GET", path) is None


def test_an_id_that_is_no_utf_8_is_an_id_like_any_other() -> None:
    found = ROUTER.find("GET", "/v1/things/a%ff")
    assert found == Found("get", "/v1/things/{id}", {"id": "a\udcff"})


def test_another_method_is_told_apart() -> None:
    assert ROUTER.find("DELETE", "/v1/things") == NoSuchMethod("/v1/things", ("GET", "HEAD", "POST"))


def test_a_route_cannot_be_there_twice() -> None:
    with pytest.raises(ValueError, match="twice"):
        Router([("GET", "/a", 1), ("GET", "/a", 2)])
