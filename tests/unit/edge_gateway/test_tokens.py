"""Access tokens: which are let in, as whom, and that every other is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from edge_gateway.tokens import jwks
from edge_gateway.tokens.issuers import Actor
from edge_gateway.tokens.issuers import Issuer as Known
from edge_gateway.tokens.jwks import KeysUnavailableError, RemoteKeys
from edge_gateway.tokens.verifier import Principal, TokenRejectedError, TokenVerifier
from tests.support.clock import FixedClock
from tests.support.issuer import (
    AUDIENCE,
    Issuer,
    ec_key,
    hs256,
    jwk,
    public_pem,
    rsa_key,
    run_issuer,
    unsigned,
)


@pytest.fixture
async def issuer() -> AsyncIterator[Issuer]:
    async with run_issuer() as running:
        yield running


@pytest.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


class Door:
    """A verifier of one issuer, with time in the test's hands."""

    def __init__(self, issuer: Issuer, http: aiohttp.ClientSession, **settings: Any) -> None:
        self.clock = FixedClock()
        self.seconds = 0.0
        known = Known(issuer=issuer.url, **{"audiences": (AUDIENCE,), **settings})
        self.keys = RemoteKeys(known.keys_url, http, monotonic=lambda: self.seconds)
        self.verifier = TokenVerifier([known], {known.issuer: self.keys}, clock=self.clock, remembered=100)

    async def verify(self, token: str) -> Principal:
        return await self.verifier.verify(token)

    async def refuses(self, token: str) -> str:
        """The cause; the test fails when the token is let in."""
        with pytest.raises(TokenRejectedError) as refused:
            await self.verifier.verify(token)
        return refused.value.cause


@pytest.fixture
def door(issuer: Issuer, http: aiohttp.ClientSession) -> Door:
    return Door(issuer, http)


async def test_a_token_says_who_somebody_is(issuer: Issuer, door: Door) -> None:
    token = issuer.token(
        "ada",
        "company",
        name="Ada L.",
        picture="https://img.example/a.png",
        org_id="org_1",
        org_name="Helio",
        org_verified=True,
        email="ada@example.com",
    )
    principal = await door.verify(token)
    user = principal.user
    assert (user.user_id, user.role, user.display_name) == ("ada", "company", "Ada L.")
    assert (user.org_id, user.org_name, user.org_verified) == ("org_1", "Helio", True)
    assert (user.avatar_url, user.session_id) == ("https://img.example/a.png", "session-1")
    assert user.email == "ada@example.com"
    assert "ada@" not in repr(user)
    assert not principal.read_only


async def test_clerks_second_claim_shape_works_too(issuer: Issuer, door: Door) -> None:
    token = issuer.token(
        o={"id": "org_2", "slg": "helio", "rol": "member"}, metadata={"role": "company"}, role=None
    )
    user = (await door.verify(token)).user
    assert (user.org_id, user.org_name, user.role) == ("org_2", "helio", "company")


async def test_es256_works_too(issuer: Issuer, door: Door) -> None:
    key = ec_key()
    issuer.published.append(jwk("second", key))
    assert (await door.verify(issuer.sign(issuer.claims(), key=key, kid="second"))).user.user_id == "ada"


async def test_an_impersonation_token_is_read_only(issuer: Issuer, door: Door) -> None:
    for act in ({"sub": "admin_1"}, {"iss": "x"}, "odd", {}):
        assert (await door.verify(issuer.token(act=act))).read_only


async def test_an_actors_id_is_made_as_their_own_tokens_make_it(http: aiohttp.ClientSession) -> None:
    async with run_issuer() as first, run_issuer() as second:
        known = [
            Known(issuer=first.url, audiences=(AUDIENCE,), claims={"session_id": ("session.id",)}),
            Known(issuer=second.url, audiences=(AUDIENCE,), user_id_prefix="b:"),
        ]
        keys = {each.issuer: RemoteKeys(each.keys_url, http) for each in known}
        verifier = TokenVerifier(known, keys, clock=FixedClock(), remembered=100)

        async def actor(issuer: Issuer, act: object) -> Actor | None:
            principal = await verifier.verify(issuer.token(act=act))
            told = "unknown" if principal.actor is None else principal.actor.user_id
            assert principal.user.impersonator == told
            return principal.actor

        for issuer, prefix in ((first, ""), (second, "b:")):
            own = await verifier.verify(issuer.token("support"))
            assert (own.user.user_id, own.actor) == (f"{prefix}support", None)
            for iss in (None, "https://dashboard.example", 7, issuer.url):
                acting = await actor(issuer, {"sub": "support", "iss": iss})
                assert acting == Actor(f"{prefix}support", None)
        assert await actor(first, {"sub": "1", "iss": second.url, "sid": "s"}) == Actor("b:1", "s")
        assert await actor(second, {"sub": "1", "iss": first.url, "session": {"id": "s"}}) == Actor("1", "s")
        # Who acted before that one is no actor any more.
        assert await actor(first, {"sub": "1", "act": {"sub": "2"}}) == Actor("1", None)
        for nobody in ({}, {"sub": ""}, {"sub": 7}, {"iss": first.url}, "support", 7, False):
            assert await actor(second, nobody) is None
        with pytest.raises(TokenRejectedError):
            await actor(first, {"sub": "b:1"})


def _with_own_jwk(issuer: Issuer) -> str:
    key = rsa_key()
    return issuer.sign(issuer.claims(), key=key, kid="mine", jwk=jwk("mine", key))


Forge = Callable[[Issuer], str]
FORGERIES: dict[str, Forge] = {
    "nothing": lambda _issuer: "",
    "no token at all": lambda _issuer: "abc",
    "three dots": lambda _issuer: "...",
    "not ascii": lambda issuer: issuer.token() + "é",
    "too long": lambda issuer: issuer.token(padding="x" * 9000),
    "alg none": lambda issuer: unsigned({"alg": "none", "kid": "first"}, issuer.claims()) + ".",
    "alg None": lambda issuer: unsigned({"alg": "None", "kid": "first"}, issuer.claims()) + ".",
    "no alg": lambda issuer: unsigned({"kid": "first"}, issuer.claims()) + ".",
    "the public key as a secret": lambda issuer: hs256(
        {"kid": "first"}, issuer.claims(), public_pem(issuer.key)
    ),
    "the public key's modulus as a secret": lambda issuer: hs256(
        {"kid": "first"}, issuer.claims(), issuer.published[0]["n"].encode()
    ),
    "signed by another key under a known kid": lambda issuer: issuer.sign(issuer.claims(), key=rsa_key()),
    "an EC key under an RSA kid": lambda issuer: issuer.sign(issuer.claims(), key=ec_key()),
    "a kid nobody has": lambda issuer: issuer.sign(issuer.claims(), kid="other"),
    "a kid that is a path": lambda issuer: issuer.sign(issuer.claims(), key=rsa_key(), kid="../../dev/null"),
    "a jku of its own": lambda issuer: issuer.sign(
        issuer.claims(), key=rsa_key(), kid="mine", jku="https://evil.example/jwks.json"
    ),
    "a jwk of its own": _with_own_jwk,
    "a critical extension": lambda issuer: issuer.sign(issuer.claims(), crit=["exp"]),
    "another issuer": lambda issuer: issuer.token(iss="https://evil.example"),
    "no issuer": lambda issuer: issuer.token(iss=None),
    "an issuer that is a list": lambda issuer: unsigned({"alg": "RS256"}, {"iss": [issuer.url]}) + ".xx",
    "another audience": lambda issuer: issuer.token(aud="somebody-else"),
    "no audience": lambda issuer: issuer.token(aud=None),
    "an audience that is a number": lambda issuer: issuer.token(aud=5),
    "expired": lambda issuer: issuer.token(exp=issuer.claims()["iat"] - 6),
    "not yet": lambda issuer: issuer.token(nbf=issuer.claims()["iat"] + 60),
    "issued in the future": lambda issuer: issuer.token(iat=issuer.claims()["iat"] + 60),
    "no end": lambda issuer: issuer.token(exp=None),
    "an end that is text": lambda issuer: issuer.token(exp="tomorrow"),
    "an end that is infinite": lambda issuer: issuer.token(exp=float("inf")),
    "an end that is true": lambda issuer: issuer.token(exp=True),
    "no subject": lambda issuer: issuer.token(sub=None),
    "an empty subject": lambda issuer: issuer.token(sub=""),
    "a subject with a newline": lambda issuer: issuer.token(sub="ada\nbob"),
    "a subject that is too long": lambda issuer: issuer.token(sub="a" * 201),
    "a subject with a surrogate": lambda issuer: issuer.token(sub="ada\ud800"),
    "no role": lambda issuer: issuer.token(role=None),
    "a role the issuer may not give": lambda issuer: issuer.token(role="admin"),
    "a role that is a list": lambda issuer: issuer.token(role=["recruiter"]),
}


@pytest.mark.parametrize("what", FORGERIES)
async def test_a_token_is_refused_that_is(what: str, issuer: Issuer, door: Door) -> None:
    await door.verify(issuer.token())
    await door.refuses(FORGERIES[what](issuer))


async def test_a_signature_with_any_bit_changed_is_refused(issuer: Issuer, door: Door) -> None:
    head, _, signature = issuer.token().rpartition(".")
    for at in range(0, len(signature) - 1, 7):
        other = "A" if signature[at] != "A" else "B"
        assert await door.refuses(f"{head}.{signature[:at]}{other}{signature[at + 1 :]}")


async def test_the_authorized_party_is_checked_where_the_issuer_names_some(
    issuer: Issuer, http: aiohttp.ClientSession
) -> None:
    door = Door(issuer, http, audiences=(), authorized_parties=("https://splits.example",))
    assert await door.verify(issuer.token(azp="https://splits.example"))
    assert await door.refuses(issuer.token(azp="https://evil.example")) == "azp"
    assert await door.refuses(issuer.token()) == "azp"


async def test_clocks_may_differ_by_five_seconds(issuer: Issuer, door: Door) -> None:
    now = int(door.clock.now().timestamp())
    ending, beginning = issuer.token(exp=now - 3), issuer.token(nbf=now + 4, iat=now + 4)
    await door.verify(ending)
    await door.verify(beginning)
    door.clock.advance(3)
    assert await door.refuses(ending) == "expired"


async def test_a_remembered_token_ends_when_it_ends(issuer: Issuer, door: Door) -> None:
    token = issuer.token()
    assert await door.verify(token) is await door.verify(token)
    door.clock.advance(606)
    assert await door.refuses(token) == "expired"


async def test_a_rotated_key_is_found_and_the_old_one_stays_while_it_is_published(
    issuer: Issuer, door: Door
) -> None:
    old = issuer.token("old")
    await door.verify(old)
    key = rsa_key()
    issuer.published.append(jwk("second", key))
    fresh = issuer.sign(issuer.claims("new"), key=key, kid="second")
    door.seconds += 30
    assert (await door.verify(fresh)).user.user_id == "new"
    assert (await door.verify(old)).user.user_id == "old"
    assert issuer.fetches == 2


async def test_a_withdrawn_key_is_dropped_and_so_are_tokens_remembered_under_it(
    issuer: Issuer, door: Door
) -> None:
    old = issuer.token("old")
    await door.verify(old)
    key = rsa_key()
    issuer.published = [jwk("second", key)]
    door.seconds += 700
    await door.verify(old)  # asks for the keys in the background
    fresh = issuer.sign(issuer.claims(), key=key, kid="second")
    async with asyncio.timeout(30):
        while issuer.fetches < 2 or door.keys.generation == 0:
            await asyncio.sleep(0.01)
    assert await door.verify(fresh)
    assert await door.refuses(old) == "key"


async def test_unknown_keys_cause_one_fetch_in_thirty_seconds(issuer: Issuer, door: Door) -> None:
    await door.verify(issuer.token())
    foreign = [issuer.sign(issuer.claims(), key=issuer.key, kid=f"k{n}") for n in range(20)]
    door.seconds += 30
    await asyncio.gather(*(door.refuses(token) for token in foreign))
    for token in foreign:
        await door.refuses(token)
    assert issuer.fetches == 2
    door.seconds += 30
    await door.refuses(foreign[0])
    assert issuer.fetches == 3


@pytest.mark.parametrize("fault", ["down", "redirect", "garbage"])
async def test_the_last_good_keys_survive(fault: str, issuer: Issuer, door: Door) -> None:
    token = issuer.token()
    await door.verify(token)
    issuer.fault = fault
    door.seconds += 700
    assert await door.refuses(issuer.sign(issuer.claims(), key=rsa_key(), kid="k"))
    assert await door.verify(issuer.token("another"))
    assert await door.verify(token)


@pytest.mark.parametrize("fault", ["down", "redirect", "garbage"])
async def test_without_any_keys_nothing_is_said_about_a_token_until_they_come(
    fault: str, issuer: Issuer, door: Door
) -> None:
    issuer.fault = fault
    with pytest.raises(KeysUnavailableError):
        await door.verify(issuer.token())
    issuer.fault = None
    with pytest.raises(KeysUnavailableError):
        await door.verify(issuer.token())
    door.seconds += 2
    assert await door.verify(issuer.token())


async def test_the_same_subject_of_two_issuers_is_two_people(http: aiohttp.ClientSession) -> None:
    async with run_issuer() as first, run_issuer() as second:
        known = [
            Known(issuer=first.url, audiences=(AUDIENCE,)),
            Known(issuer=second.url, audiences=(AUDIENCE,), user_id_prefix="b:", roles=("candidate",)),
        ]
        keys = {each.issuer: RemoteKeys(each.keys_url, http) for each in known}
        verifier = TokenVerifier(known, keys, clock=FixedClock(), remembered=100)
        assert (await verifier.verify(first.token("1"))).user.user_id == "1"
        assert (await verifier.verify(second.token("1", "candidate"))).user.user_id == "b:1"
        for forged in (
            first.token("b:1"),
            second.token("1", "recruiter"),
            first.sign(first.claims(iss=second.url)),
        ):
            with pytest.raises(TokenRejectedError):
                await verifier.verify(forged)


def test_issuers_that_could_name_the_same_person_are_refused() -> None:
    one = Known(issuer="https://a.example", audiences=("x",))
    for other in (
        Known(issuer="https://b.example", audiences=("x",)),
        Known(issuer="https://a.example", audiences=("x",), user_id_prefix="a:"),
    ):
        with pytest.raises(ValueError, match="issuer"):
            TokenVerifier([one, other], {}, clock=FixedClock(), remembered=100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"issuer": "https://a.example"},
        {"issuer": "http://a.example", "audiences": ["x"]},
        {"issuer": "https://a.example", "jwksUrl": "http://a.example/keys", "audiences": ["x"]},
        {"issuer": "https://a.example", "audiences": ["x"], "algorithms": ["HS256"]},
        {"issuer": "https://a.example", "audiences": ["x"], "roles": ["king"]},
        {"issuer": "https://a.example", "audiences": ["x"], "claims": {"user": ["sub"]}},
        {"issuer": "https://a.example", "audiences": ["x"], "typo": 1},
    ],
)
def test_an_unsafe_issuer_setting_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Known.model_validate(wrong)


def test_weak_and_foreign_keys_of_a_set_are_left_out() -> None:
    good = rsa_key()
    entries: list[Any] = [
        jwk("good", good),
        jwk("small", rsa_key(1024)),
        jwk("p384", ec_key(ec.SECP384R1())),
        jwk("for encryption", good, use="enc"),
        jwk("other algorithm", good, alg="RS512"),
        {"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "use": "sig"},
        {"kty": "RSA", "kid": "broken", "n": "!", "e": "AQAB"},
        {key: value for key, value in jwk("x", good).items() if key != "kid"},
        "nonsense",
    ]
    assert set(jwks.parse(orjson.dumps({"keys": entries}))) == {"good"}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"keys":[]}', b'{"keys":1}', b"[" * 100_000, b" " * 300_000]
)
def test_a_set_without_a_usable_key_is_none(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of orjson or of ours
        jwks.parse(body)
