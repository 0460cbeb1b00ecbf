"""Confirms taken out of what RabbitMQ says, before aiormq reads it.

A message that no queue keeps is confirmed by a frame of its own, and aiormq spends a dozen awaits and a turn
of two tasks on each frame: more than all the rest of publishing. Here a frame that confirms one message ends
that message's wait at once. The last frame of each piece is left to aiormq, which knows by it that the
connection lives; so are those that confirm several messages or refuse one.
"""

from __future__ import annotations

import asyncio
import struct
from typing import Any, cast

from aiormq.channel import Channel
from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

_HEAD = struct.Struct(">BHI")  # type, channel, size of what follows
_ACK = struct.Struct(">HHQB")  # class, method, delivery tag, whether it is of all before it too
_METHOD, _BASIC, _ACKED = 1, 60, 80
_END = 1  # the octet behind each frame


class ConfirmingStreams(TransportFactory):
    """Makes the streams of one connection."""

    def __init__(self) -> None:
        self._reader: _Reader | None = None

    async def create(self, url: URL, **options: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """As aiormq's own does, TLS included. Raises AMQPConnectionError."""
        context = await options["ssl_context_provider"].get_context() if url.scheme == "amqps" else None
        loop = asyncio.get_running_loop()
        self._reader = reader = _Reader(loop=loop)
        protocol = asyncio.StreamReaderProtocol(reader, loop=loop)
        try:
            transport, _ = await loop.create_connection(
                lambda: protocol, cast(str, url.host), cast(int, url.port), ssl=context
            )
        except OSError as error:
            raise AMQPConnectionError(*error.args) from error
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)

    def confirm(self, channel: Channel) -> None:
        """From now on, takes the confirms of this channel of the connection, the only one that publishes."""
        if self._reader is not None:
            self._reader.channel = channel


class _Reader(asyncio.StreamReader):
    """What aiormq reads."""

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.channel: Channel | None = None
        """None: everything is aiormq's, as while the connection is made."""
        self._unfinished = b""
        """The beginning of a frame."""

    def feed_data(self, data: bytes) -> None:  # type: ignore[override]  # protocols give bytes
        if self.channel is not None:
            data = self._without_confirms(self.channel, self._unfinished + data)
        if data:
            super().feed_data(data)

    def feed_eof(self) -> None:
        if self._unfinished:
            super().feed_data(self._unfinished)
        super().feed_eof()

    def _without_confirms(self, channel: Channel, data: bytes) -> bytes:
        others: list[bytes] = []
        kept_from = place = 0
        while (body := place + _HEAD.size) <= len(data):
            kind, number, size = _HEAD.unpack_from(data, place)
            end = body + size + _END
            if end > len(data):
                break
            if end < len(data) and kind == _METHOD and number == channel.number and size == _ACK.size:
                of_class, method, tag, several = _ACK.unpack_from(data, body)
                if (of_class, method, several) == (_BASIC, _ACKED, 0):
                    _confirm(channel, tag)
                    others.append(data[kept_from:place])
                    kept_from = end
            place = end
        self._unfinished = data[place:]
        others.append(data[kept_from:place])
        return b"".join(others)


def _confirm(channel: Channel, tag: int) -> None:
    confirm = channel.confirmations.pop(tag, None)
    if isinstance(confirm, asyncio.Future) and not confirm.done():
        confirm.set_result(None)
