"""From a webhook to a run, on a real Airflow: how soon a flow's first step starts, and what becomes of a burst."""

from __future__ import annotations

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import requests

from benchmarks.materials import ROOT
from benchmarks.measure import Plan, Row, compare, in_turns, seconds
from benchmarks.posting import SECRET, Load, request, send

sys.path.insert(0, str(ROOT / "scripts"))

from airflow_rest import Client, wait_until
from local_airflow import LocalAirflow
from local_postgres import LocalPostgres

WEBHOOK, REST, BURST = "woken_by_webhook", "asked_by_rest", "burst"
FLOWS = {
    WEBHOOK: """
flowmate: 1
webhook: {scheme: github, connection: bench_hooks}
steps:
  - {id: mapped, map: data.number}
""",
    REST: """
flowmate: 1
steps:
  - {id: read, use: files/read, with: {path: one.jsonl}}
  - {id: mapped, map: data.number}
""",
    BURST: """
flowmate: 1
webhook: {scheme: github, connection: bench_hooks, rate: 1000000}
steps:
  - {id: mapped, map: data.number}
""",
}
FIRST = {WEBHOOK: "webhook", REST: "read"}


@dataclass(frozen=True, slots=True)
class Start:
    """When a run's tasks started, in seconds after it was asked for; and when the run had ended."""

    first: float
    second: float
    end: float


def waking(plan: Plan, folder: Path) -> Iterator[Row]:
    """Measure the way from a POST to a started step, and a burst."""
    programs = _postgres()
    if programs is None:
        yield Row("webhook to first step", "-", "a run asked for by REST", None, note="there is no PostgreSQL here")
        return
    dags = folder / "home" / "dags"
    dags.mkdir(parents=True)
    shutil.copy(ROOT / "dags" / "flowmate.py", dags)
    files = folder / "files"
    files.mkdir()
    (files / "one.jsonl").write_text('{"number": 1}\n')
    with LocalPostgres(programs) as database:
        settings = {
            "AIRFLOW__FLOWMATE__RUNTIME": "process",
            "AIRFLOW__FLOWMATE__STORE_URL": database,
            "AIRFLOW__FLOWMATE__FILES_FOLDER": str(files),
        }
        with LocalAirflow(folder / "home", dags, settings=settings, database=database) as airflow:
            _prepare(airflow)
            yield from _starts(airflow, plan)
            yield from _burst(airflow, plan.times(10_000, 1_000))


def _postgres() -> Path | None:
    found = subprocess.run([ROOT / "scripts" / "postgres", "find"], capture_output=True, text=True, check=False)
    return Path(found.stdout.strip()) if found.returncode == 0 else None


def _prepare(airflow: Client) -> None:
    airflow.add_connection("bench_hooks", password=SECRET)
    for dag_id, text in FLOWS.items():
        airflow.drop_flow(f"{dag_id}.yaml", text)
    for dag_id in FLOWS:
        airflow.wait_for_dag(dag_id)
        airflow.send("PATCH", f"dags/{dag_id}", {"is_paused": False})
    for dag_id in (WEBHOOK, BURST):
        # Airflow needs a moment until it watches the asset of a new DAG.
        wait_until(f"the endpoint {dag_id}", lambda dag_id=dag_id: _post(airflow, dag_id) or None, 60)  # type: ignore[misc]
        wait_until(f"a run of {dag_id}", lambda dag_id=dag_id: _ended(airflow, dag_id, 0), 120)  # type: ignore[misc]


def _post(airflow: Client, dag_id: str) -> bool:
    load = Load("127.0.0.1", int(airflow.url.rpartition(":")[2]), f"/flowmate/hooks/{dag_id}", 1)
    head, _, body = request(load, 0).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    del headers["Content-Length"]
    return requests.post(f"{airflow.url}{load.path}", body, headers=headers, timeout=30).ok


def _runs(airflow: Client, dag_id: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = airflow.get(f"dags/{dag_id}/dagRuns", limit=1000, order_by="id")["dag_runs"]
    return found


def _ended(airflow: Client, dag_id: str, before: int) -> list[dict[str, Any]] | None:
    """Return the runs after the first ones, once there is one and all of them have ended."""
    runs = _runs(airflow, dag_id)[before:]
    return runs if runs and all(run["state"] in ("success", "failed") for run in runs) else None


def _starts(airflow: Client, plan: Plan) -> Iterator[Row]:
    starts: dict[str, list[Start]] = {WEBHOOK: [], REST: []}

    def once(dag_id: str) -> float:
        starts[dag_id].append(_start(airflow, dag_id))
        return starts[dag_id][-1].first

    ours, peer = "a webhook", "a run asked for by REST"
    samples = in_turns({ours: lambda: once(WEBHOOK), peer: lambda: once(REST)}, plan.times(15, 4))
    yield compare(
        "from POST to the start of the flow's first task", samples, ours, peer, seconds, budget=1.5, note="PostgreSQL"
    )
    for what, part in (("start of the first step that uses the event", "second"), ("end of the run", "end")):
        # The first repetition was the uncounted one.
        later = {
            ours: [getattr(each, part) for each in starts[WEBHOOK][1:]],
            peer: [getattr(each, "first" if part == "second" else part) for each in starts[REST][1:]],
        }
        note = "the webhook's own task comes before" if part == "second" else ""
        yield compare(f"from POST to the {what}", later, ours, peer, seconds, note=note)


def _start(airflow: Client, dag_id: str) -> Start:
    before = len(_runs(airflow, dag_id))
    began = datetime.now(timezone.utc)
    if dag_id == WEBHOOK:
        _post(airflow, dag_id)
    else:
        airflow.send("POST", f"dags/{dag_id}/dagRuns", {"logical_date": None})
    (run, *_) = wait_until(f"the run of {dag_id}", lambda: _ended(airflow, dag_id, before), 120)
    tasks = airflow.task_instances(dag_id, run["dag_run_id"])
    moments = [tasks[FIRST[dag_id]]["start_date"], tasks["mapped"]["start_date"], run["end_date"]]
    return Start(*((datetime.fromisoformat(moment) - began).total_seconds() for moment in moments))


def _burst(airflow: Client, count: int) -> Iterator[Row]:
    before = len(_runs(airflow, BURST))
    load = Load("127.0.0.1", int(airflow.url.rpartition(":")[2]), f"/flowmate/hooks/{BURST}", count, connections=16)
    posts = [request(load, number) for number in range(count)]
    began = time.monotonic()
    posted, tally = asyncio.run(send(load, posts))
    accepted = tally.statuses[202]

    def mapped() -> float | None:
        runs = _ended(airflow, BURST, before) or []
        done = 0
        for run in runs:
            value = airflow.xcom(BURST, run["dag_run_id"], "mapped")
            done += int(value["count"]) if value else 0
        return time.monotonic() - began if done >= accepted else None

    took = wait_until(f"{accepted} events", mapped, 600, 1)
    runs = len(_runs(airflow, BURST)) - before
    single = statistics.median([_start(airflow, REST).end for _ in range(3)])
    yield Row(
        f"a burst of {count:,} events: {runs} runs; an event",
        f"{took / count * 1000:.1f} ms",
        f"a run by REST for each: {seconds(single)}",
        took / count / single,
        None,
        f"{accepted:,} accepted in {seconds(posted)}, all mapped after {seconds(took)}; {os.cpu_count()} cores",
        {"seconds": took, "posting": posted, "runs": runs, "accepted": accepted},
    )
