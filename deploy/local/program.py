"""One process of the product: how it is started, and how one sees that it serves."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import aiohttp
import grpc
from grpc_health.v1 import health_pb2

from deploy.local.child import Child
from deploy.local.errors import LocalError
from deploy.local.folders import CHECKOUT, Folder

# Far above what a start takes on a loaded machine (1-3 s on a free one).
READY_SECONDS = 90.0
_PROBE_SECONDS = 0.2

Probe = Callable[[], Awaitable[bool]]


class Program:
    """A Python module run with its environment and log. Starting it again keeps its ports.

    It serves when `probe` holds or, for one that nobody calls, when it has logged `ready_word`. One with
    neither is run to its end. One with a `core` runs on that one only.
    """

    def __init__(
        self,
        name: str,
        arguments: tuple[str, ...],
        *,
        environment: Mapping[str, str],
        folder: Folder,
        probe: Probe | None = None,
        ready_word: str | None = None,
        cwd: Path = CHECKOUT,
        core: int | None = None,
    ):
        self.name = name
        self.log = folder.logs / f"{name}.log"
        self.child: Child | None = None
        self._argv = (sys.executable, "-m", *arguments)
        self._environment = environment
        self._probe = probe
        self._ready_word = ready_word
        self._folder = folder
        self._cwd = cwd
        self._core = core

    def spawn(self) -> Child:
        """Starts the process; `wait_ready` tells when it serves."""
        self.child = Child.spawn(
            self.name,
            self._argv,
            log=self.log,
            env=self._environment,
            cwd=self._cwd,
            core=self._core,
            ledger=self._folder.ledger,
        )
        return self.child

    async def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Waits until it serves. Raises LocalError with the end of its log when it ends or takes too long."""
        child = self.running
        probe = said(child, self._ready_word) if self._ready_word is not None else self._probe
        if probe is None:
            raise ValueError(f"{self.name} has no probe")
        await until(probe, child, seconds)

    async def run_to_end(self) -> None:
        """Runs it to its end. Raises LocalError with the end of its log when it fails."""
        child = self.spawn()
        try:
            code = await child.wait()
        finally:
            await child.stop()
        if code != 0:
            raise LocalError(f"{self.name} failed; {_log_end(child)}")

    @property
    def running(self) -> Child:
        if self.child is None:
            raise LocalError(f"{self.name} has not been started.")
        return self.child


async def until(probe: Probe, child: Child, seconds: float = READY_SECONDS) -> None:
    """Waits until `probe` holds. LocalError, with the end of the log, when `child` ends or takes too long."""
    try:
        async with asyncio.timeout(seconds):
            while not await probe():
                code = child.exit_code()
                if code is not None:
                    raise LocalError(f"{child.name} ended {describe(code)}; {_log_end(child)}")
                await asyncio.sleep(_PROBE_SECONDS)
    except TimeoutError:
        raise LocalError(f"{child.name} was not ready in {seconds:g} s; {_log_end(child)}") from None


def _log_end(child: Child) -> str:
    return f"the end of {child.log}:\n{child.tail()}"


def describe(code: int) -> str:
    """An exit code in words."""
    return f"with exit code {code}" if code >= 0 else f"by {signal.Signals(-code).name}"


def grpc_serving(target: str) -> Probe:
    """Whether the gRPC server at `target` says that it serves."""

    async def probe() -> bool:
        options = [("grpc.enable_http_proxy", 0)]  # one that the environment names is for the web
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                answer = await check(health_pb2.HealthCheckRequest(), timeout=5)
            except grpc.aio.AioRpcError:
                return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def tcp_open(host: str, port: int) -> Probe:
    """Whether something listens there."""

    async def probe() -> bool:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            return False
        writer.close()
        return True

    return probe


def said(child: Child, word: str) -> Probe:
    """Whether the process has logged the word."""

    async def probe() -> bool:
        return word in child.output()

    return probe


def http_ok(url: str) -> Probe:
    """Whether a GET of `url` answers 200."""

    async def probe() -> bool:
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session,
                session.get(url) as answer,
            ):
                return answer.status == 200
        except (aiohttp.ClientError, TimeoutError):
            return False

    return probe
