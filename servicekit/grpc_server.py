"""The gRPC server of a service: policy, health, reflection, a bound on work, and an orderly end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import cast

import grpc
import structlog
from google.protobuf import descriptor_pool, message_factory
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from servicekit.grpc_streams import LASTS_S
from servicekit.identity import Trust
from servicekit.interceptors import make_chain
from servicekit.interceptors.policy import policies
from servicekit.interceptors.streams import Handler
from servicekit.runner import StartError
from servicekit.settings import GrpcServerSettings

log = structlog.get_logger("servicekit.grpc")

_SERVING = health_pb2.HealthCheckResponse.SERVING
_NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
_READY_RETRY_SECONDS = 0.5

# Calls let in beyond the bound on work: to be told so, and health probes.
_PROBES = 64

# Credentials and the assertion of a person with a long picture address fit; gRPC's own 8 KiB is a soft
# limit beyond which calls are refused at random.
_MAX_METADATA_BYTES = 32 * 1024


class GrpcServer:
    """Serves unary RPCs whose policy is in their contract, and streams of their calls.

    `service_names` are the full names of what `add_servicers` adds, neither more nor fewer. `ready` is
    awaited again and again until it does not raise; only then health answers SERVING. It is not asked later:
    losing a backing service shows as UNAVAILABLE answers, which heal faster than a name out of rotation.

    ValueError when an RPC declares no policy, streams anything but calls of a unary one (`stream_of`), or
    belongs to a service that is not named.
    """

    def __init__(
        self,
        *,
        settings: GrpcServerSettings,
        trust: Trust,
        add_servicers: Callable[[grpc.aio.Server], None],
        service_names: Sequence[str],
        ready: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._settings = settings
        self._service_names = tuple(service_names)
        self._ready = ready
        self._becoming_ready: asyncio.Task[None] | None = None
        table = policies(service_names)
        self._chain = make_chain(
            trust,
            table,
            max_concurrent=settings.grpc_max_concurrent,
            default_deadline=settings.grpc_default_deadline_seconds,
        )
        self._server = grpc.aio.server(
            interceptors=[self._chain],
            options=_options(settings),
            # As many streams that carry nothing now, and as many calls that are told to come back.
            maximum_concurrent_rpcs=3 * settings.grpc_max_concurrent + _PROBES,
        )
        registrar = _Registrar(self._server)
        add_servicers(cast(grpc.aio.Server, registrar))
        if registrar.names != set(service_names):
            raise ValueError(f"added {sorted(registrar.names)}, but named {sorted(service_names)}")
        for method, policy in table.items():
            if policy.stream_of:
                self._carry(method, policy.stream_of, registrar.handlers)
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        if settings.grpc_reflection:
            names = (*service_names, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self._server)

    async def start(self) -> int:
        """Binds and serves; the port it is bound to. StartError when the address cannot be had."""
        host = self._settings.grpc_host
        address = f"{f'[{host}]' if ':' in host else host}:{self._settings.grpc_port}"
        for name in ("", *self._service_names):
            await self._health.set(name, _NOT_SERVING)
        try:
            self._port = self._server.add_insecure_port(address)
        except RuntimeError as error:
            raise StartError(f"gRPC cannot listen on {address}: is it taken by another process?") from error
        await self._server.start()
        if self._ready is None:
            await self._serving()
        else:
            self._becoming_ready = asyncio.create_task(self._when_ready(self._ready))
        return self._port

    async def drain(self) -> None:
        """Turns health to NOT_SERVING, takes no new calls and gives those in work `grpc_drain_seconds`.

        Streams end once the call that they carry is answered.
        """
        if self._becoming_ready is not None:
            self._becoming_ready.cancel()
        await self._health.enter_graceful_shutdown()
        self._chain.end_streams()
        await self._server.stop(self._settings.grpc_drain_seconds)

    def _carry(self, method: str, unary: str, handlers: Mapping[str, Handler]) -> None:
        service, _, name = method[1:].partition("/")
        streaming = descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]
        response = message_factory.GetMessageClass(streaming.output_type)
        self._chain.carry(method, handlers[method], unary, handlers[unary], response)

    async def _serving(self) -> None:
        for name in ("", *self._service_names):
            await self._health.set(name, _SERVING)
        log.info("serving", port=self._port)

    async def _when_ready(self, ready: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await ready()
            except Exception as error:  # noqa: BLE001 - whatever it is, it means not ready
                log.warning("not ready", cause=type(error).__name__)
                await asyncio.sleep(_READY_RETRY_SECONDS)
            else:
                await self._serving()
                return


def _options(settings: GrpcServerSettings) -> list[tuple[str, int]]:
    return [
        ("grpc.so_reuseport", 0),  # else a second server binds the same port in silence
        ("grpc.max_receive_message_length", settings.grpc_max_receive_bytes),
        ("grpc.max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _MAX_METADATA_BYTES),
        ("grpc.max_connection_age_ms", settings.grpc_max_connection_age_ms),
        # Its streams take calls until they end by themselves.
        ("grpc.max_connection_age_grace_ms", int((LASTS_S + settings.grpc_drain_seconds) * 1000)),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.keepalive_permit_without_calls", 1),
        # Lets clients ping; other spellings of this option are ignored in silence.
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ]


class _Registrar:
    """What generated `add_…_to_server` functions need of a server; remembers which services they add."""

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server
        self.names: set[str] = set()
        self.handlers: dict[str, Handler] = {}
        """By method."""

    def add_generic_rpc_handlers(self, generic_rpc_handlers: Iterable[grpc.GenericRpcHandler]) -> None:
        handlers = list(generic_rpc_handlers)
        for handler in handlers:
            if not isinstance(handler, grpc.ServiceRpcHandler):
                raise TypeError("only generated services can be added: their contract declares the policy")
            self.names.add(handler.service_name())
        self._server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(
        self, service_name: str, method_handlers: Mapping[str, Handler]
    ) -> None:
        self.names.add(service_name)
        self.handlers |= {f"/{service_name}/{name}": handler for name, handler in method_handlers.items()}
        self._server.add_registered_method_handlers(service_name, method_handlers)
