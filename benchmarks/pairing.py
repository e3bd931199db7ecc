"""A tap's records into a target: ours, `meltano run` and the bare pipe, all with the same programs."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from benchmarks.machine import docker_version
from benchmarks.measure import Plan, Row, compare, in_turns, seconds
from benchmarks.peers import PeerMissing, build_images, connector, peer, program
from benchmarks.worker import Done, Step, Task, run_task
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.steps.runtimes import CONTAINER_FILES

MELTANO = "meltano==4.4.1"
RECORDS, FEW_RECORDS = 200_000, 20_000
WARM = 100
"""Records of the run before, in which ours and Meltano ask the tap for its catalog, and all Python is compiled."""
TWO, PAIR, PEER, PIPE = "two steps", "streamed pair", f"meltano run ({MELTANO[9:]})", "tap | target in a shell"
STARTED = ", with the start of each task's process"
DOCKER_PIPE = "docker run tap | docker run target"


class Files:
    """What the tap reads and the target writes.

    :param folder: for both
    :param seen: the folder's path, as the programs see it
    """

    def __init__(self, folder: Path, seen: str | None = None) -> None:
        folder.mkdir(parents=True)
        folder.chmod(0o777)  # a container's user is not ours
        self.folder = folder
        self.seen = seen = seen or str(folder)
        self.count = 0
        table = {"format": "csv", "table_name": "people", "primary_keys": ["id"], "skip_columns": 0, "skip_rows": 0}
        self.tap = {"files": [{"path": f"{seen}/people.csv", **table}]}
        self.target = {"destination_path": seen, "do_timestamp_file": False}
        for name in ("tap", "target"):
            (folder / f"{name}.json").write_text(json.dumps(getattr(self, name)), encoding="utf-8")

    def write(self, number: int) -> None:
        """Make the records that the tap reads."""
        self.count = number
        with (self.folder / "people.csv").open("w", encoding="utf-8") as file:
            file.write("id,name,email,amount,city\n")
            for each in range(number):
                file.write(f"{each},Person {each},person{each}@example.com,{each % 1000}.5,Berlin\n")

    def timed(self, run: Callable[[], float | None]) -> Callable[[], float]:
        """Return a contender: its seconds, after a look whether the target got all records."""

        def timed() -> float:
            stored = self.folder / "people.jsonl"
            stored.unlink(missing_ok=True)
            begin = time.perf_counter()
            told = run()
            cost = time.perf_counter() - begin
            with stored.open("rb") as lines:
                found = sum(1 for _ in lines)
            assert found == self.count, f"{found} records of {self.count}"
            return cost if told is None else told

        return timed


class Ours:
    """Our two ways, each task in a process of its own.

    :param settings: of `[flowmate]`
    """

    def __init__(self, files: Files, folder: Path, settings: Mapping[str, str]) -> None:
        self._folder = folder
        self._settings = {**settings, "files_folder": str(files.folder)}
        self._read = Step("tap-spreadsheets/read", files.tap)
        self._write = Step("target-jsonl/write", files.target)
        self._runs = count()
        self.whole: dict[str, list[float]] = {TWO: [], PAIR: []}
        """Seconds with the start of the processes, which `execute` does not have."""

    def two_steps(self) -> float:
        """Run the tap and then the target, the batch on disk between them."""
        flow = self._flow()
        first = self._run(flow, [self._read])
        return self._told(TWO, first, self._run(flow, [self._write], first.batch))

    def pair(self) -> float:
        """Run both in one task."""
        return self._told(PAIR, self._run(self._flow(), [self._read, self._write]))

    def _flow(self) -> str:
        return f"bench_{next(self._runs)}"  # has no state yet, so that it reads everything, and keeps one at the end

    def _run(self, flow: str, steps: Sequence[Step], batch: Mapping[str, Any] | None = None) -> Done:
        return run_task(Task(flow, tuple(steps), self._settings, batch), self._folder)

    def _told(self, name: str, *tasks: Done) -> float:
        self.whole[name].append(sum(task.whole for task in tasks))
        return sum(task.seconds for task in tasks)


def pairing(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about a tap and a target: first as processes of the same environments, then in containers."""
    tap, target = connector("tap-spreadsheets"), connector("target-jsonl")
    number = FEW_RECORDS if plan.quick else RECORDS
    what = f"tap -> target, {number:,} records"
    try:
        yield from _as_processes(plan, folder / "processes", what, number, tap, target)
    except PeerMissing as error:
        yield Row(what, "-", PEER, None, 1.0, f"the packages cannot be had: {error}")
        return
    what = f"{what}, in containers"
    if docker_version() is None:
        yield Row(what, "-", DOCKER_PIPE, None, note="no Docker engine answers")
        return
    try:
        build_images(tap, target)
    except PeerMissing as error:
        yield Row(what, "-", DOCKER_PIPE, None, note=f"the images cannot be had: {error}")
        return
    yield from _in_containers(plan, folder / "containers", what, number, tap, target)


def _as_processes(plan: Plan, folder: Path, what: str, number: int, tap: Manifest, target: Manifest) -> Iterator[Row]:
    files = Files(folder / "files")
    programs = [[str(program(tap))], [str(program(target))]]
    ours = Ours(files, folder, {"runtime": "process"})
    files.write(WARM)
    pipe = _pipe(files, *programs)
    contenders = {TWO: ours.two_steps, PAIR: ours.pair, PIPE: pipe}
    note = ""
    try:
        contenders[PEER] = _meltano(peer(MELTANO), files, folder / "meltano", programs)
    except PeerMissing as error:
        note = f"it cannot be installed: {error}"
    runs = {name: files.timed(run) for name, run in contenders.items()}
    in_turns(runs, 1, warm=False)
    ours.whole = {TWO: [], PAIR: []}
    files.write(number)
    samples = in_turns(runs, plan.times(3, 1), warm=False)
    yield compare(f"{what}, {TWO}", samples, TWO, PEER, seconds, budget=1.2, note=note)
    yield compare(f"{what}, {PAIR}", samples, PAIR, PEER, seconds, budget=1.0, note=note)
    whole = {**samples, **ours.whole}
    # In an Airflow the command would be a task, too, so that the budget is about `execute`.
    yield compare(f"{what}, {TWO}{STARTED}", whole, TWO, PEER, seconds, note=note or "outside Airflow")
    yield compare(f"{what}, {PAIR}{STARTED}", whole, PAIR, PEER, seconds, note=note or "outside Airflow")
    yield compare(f"{what}, {TWO}", samples, TWO, PIPE, seconds, note="no state, nothing kept between")
    yield compare(f"{what}, {PAIR}", samples, PAIR, PIPE, seconds, note="no state")


def _in_containers(plan: Plan, folder: Path, what: str, number: int, tap: Manifest, target: Manifest) -> Iterator[Row]:
    files = Files(folder / "files", CONTAINER_FILES)
    ours = Ours(files, folder, {"runtime": "docker"})
    start = ["docker", "run", "--rm", "-i", "-v", f"{files.folder}:{CONTAINER_FILES}"]
    pipe = _pipe(files, [*start, tap.image], [*start, target.image])
    runs = {name: files.timed(each) for name, each in {TWO: ours.two_steps, PAIR: ours.pair, DOCKER_PIPE: pipe}.items()}
    files.write(WARM)
    in_turns(runs, 1, warm=False)
    files.write(number)
    samples = in_turns(runs, plan.times(2, 1), warm=False)
    for way in (TWO, PAIR):
        yield compare(f"{what}, {way}", samples, way, DOCKER_PIPE, seconds, note="the same images; no limits, no state")


def _pipe(files: Files, tap: Sequence[str], target: Sequence[str]) -> Callable[[], None]:
    """Return what a shell does with `tap | target`, without the shell."""
    options = ["--config", f"{files.seen}/tap.json"]
    catalog = files.folder / "catalog.json"

    def run() -> None:
        if not catalog.exists():
            with catalog.open("wb") as sink:
                subprocess.run([*tap, *options, "--discover"], stdout=sink, stderr=subprocess.DEVNULL, check=True)
        reads = [*tap, *options, "--catalog", f"{files.seen}/{catalog.name}"]
        writes = [*target, "--config", f"{files.seen}/target.json"]
        quiet = subprocess.DEVNULL
        with subprocess.Popen(reads, stdout=subprocess.PIPE, stderr=quiet) as first:
            subprocess.run(writes, stdin=first.stdout, stdout=quiet, stderr=quiet, check=True)
        assert first.returncode == 0, reads

    return run


def _meltano(commands: Path, files: Files, project: Path, programs: Sequence[Sequence[str]]) -> Callable[[], None]:
    """Return a run of a project whose plugins are the programs that the others run, so that it installs none."""
    (tap,), (target,) = programs
    reader = _plugin(tap, files.tap, ["catalog", "discover", "state"])
    writer = _plugin(target, files.target, [])
    project.mkdir()
    described = {
        "default_environment": "bench",
        "send_anonymous_usage_stats": False,
        "environments": [{"name": "bench"}],
        "plugins": {"extractors": [reader], "loaders": [writer]},
    }
    (project / "meltano.yml").write_text(yaml.safe_dump(described), encoding="utf-8")
    runs = count()
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MELTANO"))}

    def run() -> None:
        # A state of its own, for the same reason as our flow's name.
        command = [str(commands / "meltano"), "run", "--no-install", f"--state-id-suffix={next(runs)}"]
        command += [reader["name"], writer["name"]]
        done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-2000:]

    return run


def _plugin(command: str, config: Mapping[str, Any], capabilities: Sequence[str]) -> dict[str, Any]:
    name = Path(command).name
    return {
        "name": name,
        "namespace": name.replace("-", "_"),
        "executable": command,
        "capabilities": list(capabilities),
        "settings": [{"name": setting, **_kind(value)} for setting, value in config.items()],
        "config": dict(config),
    }


def _kind(value: Any) -> dict[str, str]:
    kinds = {bool: "boolean", list: "array"}
    return {"kind": kinds[type(value)]} if type(value) in kinds else {}
