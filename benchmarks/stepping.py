"""A connector step on a real engine, against `docker run` and DockerOperator with the same image."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson

from benchmarks.children import run_child
from benchmarks.machine import docker_version
from benchmarks.materials import CONNECTORS
from benchmarks.measure import Plan, Row, Samples, compare, in_turns, seconds

ECHO = CONNECTORS / "echo"
IMAGE = "flowmate-bench/echo:1.0.0"
FEW, MANY = 10, 100_000
OURS = "ConnectorOperator"
RUN = "docker run -i --rm"
AIRFLOWS = "DockerOperator"
XCOM = "DockerOperator, `xcom_all`"


def stepping(plan: Plan, folder: Path) -> Iterator[Row]:
    """Yield the rows about one connector step."""
    if docker_version() is None:
        yield Row("a connector step", "-", RUN, None, 1.0, "no Docker engine answers")
        return
    _build_image()
    home = folder / "home"
    home.mkdir(exist_ok=True)
    for count, times in ((FEW, plan.times(15, 7)), (MANY, plan.times(5, 2))):
        answer = run_child("stepping", str(count), str(times), folder, home=home)
        fed, made = answer["echo"], answer["make"]
        yield compare(f"a step, {count:,} messages in and out", fed, OURS, RUN, seconds, budget=1.0)
        note = "nothing can be fed to it: both make the messages"
        what = f"a step, {count:,} messages out"
        yield compare(what, made, OURS, AIRFLOWS, seconds, budget=1.0, note=note)
        if XCOM in made:
            yield compare(what, made, OURS, XCOM, seconds, note="that too hands them on, as one list in memory")


def _build_image() -> None:
    base = os.environ.get("FLOWMATE_BASE_IMAGE", "flowmate-test/base:latest")
    command = ["docker", "build", "--quiet", "--network", "none", "--build-arg", f"BASE_IMAGE={base}", "--tag", IMAGE]
    # The old builder takes a base image that no registry has.
    environment = {**os.environ, "DOCKER_BUILDKIT": "0"}
    subprocess.run([*command, str(ECHO)], check=True, capture_output=True, env=environment)


def measure(count: int, times: int, folder: Path) -> dict[str, Samples]:
    """Return the seconds of each way to run the component, in turns; in a process of its own, with Airflow loaded."""
    from airflow.providers.docker.operators.docker import DockerOperator

    from flowmate_airflow.batches.batch import BatchWriter
    from flowmate_airflow.batches.storage import Storage
    from flowmate_airflow.catalog.reader import read_manifest
    from flowmate_airflow.operators.connector import ConnectorOperator
    from flowmate_airflow.protocols.base import Request
    from flowmate_airflow.protocols.component import config_line, message_line

    manifest = read_manifest(ECHO / "connector.yaml")
    messages = [{"id": str(number), "data": {"number": number, "text": "x" * 100}} for number in range(count)]
    writer = BatchWriter(Storage(str(folder / "in"), (str(count),), 1), 65536)
    for message in messages:
        writer.write(message)
    batch = writer.finish()
    stdin = folder / f"stdin-{count}"
    stdin.write_bytes(config_line(Request()) + b"".join(message_line(orjson.dumps(message)) for message in messages))
    task_instance = SimpleNamespace(
        dag_id="bench", run_id="manual", task_id="step", map_index=-1, try_number=1, xcom_pull=lambda **_: batch
    )
    context: Any = {"ti": task_instance}
    echo = ConnectorOperator(task_id="step", use="echo/echo", manifest=manifest, inputs=["before"])
    make = ConnectorOperator(task_id="step", use="echo/make", manifest=manifest, config={"count": count})

    def ours(operator: ConnectorOperator) -> Callable[[], float]:
        def run() -> float:
            begin = time.perf_counter()
            value = operator.execute(context)
            cost = time.perf_counter() - begin
            assert value["count"] == count, value
            return cost

        return run

    def docker_run() -> float:
        output = folder / "stdout"
        begin = time.perf_counter()
        with stdin.open("rb") as source, output.open("wb") as sink:
            subprocess.run(["docker", "run", "-i", "--rm", IMAGE, "run", "echo"], stdin=source, stdout=sink, check=True)
        cost = time.perf_counter() - begin
        with output.open("rb") as lines:
            assert sum(1 for _ in lines) == count
        return cost

    def docker_operator(*, xcom_all: bool) -> Callable[[], float]:
        command = ["run", "make", str(count)]
        settings: Any = {"auto_remove": "force", "network_mode": "bridge", "xcom_all": xcom_all}
        operator = DockerOperator(task_id="peer", image=IMAGE, command=command, **settings)

        def run() -> float:
            begin = time.perf_counter()
            value = operator.execute(context)
            cost = time.perf_counter() - begin
            assert not xcom_all or len(value or ()) == count, value
            return cost

        return run

    makers = {OURS: ours(make), AIRFLOWS: docker_operator(xcom_all=False)}
    if count == MANY:
        makers[XCOM] = docker_operator(xcom_all=True)
    return {"echo": in_turns({OURS: ours(echo), RUN: docker_run}, times), "make": in_turns(makers, times)}


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))))
