"""A TCP proxy in front of a backing service, to take it away and give it back without touching it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Forwards to the host and port of `target`; `url` is `target` through it."""

    def __init__(self, target: str) -> None:
        self._target = urlsplit(target)
        self._writers: set[asyncio.StreamWriter] = set()
        self._flows = asyncio.Event()
        self._flows.set()
        self._server: asyncio.Server | None = None
        self._port = 0
        self.most_bytes: int | None = None
        """What each connection passes on of its client's; then it hangs. None: everything."""

    @property
    def url(self) -> str:
        """The target's URL with the proxy's address."""
        secrets, _, _ = self._target.netloc.rpartition("@")
        netloc = f"{secrets}@127.0.0.1:{self._port}" if secrets else f"127.0.0.1:{self._port}"
        return urlunsplit(self._target._replace(netloc=netloc))

    async def heal(self) -> None:
        """Listen, and let bytes flow."""
        self._flows.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        """Refuse connections and end those there are."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            self._server = None
        self._flows.set()

    def freeze(self) -> None:
        """Take connections and bytes, pass none on: a server that hangs."""
        self._flows.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            there_reader, there_writer = await asyncio.open_connection(
                self._target.hostname, self._target.port
            )
        except OSError:
            writer.transport.abort()
            self._writers.discard(writer)
            return
        self._writers.add(there_writer)
        try:
            await asyncio.gather(
                self._pump(reader, there_writer, self.most_bytes), self._pump(there_reader, writer, None)
            )
        finally:
            for end in (writer, there_writer):
                self._writers.discard(end)
                end.transport.abort()

    async def _pump(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, most: int | None
    ) -> None:
        passed = 0
        try:
            while data := await reader.read(65536):
                await self._flows.wait()
                writer.write(data if most is None else data[: most - passed])
                passed = passed + len(data) if most is None else min(most, passed + len(data))
                await writer.drain()
        except OSError:
            return
        finally:
            writer.transport.abort()


@asynccontextmanager
async def proxy_to(url: str) -> AsyncIterator[Proxy]:
    """A proxy to the server of `url`, letting bytes flow."""
    proxy = Proxy(url)
    await proxy.heal()
    try:
        yield proxy
    finally:
        await proxy.cut()
