"""The development issuer: its keys, its claims, and whom it refuses."""

import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from aiohttp import ClientSession, web
from pydantic import ValidationError

from deploy.local.issuer.__main__ import main
from deploy.local.issuer.app import make_app
from deploy.local.issuer.keys import KEY_FILE, SigningKey
from deploy.local.issuer.settings import IssuerSettings

PAGE = "http://localhost:8080"
AUDIENCE = "splits-chat"


@pytest.fixture(scope="module")
def keys_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("issuer") / "keys"


@pytest.fixture(scope="module")
async def issuer(keys_dir: Path) -> AsyncIterator[str]:
    settings = IssuerSettings(keys_dir=keys_dir, allowed_origins=(PAGE,), url="http://issuer.example")
    runner = web.AppRunner(make_app(settings, SigningKey.load_or_make(keys_dir)))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.fixture(scope="module")
async def http() -> AsyncIterator[ClientSession]:
    async with ClientSession() as session:
        yield session


async def ask(http: ClientSession, issuer: str, body: object, **headers: str) -> tuple[int, dict[str, Any]]:
    async with http.post(f"{issuer}/token", json=body, headers=headers) as response:
        return response.status, await response.json(content_type=None)


async def claims_of(http: ClientSession, issuer: str, token: str) -> dict[str, Any]:
    async with http.get(f"{issuer}/.well-known/jwks.json") as response:
        keys = jwt.PyJWKSet.from_dict(await response.json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    verified: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience=AUDIENCE)
    return verified


async def test_a_token_carries_who_somebody_is_and_verifies_by_the_published_keys(
    http: ClientSession, issuer: str
) -> None:
    status, answer = await ask(
        http,
        issuer,
        {
            "userId": "ada",
            "role": "recruiter",
            "orgId": "org_1",
            "orgName": "Analytical Engines",
            "orgVerified": True,
            "displayName": "Ada Lovelace",
            "avatarUrl": "https://pictures.example/ada.png",
            "email": "ada@people.example",
            "impersonator": "support",
        },
    )
    assert status == 200
    claims = await claims_of(http, issuer, answer["token"])
    assert claims.pop("sid").startswith("sess_")
    assert claims["exp"] - claims["iat"] == 3600
    assert abs(claims["iat"] - time.time()) < 60
    for name in ("iat", "nbf", "exp"):
        del claims[name]
    assert claims == {
        "iss": "http://issuer.example",
        "aud": AUDIENCE,
        "sub": "ada",
        "role": "recruiter",
        "org_id": "org_1",
        "org_name": "Analytical Engines",
        "org_verified": True,
        "name": "Ada Lovelace",
        "picture": "https://pictures.example/ada.png",
        "email": "ada@people.example",
        "act": {"sub": "support"},
    }


async def test_what_is_left_out_comes_from_the_demo_person(http: ClientSession, issuer: str) -> None:
    _, answer = await ask(http, issuer, {"userId": "maya.lindqvist", "role": "recruiter"})
    claims = await claims_of(http, issuer, answer["token"])
    assert (claims["name"], claims["org_name"], claims["org_verified"]) == (
        "Maya Lindqvist",
        "Northlight Search",
        True,
    )


async def test_another_organisation_does_not_inherit_the_demo_persons_verification(
    http: ClientSession, issuer: str
) -> None:
    asked = {"userId": "maya.lindqvist", "role": "recruiter", "orgId": "org_other"}
    _, answer = await ask(http, issuer, asked)
    claims = await claims_of(http, issuer, answer["token"])
    assert (claims["org_id"], claims.get("org_name"), claims["org_verified"]) == ("org_other", None, False)


async def test_a_negative_lifetime_makes_a_token_that_is_over(http: ClientSession, issuer: str) -> None:
    _, answer = await ask(http, issuer, {"userId": "ada", "role": "candidate", "expiresIn": -60})
    with pytest.raises(jwt.ExpiredSignatureError):
        await claims_of(http, issuer, answer["token"])


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"role": "recruiter"}, "/userId"),
        ({"userId": "", "role": "recruiter"}, "/userId"),
        ({"userId": "a b", "role": "recruiter"}, "/userId"),
        ({"userId": "x" * 201, "role": "recruiter"}, "/userId"),
        ({"userId": "ada", "role": "emperor"}, "/role"),
        ({"userId": "ada"}, "/role"),
        ({"userId": "ada", "role": "recruiter", "displayName": "A\x00da"}, "/displayName"),
        ({"userId": "ada", "role": "recruiter", "avatarUrl": "javascript:alert(1)"}, "/avatarUrl"),
        ({"userId": "ada", "role": "recruiter", "expiresIn": 90_000}, "/expiresIn"),
        ({"userId": "ada", "role": "recruiter", "expiresIn": "3600"}, "/expiresIn"),
        ({"userId": "ada", "role": "recruiter", "orgVerified": "yes"}, "/orgVerified"),
        ({"userId": "ada", "role": "recruiter", "iss": "https://elsewhere.example"}, "/iss"),
        ([], ""),
    ],
)
async def test_what_is_not_valid_is_refused_with_a_pointer_to_it(
    http: ClientSession, issuer: str, body: object, pointer: str
) -> None:
    status, answer = await ask(http, issuer, body)
    assert status == 400
    assert [each["pointer"] for each in answer["errors"]] == [pointer]
    assert "token" not in answer


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b'{"userId": "\\ud800", "role": "recruiter"}'])
async def test_malformed_json_is_a_clear_400(http: ClientSession, issuer: str, raw: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    async with http.post(f"{issuer}/token", data=raw, headers=headers) as response:
        assert response.status == 400
        assert (await response.json(content_type=None))["detail"] == "The request is not valid."


async def test_a_form_is_refused_so_that_no_page_can_post_without_a_preflight(
    http: ClientSession, issuer: str
) -> None:
    async with http.post(f"{issuer}/token", data={"userId": "ada", "role": "admin"}) as response:
        assert response.status == 415


@pytest.mark.parametrize(
    ("origin", "allowed"), [(PAGE, PAGE), ("http://evil.example", None), ("null", None), (PAGE + "0", None)]
)
async def test_only_pages_of_allowed_origins_may_read_answers(
    http: ClientSession, issuer: str, origin: str, allowed: str | None
) -> None:
    preflight = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    async with http.options(f"{issuer}/token", headers=preflight) as response:
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
    async with http.get(f"{issuer}/personas", headers={"Origin": origin}) as response:
        assert response.headers.get("Access-Control-Allow-Origin") == allowed
        assert response.headers["Vary"] == "Origin"


async def test_a_name_that_was_pointed_at_loopback_gets_no_token(http: ClientSession, issuer: str) -> None:
    status, answer = await ask(http, issuer, {"userId": "ada", "role": "admin"}, Host="evil.example:8090")
    assert status == 421
    assert "token" not in answer


async def test_the_configuration_names_the_keys(http: ClientSession, issuer: str) -> None:
    async with http.get(f"{issuer}/.well-known/openid-configuration") as response:
        configuration = await response.json()
    assert configuration["issuer"] == "http://issuer.example"
    assert configuration["jwks_uri"] == "http://issuer.example/.well-known/jwks.json"
    async with http.get(f"{issuer}/.well-known/jwks.json") as response:
        (key,) = (await response.json())["keys"]
    assert set(key) == {"kty", "n", "e", "kid", "use", "alg"}


async def test_personas_are_a_dozen_people_of_every_kind(http: ClientSession, issuer: str) -> None:
    async with http.get(f"{issuer}/personas") as response:
        people = (await response.json())["items"]
    assert len(people) == 12
    assert {person["role"] for person in people} == {"recruiter", "company", "candidate", "moderator"}
    assert len({person["userId"] for person in people}) == 12


def test_the_key_is_made_once_and_only_its_owner_may_read_it(tmp_path: Path) -> None:
    first = SigningKey.load_or_make(tmp_path)
    assert SigningKey.load_or_make(tmp_path).kid == first.kid
    assert stat.S_IMODE((tmp_path / KEY_FILE).stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


@pytest.mark.parametrize("host", ["0.0.0.0", "10.0.0.1", "::", "chat.example"])
def test_it_refuses_to_listen_beyond_this_machine(host: str, tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="loopback"):
        IssuerSettings(host=host, keys_dir=tmp_path)


def test_a_setting_that_is_not_valid_is_named_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_PORT", "many")
    with pytest.raises(SystemExit, match=r"^issuer: ISSUER_PORT: Input should be a valid integer.*$"):
        main()


def test_origins_may_come_as_a_list_or_parted_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ISSUER_ALLOWED_ORIGINS", "http://a.example, http://b.example")
    by_commas = IssuerSettings().allowed_origins
    monkeypatch.setenv("ISSUER_ALLOWED_ORIGINS", '["http://a.example", "http://b.example"]')
    assert IssuerSettings().allowed_origins == by_commas == ("http://a.example", "http://b.example")
