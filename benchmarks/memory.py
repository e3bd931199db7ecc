"""The size of a worker's process while few and while many records pass through it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.measure import Plan, Row, in_turns
from benchmarks.worker import Done, Step, Task, run_task

FEW, MANY, QUICK_MANY = 10_000, 1_000_000, 100_000
FLAT = 1.1
"""The largest peak with many records, by the peak with few."""
LIMIT = 250.0
"""The largest peak at all, in MB."""
SHAPES = ("source -> batch", "batch -> target", "streamed pair")


def memory(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about memory. The records are made and taken by processes of their own, which do not count."""
    many = QUICK_MANY if plan.quick else MANY
    worker = _Worker(folder)
    contenders = {f"{shape}, {number:,}": worker.contender(shape, number) for number in (FEW, many) for shape in SHAPES}
    samples = in_turns(contenders, plan.times(2, 1), warm=False)
    idle = f"{statistics.median(worker.idle):.0f} MB of it before the step"
    for shape in SHAPES:
        few, lots = samples[f"{shape}, {FEW:,}"], samples[f"{shape}, {many:,}"]
        peak, less = max(lots), max(few)
        kept = {f"{FEW:,}": few, f"{many:,}": lots, "idle": worker.idle}
        what = f"largest size of the worker, {shape}, {many:,} records"
        yield Row(what, _size(peak), f"{FEW:,} records: {_size(less)}", peak / less, FLAT, samples=kept)
        yield Row(what, _size(peak), f"the budget: {_size(LIMIT)}", peak / LIMIT, 1.0, idle, samples=kept)


class _Worker:
    """Runs the three shapes, each task in a process of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = count()
        self._batches: dict[int, dict[str, Any]] = {}
        self.idle: list[float] = []

    def contender(self, shape: str, number: int) -> Callable[[], float]:
        """Return what runs a shape and returns the peak in MB."""
        make, take = Step("echo/make", {"count": number}), Step("echo/take")

        def run() -> float:
            if shape == "source -> batch":
                done = self._run(make)
                assert done.batch["count"] == number, done.batch
                self._batches[number] = done.batch
            elif shape == "batch -> target":
                done = self._run(take, batch=self._batches[number])
            else:
                done = self._run(make, take)
            if shape != "source -> batch":
                assert done.batch["messages"][0]["data"]["count"] == number, done.batch
            self.idle.append(done.idle)
            return done.peak

        return run

    def _run(self, *steps: Step, batch: dict[str, Any] | None = None) -> Done:
        task = Task(f"bench_{next(self._runs)}", steps, {"runtime": "process"}, batch)
        return run_task(task, self._folder)


def _size(megabytes: float) -> str:
    return f"{megabytes:.0f} MB"
