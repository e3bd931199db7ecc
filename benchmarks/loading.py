"""Building 1,000 flows, and starting one task beside them."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.children import ChildFailed, run_child
from benchmarks.materials import WRITERS, flow_id, write_flows
from benchmarks.measure import Plan, Row, compare, in_turns, seconds

FLOWS = 1000
CONTENDERS = {
    "flows": "flows",
    "files": "1,000 Python files by hand",
    "loop": "one Python file with a loop",
    "factory": "dag-factory",
}


def building(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about building all flows.

    The cost is processor time: it is one thread's work, and the time on the wall would count the neighbours' as well.
    """
    kept: dict[str, list[dict[str, Any]]] = {}
    contenders: dict[str, Callable[[], float]] = {}
    for key, name in CONTENDERS.items():
        if key != "factory" or find_spec("dagfactory") is not None:
            path = WRITERS[key](folder / key, FLOWS)
            contenders[name] = _loader(path, folder, kept.setdefault(name, []))
    # The first parse leaves the bytecode of the Python files behind, which every later one of Airflow's finds.
    for key in ("files", "loop"):
        contenders[CONTENDERS[key]]()
    samples = in_turns(contenders, plan.times(5, 2), warm=False)
    what = f"build {FLOWS:,} flows of 3 steps (CPU)"
    notes = {
        "files": "each file loaded by one DagBag in one process, bytecode warm; the connector's manifest read once",
        "loop": "for comparison: nothing is read or compiled per DAG",
        "factory": "its tasks are DockerOperators; nothing is checked",
    }
    for key, note in notes.items():
        budget = {"files": 1.1, "factory": 1.0}.get(key)
        row = compare(what, samples, "flows", CONTENDERS[key], seconds, budget=budget, note=note)
        row.samples = {**row.samples, "all": kept} if key == "files" else row.samples
        yield row
    imports = [run["airflow_import"]["cpu"] for run in kept["flows"]]
    operators = [run["operators_import"]["cpu"] for run in kept["flows"]]
    yield Row(
        "importing our operators, left out above (CPU)",
        seconds(statistics.median(operators)),
        f"importing Airflow itself: {seconds(statistics.median(imports))}",
        statistics.median(operators) / statistics.median(imports),
        samples={"airflow": imports, "operators": operators},
    )


def starting(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about starting one task of one flow."""
    many, one = folder / "start_many", folder / "start_one"
    write_flows(many, FLOWS)
    write_flows(one, 1)
    middle = flow_id(FLOWS // 2)
    # A file that is not named like its flow is found by its content.
    path = many / "flows" / f"{middle}.yaml"
    renamed = path.read_text(encoding="utf-8").replace(middle, "renamed")
    (many / "flows" / "z_other_name.yaml").write_text(renamed, encoding="utf-8")
    parses: dict[str, list[float]] = {}

    def starter(name: str, bundle: Path, dag_id: str) -> Callable[[], float]:
        def run() -> float:
            answer = run_child("child", "start", bundle / "flowmate.py", bundle, dag_id, home=_home(folder))
            if answer["dags"] != 1:
                raise ChildFailed(f"a task's start built {answer['dags']} flows")
            parses.setdefault(name, []).append(answer["parse"]["cpu"])
            return float(answer["whole"]["cpu"])

        return run

    alone, beside, searched = "1 flow in the folder", "beside 1,000", "in a file of another name"
    contenders = {
        beside: starter(beside, many, middle),
        alone: starter(alone, one, flow_id(0)),
        searched: starter(searched, many, "renamed"),
    }
    samples = in_turns(contenders, plan.times(9, 3), warm=not plan.quick)
    what = "start one task with 1,000 flows in the folder (CPU, process start to task ready)"
    note = f"of it, reading the flow: {seconds(statistics.median(parses[beside]))}"
    yield compare(what, samples, beside, alone, seconds, budget=1.1, note=note)
    note = f"of it, finding and reading the flow: {seconds(statistics.median(parses[searched]))}"
    yield compare(
        "the same, its file not named like the flow", samples, searched, alone, seconds, budget=1.1, note=note
    )


def _loader(path: Path, folder: Path, kept: list[dict[str, Any]]) -> Callable[[], float]:
    bundle = path if path.is_dir() else path.parent

    def run() -> float:
        answer = run_child("child", "load", path, bundle, home=_home(folder))
        if (answer["dags"], answer["tasks"]) != (FLOWS, 3 * FLOWS):
            raise ChildFailed(f"{path} made {answer['dags']} DAGs with {answer['tasks']} tasks")
        kept.append(answer)
        return float(answer["built"]["cpu"])

    return run


def _home(folder: Path) -> Path:
    home = folder / "home"
    home.mkdir(exist_ok=True)
    return home
