"""A system laid out by cores: on each an edge and the message_svc that it calls, both bound to it."""

from __future__ import annotations

import os
from pathlib import Path

from aiohttp import ClientSession

from deploy.local.folders import open_temporary
from deploy.local.system import SERVICES, Parts, System
from tests.support.backing import MakeDatabase
from tests.support.people import Town


async def test_each_core_has_an_edge_and_a_message_svc(
    make_database: MakeDatabase, redis_url: str, amqp_url: str
) -> None:
    allowed = sorted(os.sched_getaffinity(0))
    cores = [allowed[0], allowed[-1]]
    database = await make_database()
    databases = {service: await database.url(service) for service in SERVICES}
    folder = open_temporary()
    system = System(folder, Parts(databases, redis_url=redis_url, amqp_url=amqp_url, cores=cores))
    try:
        await system.start()
        for number, core in zip(("", "_2"), cores, strict=True):
            for kind in ("edge_gateway", "message_svc"):
                assert _threads_run_on(system.programs[kind + number].running.pid) == {str(core)}
        await _each_edge_calls_its_own(system)
    finally:
        await system.stop()
        folder.close()


def _threads_run_on(pid: int) -> set[str]:
    """The lists of cores that the threads of a process may run on."""
    statuses = [task / "status" for task in Path(f"/proc/{pid}/task").iterdir()]
    lines = [line for status in statuses for line in status.read_text().splitlines()]
    return {line.partition(":")[2].strip() for line in lines if line.startswith("Cpus_allowed_list")}


async def _each_edge_calls_its_own(system: System) -> None:
    async with ClientSession() as http:
        town = Town(http, [edge.url for edge in system.edges], system.issuer_url)
        ada, bob = await town.person(), await town.person("candidate")
        started = await ada.start(bob)
        where = started.body["conversation"]["id"]
        assert (await bob.post("accept", where)).status == 200
        await system.terminate("message_svc")
        answers = [await ada.at(edge.url).send(where) for edge in system.edges]
        assert [answer.status for answer in answers] == [503, 201]
