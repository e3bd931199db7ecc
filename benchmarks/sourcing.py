"""An Airbyte source read by our step, against PyAirbyte with the same program."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

from benchmarks.materials import ROOT
from benchmarks.measure import Plan, Row, Samples, compare, in_turns, seconds
from benchmarks.peers import PeerMissing, connector, peer, program
from benchmarks.worker import Step, Task, run_task

PYAIRBYTE = "airbyte==0.71.3"
RECORDS, FEW_RECORDS = 50_000, 10_000
STREAM = "users"
OURS = "a step, into a batch"
LAZILY, CACHED = f"PyAirbyte {PYAIRBYTE[9:]}, records only", f"PyAirbyte {PYAIRBYTE[9:]}, into its cache"
READING = f"{LAZILY}, its questions before left out"


def sourcing(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about a source."""
    number = FEW_RECORDS if plan.quick else RECORDS
    what = f"source-faker, {number:,} records"
    config = {"count": number, "seed": 1, "parallelism": 4}
    source = connector("source-faker")
    try:
        executable = program(source)
    except PeerMissing as error:
        yield Row(what, "-", LAZILY, None, 1.0, f"the source cannot be had: {error}")
        return
    runs = count()
    reading: Samples = {READING: []}

    def ours() -> float:
        step = Step("source-faker/read", config, {STREAM: "*"})
        # A flow's name of its own has no state yet.
        done = run_task(Task(f"bench_{next(runs)}", (step,), {"runtime": "process"}), folder)
        assert done.batch["count"] == number, done.batch
        return done.seconds

    def theirs(python: Path, how: str) -> Callable[[], float]:
        script = ROOT / "benchmarks" / "pyairbyte.py"
        told = {"AIRBYTE_OFFLINE_MODE": "1", "DO_NOT_TRACK": "1", "NO_COLOR": "1"}

        def run() -> float:
            place = folder / f"cache-{next(runs)}"
            command = [str(python), str(script), source.name, str(executable), json.dumps(config), STREAM, how]
            done = subprocess.run(
                [*command, str(place)], env={**os.environ, **told}, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr[-2000:]
            answer = json.loads(done.stdout.splitlines()[-1])
            assert answer["count"] == number, answer
            if how == "lazily":
                reading[READING].append(answer["reading"])
            return float(answer["seconds"])

        return run

    contenders: dict[str, Callable[[], float]] = {OURS: ours}
    note = ""
    try:
        python = peer(PYAIRBYTE) / "python"
        contenders |= {LAZILY: theirs(python, "lazily"), CACHED: theirs(python, "cached")}
    except PeerMissing as error:
        note = f"it cannot be installed: {error}"
    samples = in_turns(contenders, plan.times(3, 1))
    if LAZILY in samples:
        reading[READING] = reading[READING][-len(samples[LAZILY]) :]  # without the first, which is not counted
        samples |= reading
    yield compare(what, samples, OURS, LAZILY, seconds, budget=1.0, note=note or "writes nothing")
    yield compare(what, samples, OURS, READING, seconds, note=note or "we keep the answers from run to run")
    yield compare(what, samples, OURS, CACHED, seconds, note=note)
