"""`python -m bench [SCENARIO…]`: measures, prints, and writes `bench/results/`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from typing import Any

from bench import sends
from bench.world import running

SCENARIOS = {"sends": sends.measure}


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


async def measure(names: list[str], *, short: bool) -> dict[str, Any]:
    found: dict[str, Any] = {}
    async with running(say) as world:
        for name in names:
            found[name] = await SCENARIOS[name](world, say, short=short)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("scenarios", nargs="*", metavar="SCENARIO", help=", ".join(SCENARIOS))
    parser.add_argument("--short", action="store_true", help="less of everything: shows that it runs")
    options = parser.parse_args()
    found = asyncio.run(measure(options.scenarios or list(SCENARIOS), short=options.short))
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
