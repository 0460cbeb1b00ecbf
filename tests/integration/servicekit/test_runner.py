"""A process ends in order when it is told to, and says why it cannot start."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path

HEAD = """
import asyncio
from servicekit import runner, telemetry
from servicekit.settings import TelemetrySettings

telemetry.setup("one_svc", TelemetrySettings(log_format="json"))
"""


async def start(body: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        HEAD + body + "\nrunner.run(main)\n",
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    return (await asyncio.wait_for(process.stdout.readline(), 60)).decode().strip()


async def test_a_termination_signal_sets_the_stop_event_and_the_work_ends_in_its_own_time() -> None:
    process = await start("""
async def main(stop):
    print(type(asyncio.get_running_loop()).__module__, flush=True)
    await stop.wait()
    print("stopped", flush=True)
""")
    assert (await line_of(process)).startswith("uvloop")
    process.send_signal(signal.SIGTERM)
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    log, last = out.decode().splitlines()
    assert (json.loads(log)["event"], json.loads(log)["signal"]) == ("stopping", "SIGTERM")
    assert last == "stopped"


async def test_a_second_signal_ends_work_that_does_not_end() -> None:
    process = await start("""
async def main(stop):
    print("ready", flush=True)
    await stop.wait()
    print("stopping", flush=True)
    await asyncio.Event().wait()
""")
    assert await line_of(process) == "ready"
    process.send_signal(signal.SIGINT)
    await line_of(process)
    assert await line_of(process) == "stopping"
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode != 0


async def test_a_start_that_fails_for_a_known_reason_is_one_line_and_status_one() -> None:
    process = await start("""
async def main(stop):
    raise runner.StartError("port 1 is taken")
""")
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 1
    (line,) = out.decode().splitlines()
    assert json.loads(line)["error"] == "port 1 is taken"
    assert err == b""


async def test_an_unknown_error_is_seen_and_not_swallowed() -> None:
    process = await start("""
async def main(stop):
    raise ZeroDivisionError
""")
    _, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode not in (0, None)
    assert b"ZeroDivisionError" in err


async def test_full_collections_pass_over_what_was_made_during_the_start() -> None:
    process = await start("""
import gc

async def main(stop):
    made = [[] for _ in range(1000)]
    runner.keep_what_stands()
    print(sum(each is made for each in gc.get_objects()), gc.get_freeze_count() > 1000, flush=True)
""")
    assert (await line_of(process)).split() == ["0", "True"]
    assert await asyncio.wait_for(process.wait(), 60) == 0
