"""A worker's process that runs one task, a step or a streamed pair, and says what that cost, as JSON.

    python -m benchmarks.worker TASK

TASK is a file of JSON, a :class:`Task`. Each repetition has a process of its own, as each try of a task has.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from benchmarks.children import run_child
from benchmarks.materials import CONNECTORS


@dataclass(frozen=True, slots=True)
class Step:
    """What one step uses.

    :param use: connector and function; the connector is one of `benchmarks/connectors`
    :param config: the function's fields
    :param select: the tables and fields that a source reads
    """

    use: str
    config: Mapping[str, Any] = field(default_factory=dict)
    select: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Task:
    """What one process runs.

    :param flow: the dag_id; a state that another one left is not found
    :param steps: one, or the two of a streamed pair
    :param settings: of `[flowmate]`
    :param batch: the batch that the first step gets
    """

    flow: str
    steps: tuple[Step, ...]
    settings: Mapping[str, str] = field(default_factory=dict)
    batch: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """What a task cost.

    :param seconds: of `execute`
    :param whole: seconds from the start of its process to the end
    :param idle: the largest size of the process, in MB, before `execute`: Airflow and our operators
    :param peak: the same at the end
    :param batch: what the task hands on
    """

    seconds: float
    whole: float
    idle: float
    peak: float
    batch: dict[str, Any]


def run_task(task: Task, folder: Path) -> Done:
    """Run a task in a fresh process.

    :param folder: for its AIRFLOW_HOME, which all tasks of the folder share
    """
    home = folder / "home"
    home.mkdir(parents=True, exist_ok=True)
    file = folder / "task.json"
    file.write_text(json.dumps(asdict(task)), encoding="utf-8")
    begin = time.perf_counter()
    answer = run_child("worker", file, home=home)
    return Done(whole=time.perf_counter() - begin, **answer)


def work(task: dict[str, Any]) -> dict[str, Any]:
    """Run the task, in this process."""
    for name, value in task["settings"].items():
        os.environ[f"AIRFLOW__FLOWMATE__{name.upper()}"] = value
    from flowmate_airflow.catalog.reader import read_manifest
    from flowmate_airflow.operators.connector import ConnectorOperator
    from flowmate_airflow.operators.pair import PairOperator

    operators: list[ConnectorOperator] = []
    for number, step in enumerate(task["steps"]):
        parameters: dict[str, Any] = {
            **step,
            "task_id": f"step_{number}",
            "manifest": read_manifest(CONNECTORS / step["use"].partition("/")[0] / "connector.yaml"),
        }
        if number == 0 and task["batch"] is not None:
            parameters["inputs"] = ["before"]
        operators.append(PairOperator(first=operators[0], **parameters) if number else ConnectorOperator(**parameters))
    instance = SimpleNamespace(
        dag_id=task["flow"],
        run_id="manual",
        task_id=operators[-1].task_id,
        map_index=-1,
        try_number=1,
        xcom_pull=lambda **_: task["batch"],
    )
    context: Any = {"ti": instance}
    idle = peak_size()
    begin = time.perf_counter()
    batch = operators[-1].execute(context)
    return {"seconds": time.perf_counter() - begin, "idle": idle, "peak": peak_size(), "batch": batch}


def peak_size() -> float:
    """Return the largest size that this process has had, in MB."""
    # What getrusage tells includes the process that started this one, from before it became Python anew.
    status = Path("/proc/self/status")
    if status.exists():
        found = [line.split()[1] for line in status.read_text(encoding="utf-8").splitlines() if line[:6] == "VmHWM:"]
        if found:
            return int(found[0]) / 1024
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 1024 / (1024 if sys.platform == "darwin" else 1)


if __name__ == "__main__":
    print(json.dumps(work(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))))
