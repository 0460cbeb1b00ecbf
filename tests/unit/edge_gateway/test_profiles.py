"""Of whom it is known that conversation_svc has been told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc

from edge_gateway.clients import Backends
from edge_gateway.profiles import Profiles
from servicekit.identity import ActingUser


class _Told:
    """Notes who is told of."""

    def __init__(self) -> None:
        self.users: list[str] = []

    async def sync_profiles(self, users: Sequence[ActingUser]) -> Sequence[conversation_rpc.SyncedProfile]:
        self.users += [user.user_id for user in users]
        return [
            conversation_rpc.SyncedProfile(profile=conversation_pb.Profile(user_id=user.user_id))
            for user in users
        ]


async def _told_of(*users: ActingUser, remembered: int = 10, between_s: float = 0.0) -> list[str]:
    """Who is told of when these come one after the other, so many seconds apart."""
    told, seconds = _Told(), [0.0]
    profiles = Profiles(
        cast("Backends", told), remembered=remembered, again_s=60, monotonic=lambda: seconds[0]
    )
    for user in users:
        assert (await profiles.sync(user)).user_id == user.user_id
        seconds[0] += between_s
    return told.users


ADA, BOB = ActingUser("ada", "recruiter"), ActingUser("bob", "candidate")


async def test_somebody_is_told_of_once_whatever_the_session() -> None:
    others = [ActingUser("ada", "recruiter", session_id=name) for name in ("one", "two")]
    assert await _told_of(ADA, *others, ADA, BOB) == ["ada", "bob"]


async def test_a_changed_profile_is_told_anew() -> None:
    renamed = ActingUser("ada", "recruiter", display_name="Ada L.")
    assert await _told_of(ADA, renamed, renamed) == ["ada", "ada"]


async def test_so_is_any_after_a_while() -> None:
    assert await _told_of(ADA, ADA, between_s=59.9) == ["ada"]
    assert await _told_of(ADA, ADA, between_s=60) == ["ada", "ada"]


async def test_no_more_people_are_remembered_than_may_be() -> None:
    assert await _told_of(ADA, BOB, ADA, remembered=2) == ["ada", "bob"]
    assert await _told_of(ADA, BOB, ADA, remembered=1) == ["ada", "bob", "ada"]
