"""Keeps what this edge knows of revocations and bans up to date: read from presence_svc, told to the sockets.

All of it is read at the start, and before that nobody is let in. From then on changes are read at once when
`control` says that there are some, and every `poll_s` because Redis may not have said so. When presence_svc
is away, what is known goes on to hold.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextlib import suppress

import structlog
from google.protobuf.timestamp_pb2 import Timestamp
from splits.chat.presence.v1 import service_pb2 as presence_rpc

from edge_gateway.metrics import Metrics
from edge_gateway.tokens.access import Access, Table
from servicekit.errors import ChatError

_FIRST_RETRY_S, _LONGEST_RETRY_S = 0.1, 1.0
"""Not settings: an edge that does not know who is out lets nobody in, so it asks as often as does no harm."""
_log = structlog.get_logger(__name__)

Read = Callable[[int], Awaitable[presence_rpc.ListAccessChangesResponse]]
"""The changes after a version. Raises ChatError."""
OnChange = Callable[[Collection[str] | None], None]
"""Something else holds of these people now; None = of anybody."""


class AccessChanges:
    """Reads changes into `access`. `poll_s` is how late a change may be without `control`.

    Every `reload_s` all is read anew, so that what presence_svc has forgotten is forgotten here too.
    """

    def __init__(
        self,
        read: Read,
        access: Access,
        metrics: Metrics,
        *,
        on_change: OnChange,
        poll_s: float,
        reload_s: float,
    ) -> None:
        self._read = read
        self._access = access
        self._metrics = metrics
        self._on_change = on_change
        self._poll_s = poll_s
        self._reload_s = reload_s
        self._table = Table()
        self._version = 0
        self._reload_at = 0.0
        self._news = asyncio.Event()

    def look(self) -> None:
        """There may be news: they are read at once."""
        self._news.set()

    async def run(self) -> None:
        """Reads until it is cancelled. Ends before that only by a fault."""
        failures = 0
        while True:
            # Before the read: what changes while it is made is read by the next one.
            self._news.clear()
            try:
                await self._catch_up()
            except ChatError as error:
                failures += 1
                self._metrics.access_reads.labels(outcome="failed").inc()
                if failures == 1:
                    _log.warning("access_not_read", reason=error.reason.value, version=self._version)
                # News do not cut this short: presence_svc is away, and whoever tells them cannot mend that.
                pause_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0 ** min(failures, 10))
                await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - spreads load
                continue
            if failures:
                _log.info("access_read_again", failures=failures, version=self._version)
            failures = 0
            self._metrics.access_reads.labels(outcome="done").inc()
            # Spread, so that edges which started together do not ask together.
            with suppress(TimeoutError):
                async with asyncio.timeout(self._poll_s * random.uniform(0.75, 1.0)):  # noqa: S311 - spreads load
                    await self._news.wait()

    async def _catch_up(self) -> None:
        more = time.monotonic() < self._reload_at
        if not more:
            await self._reload()
        while more:
            page = await self._read(self._version)
            if page.version < self._version:
                # Its data came back from a backup: what is new there has numbers that were here before.
                _log.warning("access_starts_over", version=self._version, now=page.version)
                await self._reload()
                return
            concerned = _apply(self._table, page.changes)
            self._at(page.version)
            if concerned:
                self._on_change(concerned)
            more = page.has_more

    async def _reload(self) -> None:
        table, version, more = Table(), 0, True
        while more:
            page = await self._read(version)
            _apply(table, page.changes)
            version, more = page.version, page.has_more
        self._table = table
        self._access.use(table)
        self._at(version)
        self._reload_at = time.monotonic() + self._reload_s * random.uniform(0.75, 1.0)  # noqa: S311 - spreads load
        self._on_change(None)

    def _at(self, version: int) -> None:
        self._version = version
        self._metrics.access_version.set(version)


def _apply(table: Table, changes: Sequence[presence_rpc.AccessChange]) -> set[str]:
    """Puts the changes into the table, in their order; whom they concern."""
    for change in changes:
        user_id = change.user_id
        match change.WhichOneof("change"):
            case "tokens_until":
                table.end_tokens(user_id, change.tokens_until.seconds)
            case "sid":
                table.end_session(user_id, change.sid)
            case "ban":
                until = change.ban.until
                table.ban(user_id, _seconds(until) if change.ban.HasField("until") else None)
            case "ban_lifted":
                table.lift_ban(user_id)
            case _:
                _log.error("access_change_unknown")  # a kind of a later release
    return {change.user_id for change in changes}


def _seconds(moment: Timestamp) -> float:
    return moment.seconds + moment.nanos / 1e9
