"""Webhooks verified and stored: how many a second, and how long a sender waits."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.materials import ROOT
from benchmarks.measure import Plan, Row, in_turns
from benchmarks.peers import PeerMissing
from benchmarks.posting import Load
from benchmarks.servers import Address, ServerFailed, n8n, ours

sys.path.insert(0, str(ROOT / "scripts"))

from local_postgres import DURABLE, LocalPostgres

BUDGET = {"mounted": 1000, "alone": 2000}
"""Deliveries a second, on two cores that the sender is on as well."""
P99 = 0.1
PEER = "n8n"
_TITLES = {"mounted": "mounted in the API server", "alone": "by `flowmate webhooks serve`"}


def receiving(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about receiving. Costs are seconds a delivery; all servers run while one is posted to."""
    with ExitStack() as stack:
        databases: dict[str, str | None] = {"SQLite": None}
        postgres = _postgres(stack)
        if postgres is not None:
            databases["PostgreSQL"] = postgres
        contenders: dict[str, _Contender] = {}
        for name, database in databases.items():
            home = folder / name
            home.mkdir()
            for where, address in stack.enter_context(ours(home, database)).items():
                contenders[f"{where}, {name}"] = _Contender(address, plan.times(5000, 1500), home)
        missing = _add_peer(stack, contenders, plan, folder)
        turns: dict[str, Callable[[], float]] = {name: each.run for name, each in contenders.items()}
        samples = in_turns(turns, plan.times(5, 2))
    for name, each in contenders.items():
        if name != PEER:
            yield from _rows(name, each, samples, missing)
    if postgres is None:
        yield Row("deliveries verified and stored, PostgreSQL", "-", "-", None, note="no PostgreSQL server here")


@dataclass(slots=True)
class _Contender:
    """One server. What each repetition has brought is kept."""

    address: Address
    count: int
    folder: Path
    kept: list[dict[str, Any]] = field(default_factory=list)

    def run(self) -> float:
        """Post deliveries, and return the seconds that one took.

        :raises ServerFailed: not all were accepted
        """
        load = Load("127.0.0.1", self.address.port, self.address.path, self.count)
        file = self.folder / "load.json"
        file.write_text(json.dumps(asdict(load)), encoding="utf-8")
        command = [sys.executable, "-m", "benchmarks.posting", str(file)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerFailed(done.stderr[-2000:])
        answer = json.loads(done.stdout)
        if answer["accepted"] != self.count or answer["failed"]:
            raise ServerFailed(f"of {self.count} deliveries {answer['accepted']} were accepted: {answer['statuses']}")
        self.kept.append(answer)
        return float(answer["seconds"]) / self.count

    def median(self, name: str) -> float:
        """Return the median of a value, without the uncounted repetition."""
        return statistics.median(each[name] for each in self.kept[1:])


def _rows(name: str, each: _Contender, samples: dict[str, list[float]], missing: str) -> Iterator[Row]:
    where, _, database = name.partition(", ")
    what = f"deliveries verified and stored {_TITLES[where]}, {database}"
    cost = statistics.median(samples[name])
    mine = f"{1 / cost:,.0f}/s"
    kept = {"ours": each.kept}
    budget = BUDGET[where]
    yield Row(what, mine, f"the budget: {budget:,}/s", cost * budget, 1.0, samples=kept)
    p50, p99 = each.median("p50"), each.median("p99")
    note = f"p50 {p50 * 1000:.0f} ms, with 64 senders at once that do not pause"
    yield Row(f"the same, p99 of the answers, {database}", f"{p99 * 1000:.0f} ms", "100 ms", p99 / P99, 1.0, note)
    if PEER not in samples:
        yield Row(what, mine, PEER, None, None, missing)
        return
    other = statistics.median(samples[PEER])
    note = "it verifies nothing; SQLite, answered at once"
    yield Row(what, mine, f"{PEER}: {1 / other:,.0f}/s", cost / other, None, note, {**kept, PEER: samples[PEER]})


def _add_peer(stack: ExitStack, contenders: dict[str, _Contender], plan: Plan, folder: Path) -> str:
    """Start n8n, and return why it is missing, if it is."""
    home = folder / PEER
    home.mkdir()
    try:
        address = stack.enter_context(n8n(home))
    except (PeerMissing, ServerFailed) as error:
        return str(error).strip().splitlines()[-1][-200:]
    contenders[PEER] = _Contender(address, plan.times(200, 100), home)
    return ""


def _postgres(stack: ExitStack) -> str | None:
    """Start a PostgreSQL server that waits for the disk, as one in production does; None where there is none."""
    found = subprocess.run([ROOT / "scripts" / "postgres", "find"], capture_output=True, text=True, check=False)
    if found.returncode:
        return None
    return stack.enter_context(LocalPostgres(Path(found.stdout.strip()), DURABLE))
