"""Draws what a message costs, by process, of several runs: `python -m bench.chart RUN.json…`.

Writes `docs/img/performance.svg`. The first run is the oldest; its bars stand above those of the later ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

from bench import results
from deploy.local.folders import CHECKOUT

OUTPUT = CHECKOUT / "docs/img/performance.svg"
# Okabe and Ito's colours: told apart by everybody.
_COLOURS = {
    "edge_gateway": "#0072b2",
    "message_svc": "#56b4e9",
    "postgres": "#009e73",
    "redis": "#d55e00",
    "rabbitmq": "#e69f00",
    "conversation_svc_worker": "#cc79a7",
}
_OTHER = "#999999"
_LEFT, _WIDTH, _BAR, _GAP, _TOP = 150, 620, 20, 6, 64


def draw(runs: Sequence[Mapping[str, Any]]) -> str:
    """The SVG: a group of bars for each number of pairs, a bar for each run."""
    groups = [
        (row["pairs"], [(run["machine"]["commit"], _row(run, row["pairs"])) for run in runs])
        for row in runs[-1]["rows"]["sends"]
    ]
    longest = max(sum(row["cpu_us"].values()) for _, bars in groups for _, row in bars)
    scale = _WIDTH / longest
    parts, y = [], _TOP
    for pairs, bars in groups:
        parts.append(_text(8, y + 14, f"{pairs} pair{'s' * (pairs > 1)}", weight="600"))
        for commit, row in bars:
            parts.append(_text(_LEFT - 8, y + 14, commit, anchor="end"))
            parts += _bar(row["cpu_us"], y, scale)
            y += _BAR + _GAP
        y += 2 * _GAP
    head = [_text(8, 20, "CPU of all processes for one message, in microseconds", weight="600"), *_legend()]
    width, height, content = _LEFT + _WIDTH + 90, y + 8, "".join((*head, *parts))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        f'font-size="13"><rect width="{width}" height="{height}" fill="#fff"/>{content}</svg>\n'
    )


def _row(run: Mapping[str, Any], pairs: int) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(row for row in run["rows"]["sends"] if row["pairs"] == pairs)
    return found


def _bar(costs: Mapping[str, float], y: int, scale: float) -> list[str]:
    parts, x = [], float(_LEFT)
    for name in sorted(costs, key=lambda each: list(_COLOURS).index(each) if each in _COLOURS else 99):
        width = costs[name] * scale
        label = f"{name}: {costs[name]:,.0f} µs"
        parts.append(
            f'<rect x="{x:.1f}" y="{y}" width="{width:.1f}" height="{_BAR}" '
            f'fill="{_COLOURS.get(name, _OTHER)}"><title>{escape(label)}</title></rect>'
        )
        x += width
    parts.append(_text(x + 6, y + 15, f"{sum(costs.values()):,.0f}"))
    return parts


def _legend() -> list[str]:
    parts, x = [], 8.0
    for name, colour in {**_COLOURS, "others": _OTHER}.items():
        parts.append(f'<rect x="{x:.0f}" y="34" width="12" height="12" fill="{colour}"/>')
        parts.append(_text(x + 17, 45, name))
        x += 34 + 7.2 * len(name)
    return parts


def _text(x: float, y: float, text: str, *, anchor: str = "start", weight: str = "400") -> str:
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" font-weight="{weight}">{escape(text)}</text>'
    )


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.chart", description=__doc__)
    parser.add_argument("runs", nargs="+", type=Path, help="documents of bench/results/, the oldest first")
    OUTPUT.write_text(draw([results.load(path) for path in parser.parse_args().runs]), encoding="utf-8")


if __name__ == "__main__":
    main()
