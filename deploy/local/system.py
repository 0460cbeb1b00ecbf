"""The whole product on one machine: every service, an edge or several, and the development issuer."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from deploy.local.child import Child
from deploy.local.errors import LocalError, together
from deploy.local.folders import Folder
from deploy.local.folders import make_secret as make_secret  # noqa: PLC0414 - those who start a system need it too
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.program import Program, grpc_serving, http_ok, tcp_open
from servicekit.identity import write_keys
from servicekit.runner import StartError

# Which services exist is known here only; each starts as `python -m <name> serve`.
SERVICES = ("conversation_svc", "message_svc", "presence_svc")
_WORKER = "conversation_svc_worker"

# Who is believed as what. chatctl stands for the marketplace's own programs.
CALLERS = {
    "edge_gateway": "edge",
    "conversation_svc": "conversation_svc",
    "message_svc": "message_svc",
    "presence_svc": "presence_svc",
    "chatctl": "internal",
}

AUDIENCE = "splits-chat"
"""Whom the development issuer's tokens are for."""


@dataclass(frozen=True)
class Edge:
    """Where one edge listens."""

    program: Program
    url: str
    ops_url: str


@dataclass(frozen=True)
class Parts:
    """What a system is made of that lies outside it."""

    databases: Mapping[str, str]
    """Each service's own database URL."""
    redis_url: str
    amqp_url: str
    overrides: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """More settings, by program name."""
    origins: Sequence[str] = ()
    """Of pages elsewhere that may use the edge and the issuer, beside the demo's own."""
    cores: Sequence[int] = ()
    """On each an edge and the message_svc that it calls, bound to it. None: one of each, bound to nothing."""


class System:
    """Starts, restarts and stops the product's processes. `stop` always, also after a start that failed."""

    def __init__(self, folder: Folder, parts: Parts, *, edge_port: int | None = None):
        self._folder = folder
        self._parts = parts
        self._keys = folder.path / "keys"
        self._hash_key = make_secret(folder, "message-hash-key")
        self.targets = {name: f"{LOOPBACK}:{free_port()}" for name in SERVICES}
        self._issuer_port = free_port()
        self._mail_port = free_port()
        self.issuer_url = f"http://{LOOPBACK}:{self._issuer_port}"
        self._first_edge_port = edge_port or free_port()
        self.edges: list[Edge] = []
        self.programs: dict[str, Program] = {}

    @property
    def edge_url(self) -> str:
        return self.edges[0].url

    @property
    def ops_url(self) -> str:
        return self.edges[0].ops_url

    async def start(self) -> None:
        """Migrates, starts everything, returns when all of it serves. Raises LocalError when not."""
        try:
            write_keys(self._keys, CALLERS)
        except StartError as error:
            raise LocalError(f"{error}. Mend the file, or remove it to begin anew.") from None
        await together(*(self._migration(name).run_to_end() for name in SERVICES))
        for name in SERVICES:
            self._add(self._service(name))
        self._add(self._issuer())
        self._add(self._mail_catcher())
        self._add(self._worker())
        self._add_edge(self._edge("edge_gateway", self._first_edge_port, core=self._first_core))
        for core in self._parts.cores[1:]:
            self._add_pair(core)
        await together(*(program.wait_ready() for program in self.programs.values()))

    async def add_edge(self, settings: Mapping[str, str] | None = None) -> Edge:
        """Starts one more edge on a port of its own, maybe with more settings."""
        edge = self._add_edge(self._edge(f"edge_gateway_{len(self.edges) + 1}", free_port(), settings))
        await edge.program.wait_ready()
        return edge

    def kill(self, name: str) -> None:
        """Ends a process by SIGKILL, at once."""
        self.programs[name].running.kill()

    async def terminate(self, name: str) -> int:
        """Ends a process by SIGTERM; returns its exit code."""
        return await self.programs[name].running.stop()

    async def restart(self, name: str) -> None:
        """Starts a process again (ends it first, when it runs) on its old ports; returns when it serves."""
        program = self.programs[name]
        await program.running.stop()
        program.spawn()
        await program.wait_ready()

    async def exchange(
        self, name: str, *, module: str | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        """Ends a service or its worker; starts it with more settings, or as another `module` (None: itself).

        For builds and settings that are wrong on purpose.
        """
        make = self._worker if name == _WORKER else partial(self._service, name)
        program = make(module, settings)
        await self.programs[name].running.stop()
        self._add(program)
        await program.wait_ready()

    def read_log(self, name: str) -> str:
        """All that a process has logged."""
        return self.programs[name].log.read_text(errors="replace")

    async def stop(self) -> None:
        """Ends every process, in its own manner; a start or restart still under way begins no other."""
        self._folder.ledger.closed = True
        children = [program.child for program in self.programs.values() if program.child is not None]
        await asyncio.gather(*(child.stop() for child in children))

    def describe(self) -> dict[str, object]:
        """What chatctl, the seed and tests need to find this system: the content of `run.json`."""
        pids = {name: program.child.pid for name, program in self.programs.items() if program.child}
        return {
            "edgeUrl": self.edge_url,
            "opsUrl": self.ops_url,
            "issuerUrl": self.issuer_url,
            "targets": self.targets,
            "keysDir": str(self._keys),
            "databaseUrls": dict(self._parts.databases),
            "redisUrl": self._parts.redis_url,
            "amqpUrl": self._parts.amqp_url,
            "pids": pids,
        }

    def _add(self, program: Program) -> Child:
        self.programs[program.name] = program
        return program.spawn()

    def _add_edge(self, edge: Edge) -> Edge:
        self.edges.append(edge)
        self._add(edge.program)
        return edge

    def _add_pair(self, core: int) -> None:
        """One more edge, and the message_svc that it calls."""
        number, target = len(self.edges) + 1, f"{LOOPBACK}:{free_port()}"
        self._add(self._replica("message_svc", f"message_svc_{number}", target, core=core))
        settings = {"MESSAGE_SVC_TARGET": target}
        self._add_edge(self._edge(f"edge_gateway_{number}", free_port(), settings, core=core))

    @property
    def _first_core(self) -> int | None:
        return self._parts.cores[0] if self._parts.cores else None

    def _environment(self, name: str, settings: Mapping[str, str]) -> dict[str, str]:
        return {**os.environ, **settings, **self._parts.overrides.get(name, {})}

    def _service_settings(self, name: str, target: str | None = None) -> dict[str, str]:
        settings = {
            "DATABASE_URL": self._parts.databases[name],
            "REDIS_URL": self._parts.redis_url,
            "AMQP_URL": self._parts.amqp_url,
            "GRPC_HOST": LOOPBACK,
            "GRPC_PORT": (target or self.targets[name]).rpartition(":")[2],
            "SERVICE_KEY_FILE": str(self._keys / f"{name}.pem"),
            "SERVICE_TRUST_FILE": str(self._keys / "trust.json"),
        }
        if name == "conversation_svc":
            settings["MESSAGE_SVC_TARGET"] = self.targets["message_svc"]
        if name == "presence_svc":
            settings["CONVERSATION_SVC_TARGET"] = self.targets["conversation_svc"]
        if name == "message_svc":
            settings["MESSAGE_HASH_KEY"] = self._hash_key
        return settings

    def _migration(self, name: str) -> Program:
        return Program(
            f"{name}_migrate",
            (name, "migrate"),
            environment=self._environment(name, self._service_settings(name)),
            folder=self._folder,
        )

    def _service(
        self, name: str, module: str | None = None, settings: Mapping[str, str] | None = None
    ) -> Program:
        core = self._first_core if name == "message_svc" else None
        return self._replica(name, name, self.targets[name], module=module, settings=settings, core=core)

    def _replica(
        self,
        service: str,
        name: str,
        target: str,
        *,
        module: str | None = None,
        settings: Mapping[str, str] | None = None,
        core: int | None = None,
    ) -> Program:
        environment = self._environment(service, self._service_settings(service, target))
        return Program(
            name,
            (module or service, "serve"),
            environment={**environment, **(settings or {})},
            probe=grpc_serving(target),
            folder=self._folder,
            core=core,
        )

    def _worker(self, module: str | None = None, settings: Mapping[str, str] | None = None) -> Program:
        """Mails about what is unread after a minute, not a quarter of an hour: this is to be looked at."""
        mail = {
            "MAIL_ENABLED": "true",
            "UNREAD_MAIL_DELAY_SECONDS": "60",
            "SMTP_URL": f"smtp://{LOOPBACK}:{self._mail_port}",
            "PUBLIC_URL": f"http://{LOOPBACK}:{self._first_edge_port}/demo/",
        }
        return Program(
            _WORKER,
            (module or "conversation_svc", "worker"),
            environment={
                **self._environment(_WORKER, {**self._service_settings("conversation_svc"), **mail}),
                **(settings or {}),
            },
            ready_word="consuming",
            folder=self._folder,
        )

    def _mail_catcher(self) -> Program:
        """Mail goes nowhere but into this program's log."""
        address = f"{LOOPBACK}:{self._mail_port}"
        return Program(
            "mail",
            ("aiosmtpd", "-n", "-l", address, "-c", "aiosmtpd.handlers.Debugging", "stdout"),
            environment=self._environment("mail", {"PYTHONUNBUFFERED": "1"}),
            probe=tcp_open(LOOPBACK, self._mail_port),
            folder=self._folder,
        )

    def _issuer(self) -> Program:
        settings = {
            "ISSUER_HOST": LOOPBACK,
            "ISSUER_PORT": str(self._issuer_port),
            "ISSUER_URL": self.issuer_url,
            "ISSUER_AUDIENCE": AUDIENCE,
            "ISSUER_KEYS_DIR": str(self._folder.path / "issuer"),
            "ISSUER_ALLOWED_ORIGINS": self._origins(self._first_edge_port),
        }
        return Program(
            "issuer",
            ("deploy.local.issuer",),
            environment=self._environment("issuer", settings),
            probe=http_ok(f"{self.issuer_url}/.well-known/jwks.json"),
            folder=self._folder,
        )

    def _edge(
        self, name: str, port: int, more: Mapping[str, str] | None = None, *, core: int | None = None
    ) -> Edge:
        ops_port = free_port()
        issuer = {
            "issuer": self.issuer_url,
            "audiences": [AUDIENCE],
            "roles": ["recruiter", "company", "candidate", "moderator", "admin"],
        }
        settings = {
            "EDGE_HOST": LOOPBACK,
            "EDGE_PORT": str(port),
            "OPS_HOST": LOOPBACK,
            "OPS_PORT": str(ops_port),
            "DRAIN_SECONDS": "1",
            "CONVERSATION_SVC_TARGET": self.targets["conversation_svc"],
            "MESSAGE_SVC_TARGET": self.targets["message_svc"],
            "PRESENCE_SVC_TARGET": self.targets["presence_svc"],
            "REDIS_URL": self._parts.redis_url,
            "SERVICE_KEY_FILE": str(self._keys / "edge_gateway.pem"),
            "JWT_ISSUERS": json.dumps([issuer]),
            "ALLOWED_ORIGINS": self._origins(port),
            "DEMO_ENABLED": "true",
            "DEMO_ISSUER_URL": self.issuer_url,
            **(more or {}),
        }
        ops_url = f"http://{LOOPBACK}:{ops_port}"
        program = Program(
            name,
            ("edge_gateway", "serve"),
            environment=self._environment("edge_gateway", settings),
            probe=http_ok(f"{ops_url}/readyz"),
            folder=self._folder,
            core=core,
        )
        return Edge(program, f"http://{LOOPBACK}:{port}", ops_url)

    def _origins(self, port: int) -> str:
        return ",".join([f"http://{LOOPBACK}:{port}", f"http://localhost:{port}", *self._parts.origins])
