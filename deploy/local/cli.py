"""`python -m deploy.local VERB`: what `make run` and the tests start on one machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from deploy.local.backing import Backing
from deploy.local.checks import CHECKS, run_checks
from deploy.local.child import Child
from deploy.local.folders import open_state, open_temporary, state_path
from deploy.local.run import run
from deploy.local.signals import Signals, run_to_exit_code


def say(text: str) -> None:
    """Progress, for a person; on stderr, since stdout may be a command's own."""
    print(text, file=sys.stderr, flush=True)


async def with_backing(signals: Signals, command: Sequence[str]) -> int:
    """Runs `command` with backing services in its environment.

    Returns its exit code, 128+n when signal n ended it.
    """
    folder = open_temporary()
    backing = Backing(folder, say=say)
    try:
        urls = await backing.start()
        return await _run(signals, command, {**os.environ, **urls})
    finally:
        signals.stopping()
        await backing.stop()
        folder.close()


async def clean(_signals: Signals) -> int:
    """Removes the state folder. Raises LocalError while a system runs on it."""
    path = state_path()
    if path.exists():
        open_state(path).remove()
    return 0


async def _run(signals: Signals, command: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs `command`, whose group gets every signal that this process gets."""
    child = Child.spawn(command[0], command, log=None, env=environment)
    signals.forward_to(child.send_group)
    try:
        code = await child.wait()
    finally:
        signals.stopping()
        child.kill()  # what it left in its group
    return 128 - code if code < 0 else code


def _check_name(text: str) -> str:
    names = [check.name for check in CHECKS]
    if text not in names:
        raise argparse.ArgumentTypeError(f"no such check: {text}; there are {', '.join(names)}")
    return text


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    backing = verbs.add_parser(
        "backing", help="run a command with Postgres, Redis and RabbitMQ in its environment"
    )
    backing.add_argument("command", nargs="+", metavar="-- COMMAND")
    check = verbs.add_parser("check", help="run the checks of `make test`, or those named")
    check.add_argument("names", nargs="*", type=_check_name, metavar="CHECK")
    verbs.add_parser("run", help="run the whole product with its demo until Ctrl-C, on PORT (8080)")
    verbs.add_parser("clean", help="remove the state folder and the data of its servers")
    options = parser.parse_args(arguments)
    if options.verb == "check":
        return run_to_exit_code(lambda signals: run_checks(signals, options.names, say=say), say)
    if options.verb == "run":
        return run_to_exit_code(lambda signals: run(signals, say=say), say)
    if options.verb == "clean":
        return run_to_exit_code(clean, say)
    return run_to_exit_code(lambda signals: with_backing(signals, options.command), say)
