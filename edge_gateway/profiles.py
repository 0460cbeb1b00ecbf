"""Tells conversation_svc who somebody is, once: people are known to the chat when first seen in a token."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache

from splits.chat.conversation.v1 import conversation_pb2 as conversation_pb
from splits.chat.conversation.v1 import service_pb2 as conversation_rpc

from edge_gateway.batches import Batches
from edge_gateway.clients import TOGETHER, Backends
from servicekit.errors import ChatError, Reason
from servicekit.identity import ActingUser


class Profiles:
    """Remembers what was told of so many people; a changed profile is told anew.

    So is any after `again_s`: the other side may have been restored from an older backup.
    """

    def __init__(
        self,
        backends: Backends,
        *,
        remembered: int,
        again_s: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._remembered = remembered
        self._again_s = again_s
        self._profile_of = lru_cache(maxsize=remembered)(_profile_of)
        self._batches: Batches[ActingUser, conversation_rpc.SyncedProfile] = Batches(
            backends.sync_profiles, most=TOGETHER
        )
        self._monotonic = monotonic
        self._known: OrderedDict[ActingUser, tuple[conversation_pb.Profile, float]] = OrderedDict()
        self._telling: dict[ActingUser, asyncio.Task[conversation_pb.Profile]] = {}

    async def sync(self, user: ActingUser) -> conversation_pb.Profile:
        """The profile as the chat has it. Raises ChatError: UNAVAILABLE when it could not be told, FORBIDDEN
        for a role that has no place in the chat."""
        key = self._profile_of(user)
        known = self._known.get(key)
        if known is not None and self._monotonic() - known[1] < self._again_s:
            self._known.move_to_end(key)
            return known[0]
        task = self._telling.get(key)
        if task is None:
            task = self._telling[key] = asyncio.create_task(self._tell(key))
            task.add_done_callback(lambda done: self._told(key, done))
        return await asyncio.shield(task)

    def _told(self, key: ActingUser, done: asyncio.Task[conversation_pb.Profile]) -> None:
        self._telling.pop(key, None)
        if not done.cancelled():
            done.exception()  # known to those who wait for it; they may have given up by then

    async def _tell(self, key: ActingUser) -> conversation_pb.Profile:
        told = await self._batches.ask(key)
        if not told.HasField("profile"):
            raise ChatError(Reason.FORBIDDEN, "The role has no place in the chat.")
        profile = told.profile
        self._known[key] = (profile, self._monotonic())
        self._known.move_to_end(key)
        while len(self._known) > self._remembered:
            self._known.popitem(last=False)
        return profile


def _profile_of(user: ActingUser) -> ActingUser:
    """The same in each of a person's sessions."""
    return replace(user, session_id=None)
