"""Many tasks that ask for Connections at once: a program that runs with Airflow's environment.

Each line of its standard input is JSON with `conn_ids`, how many `tasks` ask for each, and in how many `processes`;
each is answered by a line with what the tasks got. A task asks as Airflow's supervisor does for it, by the Task SDK's
client with a token of its own, and again for as long as FlowMate's steps do; with `foreign` it is none of FlowMate's,
and asks once.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sys
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
from airflow.api_fastapi.auth.tokens import JWTGenerator, get_signing_args
from airflow.sdk.api.client import Client
from airflow.sdk.execution_time.comms import ConnectionResult, ErrorResponse
from airflow.sdk.execution_time.context import _process_connection_result_conn

from flowmate_airflow.auth.asking import ask
from flowmate_airflow.steps.errors import TransientFailure

TRIES = 3
_FORK = multiprocessing.get_context("fork")


class Asking:
    """One process with tasks, and all that the API server has answered them."""

    def __init__(self, *, foreign: bool = False) -> None:
        self.foreign = foreign
        self.bodies: set[str] = set()
        self.requests = 0
        self._lock = threading.Lock()
        self._tokens = JWTGenerator(valid_for=600, audience="urn:airflow.apache.org:task", **get_signing_args())

    def client(self) -> Client:
        """Return what a task's supervisor asks with."""
        token = self._tokens.generate({"sub": str(uuid.uuid4()), "scope": "execution"})
        client = Client(base_url=os.environ["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"], token=token)
        client.event_hooks["response"].insert(0, self._note)
        return client

    def task(self, conn_id: str, begin: Callable[[], object]) -> dict[str, Any]:
        """Be a task, and return what it got, and after how many seconds."""
        with self.client() as client:

            def get(conn_id: str) -> Any:
                found = client.connections.get(conn_id)
                is_error = isinstance(found, ErrorResponse)
                return _process_connection_result_conn(
                    found if is_error else ConnectionResult.from_conn_response(found)
                )

            begin()
            began = time.monotonic()
            result: dict[str, Any] = {"conn_id": conn_id, "tries": 0}
            while result["tries"] < TRIES and not result.keys() & {"token", "error"}:
                result["tries"] += 1
                try:
                    result["token"] = (get(conn_id) if self.foreign else ask(get, conn_id, "step")).password
                except TransientFailure as error:  # Airflow lets the task try again, later
                    result["last"] = str(error)
                except Exception as error:
                    result["error"] = f"{type(error).__name__}: {error}"
            return {**result, "seconds": time.monotonic() - began}

    def _note(self, response: httpx.Response) -> None:
        body = response.read().decode()
        with self._lock:
            self.requests += 1
            self.bodies.add(f"{response.status_code} {body}")


def process(conn_ids: list[str], begin: Any, results: Any, foreign: bool) -> None:
    """Be a process with a task for each of some conn_ids."""
    asking = Asking(foreign=foreign)
    with ThreadPoolExecutor(len(conn_ids)) as threads:
        tasks = [threads.submit(asking.task, conn_id, begin.wait) for conn_id in conn_ids]
        answers = [task.result() for task in tasks]
    results.put({"tasks": answers, "bodies": sorted(asking.bodies), "requests": asking.requests})


def many(conn_ids: list[str], tasks: int, processes: int, foreign: bool) -> dict[str, Any]:
    """Let tasks ask, all at the same moment."""
    all_ids = conn_ids * tasks
    begin, results = _FORK.Barrier(len(all_ids)), _FORK.SimpleQueue()
    parts = [all_ids[n::processes] for n in range(processes)]
    started = [_FORK.Process(target=process, args=(part, begin, results, foreign)) for part in parts]
    for each in started:
        each.start()
    found = [results.get() for _ in started]
    for each in started:
        each.join()
    return {
        "tasks": [task for answer in found for task in answer["tasks"]],
        "bodies": sorted({body for answer in found for body in answer["bodies"]}),
        "requests": sum(answer["requests"] for answer in found),
    }


def main() -> None:
    """Answer line by line."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # Airflow logs there
    Asking().client().close()  # reads what it trusts, once for all processes
    print(json.dumps("ready"), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(many(**json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    main()
