"""`python -m benchmarks`: measure the budgets, print one table of ratios, write every repetition to a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from datetime import datetime, timezone
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.loading import building, starting
from benchmarks.machine import facts
from benchmarks.mapping import handing_off, mapping
from benchmarks.materials import ROOT
from benchmarks.measure import Plan, Row
from benchmarks.memory import memory
from benchmarks.pairing import pairing
from benchmarks.receiving import receiving
from benchmarks.sourcing import sourcing
from benchmarks.stepping import stepping
from benchmarks.waking import waking

PARTS: dict[str, Callable[[Plan, Path], Iterator[Row]]] = {
    "build": building,
    "start": starting,
    "step": stepping,
    "pair": pairing,
    "source": sourcing,
    "memory": memory,
    "map": mapping,
    "hand-off": handing_off,
    "webhooks": receiving,
    "waking": waking,
}


def main() -> int:
    """Measure, print, write; the exit code does not depend on the numbers."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"what to measure: {', '.join(PARTS)}; default: all")
    parser.add_argument("--quick", action="store_true", help="a rough answer in about five minutes")
    parser.add_argument("--output", type=Path, default=ROOT / "build-out" / "bench.json", help="the JSON file")
    options = parser.parse_args()
    unknown = set(options.parts) - PARTS.keys()
    if unknown:
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    plan = Plan(options.quick)
    machine = facts()
    began = time.monotonic()
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(prefix="flowmate-bench-") as temporary:
        for name, part in PARTS.items():
            if not options.parts or name in options.parts:
                print(f"bench: {name}", file=sys.stderr)
                folder = Path(temporary) / name
                folder.mkdir()
                rows += part(plan, folder)
    result = {
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - began),
        "quick": options.quick,
        "machine": machine,
        "rows": [{**asdict(row), "verdict": row.verdict} for row in rows],
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(result, indent=1), encoding="utf-8")
    print_table(rows)
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{machine['cores']} cores ({machine['processor']}), load average {load}: other work on them makes noise")
    print(f"every repetition: {options.output}")
    return 0


def print_table(rows: list[Row]) -> None:
    """Print the rows; a ratio is our cost by the peer's, so that less is better."""
    table = Table(title="cost of ours by the peer's (less is better); medians, measured in turns", title_justify="left")
    table.add_column("what", ratio=3)
    table.add_column("ours", justify="right", no_wrap=True)
    table.add_column("peer", ratio=3)
    table.add_column("ratio", justify="right", no_wrap=True)
    table.add_column("budget", justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for row in rows:
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        budget = "" if row.budget is None else f"<= {row.budget:.2f}"
        peer = f"{row.peer} [dim]({row.note})[/dim]" if row.note else row.peer
        table.add_row(row.what, row.ours, peer, ratio, budget, row.verdict)
    # A pipe has no width; there the table gets the room that it needs.
    console = Console()
    (console if console.is_terminal else Console(width=160)).print(table)


if __name__ == "__main__":
    sys.exit(main())
