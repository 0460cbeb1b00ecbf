"""Log lines of a process: ours and those of libraries, all JSON, none of them with private text."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

PROGRAM = """
import asyncio, logging, uuid
import structlog
from servicekit import telemetry
from servicekit.settings import TelemetrySettings

telemetry.setup("one_svc", TelemetrySettings())
log, library = structlog.get_logger("ours"), logging.getLogger("library")
words = " ".join(["private", "words"])
token = ".".join(["eyJhbGciOiJFZERTQSJ9", "eyJzdWIiOiJ1c2VyIn0", "c2lnbmF0dXJl"])

try:
    raise KeyError(words)
except KeyError as error:
    log.exception("ours by exception")
    log.error("ours by error", exc_info=error)
    library.exception("library by exception")
    library.warning("library quotes %s and %r", error, error)
log.info("ours", token=token, id=uuid.UUID(int=1), odd=object(), n=1)
log.debug("too quiet")
library.warning("library says %s", token)
library.info("too quiet")

async def main():
    async def lost():
        raise KeyError(words)
    task = asyncio.ensure_future(lost())
    await asyncio.wait([task])
    del task

asyncio.run(main())
"""


async def run(**environment: str) -> tuple[list[str], str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        PROGRAM,
        env={**os.environ, **environment},
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, err.decode()
    return out.decode().splitlines(), err.decode()


async def test_every_line_is_json_and_errors_are_logged_by_type_and_place() -> None:
    out, err = await run(LOG_FORMAT="json")
    lines: list[dict[str, Any]] = [json.loads(line) for line in out]
    assert err == ""
    assert [line["event"] for line in lines[:6]] == [
        "ours by exception",
        "ours by error",
        "library by exception",
        "library quotes KeyError and 'KeyError'",
        "ours",
        "library says [token]",
    ]
    assert lines[6]["event"] == "Task exception was never retrieved"
    assert all(line["service"] == "one_svc" and line["ts"].endswith("Z") for line in lines)
    for line in (*lines[:3], lines[6]):
        assert line["level"] == "error"
        assert line["exception"].endswith("builtins.KeyError")
    ours = lines[4]
    assert (ours["token"], ours["id"], ours["odd"], ours["n"], ours["level"]) == (
        "[token]",
        "00000000-0000-0000-0000-000000000001",
        "<object>",
        1,
        "info",
    )
    assert lines[5]["logger"] == "library"


@pytest.mark.parametrize("log_format", ["json", "console"])
async def test_no_line_of_any_format_holds_private_words_or_tokens(log_format: str) -> None:
    out, err = await run(LOG_FORMAT=log_format, LOG_LEVEL="debug")
    text = "\n".join(out) + err
    assert "ours by exception" in text
    assert "private words" not in text
    assert "eyJ" not in text
