"""The client of one service: deadlines that shrink, bounded retries, credentials, one typed error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Generic, TypeAlias, TypeVar, cast

import grpc
from opentelemetry import trace

from servicekit import telemetry
from servicekit.errors import ChatError, DeadlineError, Reason, from_rpc_error
from servicekit.grpc_streams import CallStreams
from servicekit.identity import ActingUser, Signer, call_metadata
from servicekit.interceptors.deadline import remaining_seconds
from servicekit.retry import RetryBudget, backoff_seconds

StubT = TypeVar("StubT")
RequestT = TypeVar("RequestT")
ResponseT = TypeVar("ResponseT")

if TYPE_CHECKING:  # generic in its stubs only
    Method: TypeAlias = (
        grpc.aio.UnaryUnaryMultiCallable[RequestT, ResponseT]
        | grpc.aio.StreamStreamMultiCallable[RequestT, ResponseT]
    )

_ATTEMPTS = 4
_OWN_SHARE_SECONDS = 0.05
"""What a call leaves of the surrounding call's time, to answer with."""


class ServiceClient(Generic[StubT]):
    """Calls one service over one channel, over all addresses of `target` in turn.

    `target` is "host:port" (each address of the name takes its share) or any gRPC target, such as
    "ipv4:10.0.0.1:50051,10.0.0.2:50051". `stub` is the generated stub class. `retry_budget` is the share of
    calls that may be repeated. Nothing is connected before the first call.
    """

    def __init__(
        self,
        target: str,
        stub: Callable[[grpc.aio.Channel], StubT],
        signer: Signer,
        *,
        retry_budget: float = 0.2,
        keepalive_seconds: float = 30.0,
        max_receive_bytes: int = 32 * 1024 * 1024,
    ) -> None:
        self._signer = signer
        self._budget = RetryBudget(retry_budget)
        self._channel = grpc.aio.insecure_channel(
            target
            if ":///" in target or target.startswith(("ipv4:", "ipv6:", "unix:"))
            else f"dns:///{target}",
            options=_options(keepalive_seconds, max_receive_bytes),
        )
        self._named = _NamedChannel(self._channel)
        self.stub = stub(cast(grpc.aio.Channel, self._named))

    async def call(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        *,
        timeout: float,
        acting: ActingUser | str | None = None,
        idempotent: bool = False,
        serves: Sequence[trace.Span] = (),
    ) -> ResponseT:
        """Calls `method` (`client.stub.SendMessages`) and returns its response; raises ChatError only.

        Of a method that carries another's calls (`stub.StreamSends`) the request holds one in `call`.

        `timeout`: seconds for all attempts, cut to what the surrounding RPC has left. `acting`: the person it
        is for, or an assertion of them that this service signed. `idempotent` calls are repeated on
        UNAVAILABLE while time and budget last. `serves`: spans of what is done by this call, when it is no
        part of a single one of them; they and its own are linked, both ways.

        UNAUTHENTICATED means that the peer does not believe this service: never the end user's fault.
        """
        deadline = asyncio.get_running_loop().time() + budgeted(timeout)
        name = self._named.method_name(method)
        service, _, rpc = name.partition("/")
        with telemetry.tracer().start_as_current_span(
            name,
            kind=trace.SpanKind.CLIENT,
            attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": rpc},
            links=[trace.Link(each.get_span_context()) for each in serves],
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            for each in serves:
                each.add_link(span.get_span_context())
            self._budget.earn()
            attempt = 0
            while True:
                attempt += 1
                try:
                    return await self._attempt(method, request, deadline, acting)
                except grpc.aio.AioRpcError as failure:
                    code, error = failure.code(), from_rpc_error(failure)
                span.set_attribute("rpc.grpc.status_code", code.value[0])
                span.set_attribute("chat.attempts", attempt)
                if (
                    not idempotent
                    or code is not grpc.StatusCode.UNAVAILABLE
                    or attempt == _ATTEMPTS
                    or not await self._may_repeat(attempt, error, deadline)
                ):
                    if error.retryable or error.code is grpc.StatusCode.INTERNAL:
                        span.set_status(trace.StatusCode.ERROR, error.reason.value)
                    raise error

    async def close(self) -> None:
        """Closes the channel; calls in work are cancelled."""
        await self._channel.close()

    async def _attempt(
        self,
        method: Method[RequestT, ResponseT],
        request: RequestT,
        deadline: float,
        acting: ActingUser | str | None,
    ) -> ResponseT:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            raise DeadlineError
        metadata = call_metadata(self._signer, acting)
        traceparent, request_id = telemetry.current_traceparent(), telemetry.current_request_id()
        if traceparent is not None:
            metadata.append((telemetry.TRACEPARENT, traceparent))
        if request_id is not None:
            metadata.append((telemetry.REQUEST_ID, request_id))
        try:
            call: Any = method  # both kinds are called alike (CallStreams)
            response: ResponseT = await call(request, timeout=left, metadata=metadata)
            return response
        except grpc.aio.UsageError as error:
            raise ChatError(Reason.UNAVAILABLE, "The client is closed.") from error

    async def _may_repeat(self, attempt: int, error: ChatError, deadline: float) -> bool:
        """Waits before the next attempt; False when there is no time or no budget for one."""
        wait = max(backoff_seconds(attempt), (error.retry_after_ms or 0) / 1000)
        if asyncio.get_running_loop().time() + wait >= deadline or not self._budget.spend():
            return False
        await asyncio.sleep(wait)
        return True


def budgeted(timeout: float) -> float:
    """`timeout`, cut to what the surrounding call has left after its own share (50 ms); may be negative."""
    surrounding = remaining_seconds()
    return timeout if surrounding is None else min(timeout, surrounding - _OWN_SHARE_SECONDS)


def _options(keepalive_seconds: float, max_receive_bytes: int) -> list[tuple[str, int | str]]:
    return [
        ("grpc.service_config", json.dumps({"loadBalancingConfig": [{"round_robin": {}}]})),
        # Peers are reached directly: an http_proxy of the environment is for the web.
        ("grpc.enable_http_proxy", 0),
        ("grpc.enable_retries", 0),  # retries are ours: gRPC's know neither budget nor idempotence
        ("grpc.keepalive_time_ms", int(keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", 5_000),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        # A service that comes back is found within about a second.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", 1_000),
        ("grpc.max_reconnect_backoff_ms", 1_000),
        ("grpc.dns_min_time_between_resolutions_ms", 1_000),
        ("grpc.max_receive_message_length", max_receive_bytes),
        ("grpc.max_metadata_size", 32 * 1024),
        ("grpc.absolute_max_metadata_size", 32 * 1024),
    ]


class _NamedChannel:
    """What a generated stub needs of a channel; remembers the name of each method it takes."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._names: dict[Any, str] = {}

    def method_name(self, method: Any) -> str:
        """ "package.Service/Method" of a stub's method."""
        return self._names[method]

    def unary_unary(self, method: str, *args: Any, **options: Any) -> Any:
        taken = self._channel.unary_unary(method, *args, **options)
        self._names[taken] = method.removeprefix("/")
        return taken

    def _streaming(self, method: str, *_: Any, **__: Any) -> Any:
        raise TypeError(f"{method} streams one way; this client makes calls only")

    unary_stream = stream_unary = _streaming

    def stream_stream(self, method: str, *args: Any, **options: Any) -> Any:
        """Streams both ways carry calls: every other kind is refused by the servers."""
        taken = CallStreams(self._channel.stream_stream(method, *args, **options))
        self._names[taken] = method.removeprefix("/")
        return taken
