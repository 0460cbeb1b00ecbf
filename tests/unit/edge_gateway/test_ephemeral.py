"""What is told once and kept nowhere."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_gateway.sockets import ephemeral
from presence_svc import events
from presence_svc.domain import Status
from tests.support import contract

WHERE = UUID("0193a1b2-c3d4-7e5f-8a9b-0c1d2e3f4a5b")
NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize("started", [True, False])
def test_a_sign_of_typing_is_for_those_it_names(started: bool) -> None:
    payload = events.typing_payload("ada", WHERE, started, ["bob", "cid\n"], NOW)
    heard = ephemeral.typed(payload)
    assert (heard.people, heard.user_id, heard.started) == (frozenset({"bob", "cid\n"}), "ada", started)
    assert payload == b'["bob","cid\\n"]\n' + heard.frame


def test_presence_is_forwarded_as_it_is() -> None:
    payload = events.presence_frame("ada", Status.AWAY, NOW, NOW)
    assert ephemeral.presence(payload) == payload


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"[]",
        b"\n{}",
        b"{}\n{}",
        b'[]\n{"type":"typing.started","data":{}}',
        b'[]\n{"type":"typing.started","data":{"userId":1}}',
        b'[]\n{"type":"message.created","data":{"userId":"ada"}}',
        b'"bob"\n{"type":"typing.started","data":{"userId":"ada"}}',
        b'[1]\n{"type":"typing.started","data":{"userId":"ada"}}',
        b'[]\n[{"type":"typing.started","data":{"userId":"ada"}}]',
    ],
)
def test_what_is_nothing_about_typing_is_refused(payload: bytes) -> None:
    with pytest.raises(ValueError, match="typing"):
        ephemeral.typed(payload)


@given(st.binary(max_size=200))
def test_no_bytes_are_anything_but_understood_or_refused(payload: bytes) -> None:
    for read in (ephemeral.typed, ephemeral.presence):
        with suppress(ValueError):
            read(payload)


def test_who_may_not_be_seen_is_somebody_who_is_away_for_good() -> None:
    contract.check_schema("Presence", ephemeral.gone("ada"))
    assert ephemeral.gone("ada") == {"userId": "ada", "status": "offline", "lastSeenAt": None}
