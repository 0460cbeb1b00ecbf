"""Revocations and bans, as presence_svc would list them to an edge before scripted services."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from splits.chat.presence.v1 import service_pb2 as presence_rpc

from servicekit.errors import ChatError, Reason
from tests.support.edge import Edge, Services, edge_before
from tests.support.issuer import Issuer
from tests.support.keys import Keys
from tests.support.scripted import serve_scripted

PAGE = 3


class AccessLog:
    """What holds, in pages of PAGE. `away`: it answers nothing. `asked`: after which versions it was."""

    def __init__(self) -> None:
        self.away = False
        self.asked: list[int] = []
        self.version = 0
        self._changes: list[tuple[int, presence_rpc.AccessChange]] = []

    @asynccontextmanager
    async def run_edge(
        self, keys: Keys, redis_url: str, issuer: Issuer, **settings: Any
    ) -> AsyncIterator[Edge]:
        """An edge before services that answer with it; it may not be ready yet."""
        async with serve_scripted(keys) as (scripted, target):
            scripted.answers["ListAccessChanges"] = self._list
            services = Services(scripted, target, keys, redis_url, issuer)
            async with edge_before(services, settings) as edge:
                yield edge

    def revoke(self, user_id: str, sid: str = "") -> None:
        """Their tokens until now, or one session of theirs."""
        change = presence_rpc.AccessChange(user_id=user_id, sid=sid)
        if not sid:
            change.tokens_until.FromSeconds(int(time.time()))
        self._say(change)

    def ban(self, user_id: str, until: float | None = None) -> None:
        """Until then (Unix seconds), or until it is lifted."""
        change = presence_rpc.AccessChange(user_id=user_id, ban=presence_rpc.Ban())
        if until is not None:
            change.ban.until.FromNanoseconds(int(until * 1e9))
        self._say(change)

    def lift(self, user_id: str) -> None:
        """No ban."""
        self._say(presence_rpc.AccessChange(user_id=user_id, ban_lifted=presence_rpc.BanLifted()))

    def forget(self) -> None:
        """What was said is kept no longer."""
        self._changes.clear()

    def lose_all(self) -> None:
        """As it is after a restore of what there was before anything was said."""
        self._changes.clear()
        self.version = 0

    def _say(self, change: presence_rpc.AccessChange) -> None:
        self.version += 1
        self._changes.append((self.version, change))

    def _list(self, request: Any, _user: object) -> presence_rpc.ListAccessChangesResponse:
        self.asked.append(request.after_version)
        if self.away:
            raise ChatError(Reason.UNAVAILABLE, "away")
        found = [each for each in self._changes if each[0] > request.after_version]
        has_more = len(found) > PAGE
        return presence_rpc.ListAccessChangesResponse(
            changes=[change for _, change in found[:PAGE]],
            version=found[PAGE - 1][0] if has_more else self.version,
            has_more=has_more,
        )
