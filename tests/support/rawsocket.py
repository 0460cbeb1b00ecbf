"""A WebSocket client that may do what no decent client does: any bytes, any pace, no answer to a close."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

PATIENCE = 60.0


def frame(payload: bytes, *, opcode: int = 1, first: int | None = None, masked: bool = True) -> bytes:
    """A client's frame."""
    head = bytes([0x80 | opcode if first is None else first])
    size, mark = len(payload), 0x80 if masked else 0
    if size < 126:
        head += bytes([mark | size])
    elif size < 65536:
        head += struct.pack("!BH", mark | 126, size)
    else:
        head += struct.pack("!BQ", mark | 127, size)
    if not masked:
        return head + payload
    mask = os.urandom(4)
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


@dataclass
class RawSocket:
    """An upgraded connection, byte by byte."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int
    headers: dict[str, str]
    body: bytes = b""

    @classmethod
    async def connect(
        cls, url: str, headers: dict[str, str], *, receive_buffer: int | None = None, query: str = ""
    ) -> RawSocket:
        """Asks for the upgrade; `status` says how it went."""
        where = urlsplit(url)
        plain = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        plain.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(plain, (where.hostname, where.port))
        reader, writer = await asyncio.open_connection(sock=plain, limit=4096)
        lines = {
            "Host": f"{where.hostname}:{where.port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(),
            **headers,
        }
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"GET {where.path}?{query} HTTP/1.1\r\n{head}\r\n".encode())
        async with asyncio.timeout(PATIENCE):
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        found = dict(line.split(": ", 1) for line in answer[1:] if line)
        raw = cls(
            reader, writer, int(answer[0].split()[1]), {name.lower(): value for name, value in found.items()}
        )
        if raw.status != 101:
            raw.body = await reader.readexactly(int(raw.headers["content-length"]))
        return raw

    def send(self, data: bytes) -> None:
        """Any bytes."""
        self.writer.write(data)

    async def receive(self) -> tuple[int, bytes]:
        """The next frame, as opcode and payload. IncompleteReadError when the connection is gone."""
        async with asyncio.timeout(PATIENCE):
            first, second = await self.reader.readexactly(2)
            size = second & 0x7F
            if size == 126:
                size = struct.unpack("!H", await self.reader.readexactly(2))[0]
            elif size == 127:
                size = struct.unpack("!Q", await self.reader.readexactly(8))[0]
            return first & 0x0F, await self.reader.readexactly(size)

    async def json(self) -> Any:
        """The next text frame."""
        while True:
            opcode, payload = await self.receive()
            if opcode == 1:
                return orjson.loads(payload)

    async def close_code(self) -> int:
        """Reads on until the server closes; its code."""
        while True:
            opcode, payload = await self.receive()
            if opcode == 8:
                return int(struct.unpack("!H", payload[:2])[0])

    async def gone(self) -> None:
        """Reads on until the connection ends."""
        async with asyncio.timeout(PATIENCE):
            try:
                while await self.reader.read(65536):
                    continue
            except ConnectionError:
                return

    def abort(self) -> None:
        """Vanishes."""
        self.writer.transport.abort()
