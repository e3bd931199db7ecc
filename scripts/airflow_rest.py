"""A small client of Airflow's REST API: what the demo and the end-to-end tests ask of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import quote

import requests

T = TypeVar("T")
Json = dict[str, Any]

POLL = 0.25
"""Seconds between two looks: the REST API has nothing to wait on."""
PATIENCE = 300.0
"""Seconds after which a wait is given up: to end what hangs, not to measure, as machines can be slow."""
FINISHED = frozenset({"success", "failed"})


class AirflowTrouble(Exception):
    """Airflow did not start, did not answer as it should, or not in time."""


def wait_until(what: str, look: Callable[[], T | None], timeout: float = PATIENCE, poll: float = POLL) -> T:
    """Return the first value of `look` that is not None.

    :param what: what is waited for, for the message
    :param look: asked again and again
    :param timeout: seconds after which it is given up
    :param poll: seconds between two looks
    :raises AirflowTrouble: the time is over
    """
    deadline = time.monotonic() + timeout
    while True:
        value = look()
        if value is not None:
            return value
        if time.monotonic() > deadline:
            raise AirflowTrouble(f"waited {timeout:.0f} s in vain for {what}")
        time.sleep(poll)


class Client:
    """Airflow as seen through REST, and the flows folder below its dags folder.

    :param url: the API server
    :param dags: its dags folder
    :param user: who signs in
    :param password: the password of `user`
    :param poll: seconds between two looks at what is waited for: each one costs the API server some work, which
        many clients at once had better leave to the tasks
    """

    def __init__(self, url: str, dags: Path, user: str, password: str, *, poll: float = POLL) -> None:
        self.url = url
        self.dags = dags
        self._login = {"username": user, "password": password}
        self._session = requests.Session()
        self._poll = poll

    # --- plain requests

    def request(self, method: str, path: str, *, json: Any = None, **params: Any) -> requests.Response:
        """Send one request below `/api/v2/`, signed in, and return the answer whatever its status is."""
        if "Authorization" not in self._session.headers:
            self.sign_in()
        url = f"{self.url}/api/v2/{path}"
        answer = self._session.request(method, url, json=json, params=params, timeout=60)
        if answer.status_code == 401:  # the token is over
            self.sign_in()
            answer = self._session.request(method, url, json=json, params=params, timeout=60)
        return answer

    def sign_in(self) -> None:
        """Get a token for the user and use it from now on."""
        answer = self._session.post(f"{self.url}/auth/token", json=self._login, timeout=60)
        token = _content(answer)["access_token"]
        self._session.headers["Authorization"] = f"Bearer {token}"

    def get(self, path: str, **params: Any) -> Json:
        """Return the JSON found at a path.

        :raises AirflowTrouble: the answer is an error
        """
        return _content(self.request("GET", path, **params))

    def send(self, method: str, path: str, json: Any) -> Json:
        """Send JSON and return the JSON that comes back, `{}` where none does.

        :raises AirflowTrouble: the answer is an error
        """
        return _content(self.request(method, path, json=json))

    # --- dags and their files

    def dags_by_id(self) -> dict[str, Json]:
        """Return all dags that are not stale."""
        return {dag["dag_id"]: dag for dag in self.get("dags", limit=1000)["dags"] if not dag["is_stale"]}

    def wait_for_dag(self, dag_id: str, timeout: float = PATIENCE) -> Json:
        """Return a dag once Airflow has it, or say which import errors there are."""

        def look() -> Json | None:
            answer = self.request("GET", f"dags/{quote(dag_id)}")
            return answer.json() if answer.status_code == 200 and not answer.json()["is_stale"] else None

        try:
            return wait_until(f"the dag {dag_id}", look, timeout, self._poll)
        except AirflowTrouble as error:
            raise AirflowTrouble(f"{error}; import errors: {self.import_errors()}") from None

    def wait_for_dag_gone(self, dag_id: str, timeout: float = PATIENCE) -> None:
        """Return once Airflow has noticed that a dag's file is no more."""
        wait_until(f"the end of the dag {dag_id}", lambda: dag_id not in self.dags_by_id() or None, timeout, self._poll)

    def import_errors(self) -> dict[str, str]:
        """Return the text of each import error by the file's path below the dags folder."""
        found = self.get("importErrors", limit=1000)["import_errors"]
        return {error["filename"]: error["stack_trace"] for error in found}

    def wait_for_import_error(self, filename: str, timeout: float = PATIENCE) -> str:
        """Return the import error of a file, given by its path below the dags folder, once it is there."""
        return wait_until(
            f"an import error of {filename}", lambda: self.import_errors().get(filename), timeout, self._poll
        )

    def drop_flow(self, name: str, text: str) -> Path:
        """Put a file into the dags folder, whole at once, and return its path."""
        path = self.dags / name
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(f".{path.name}.part")
        unfinished.write_text(text, encoding="utf-8")
        return unfinished.replace(path)

    def remove_flow(self, name: str) -> None:
        """Take a file out of the dags folder."""
        (self.dags / name).unlink()

    def unpause(self, dag_id: str, *, paused: bool = False) -> None:
        """Let a dag's runs start, or with `paused` stop them from starting."""
        self.send("PATCH", f"dags/{quote(dag_id)}", {"is_paused": paused})

    # --- runs

    def trigger(self, dag_id: str, conf: Mapping[str, Any] | None = None, *, unpause: bool = True) -> str:
        """Start a run and return its id.

        :raises AirflowTrouble: Airflow refused it, such as for a `conf` that breaks the params' schema
        """
        if unpause:
            self.unpause(dag_id)
        run = self.send("POST", f"dags/{quote(dag_id)}/dagRuns", {"logical_date": None, "conf": conf or {}})
        return str(run["dag_run_id"])

    def wait_for_run(
        self, dag_id: str, run_id: str, timeout: float = PATIENCE, states: Collection[str] = FINISHED
    ) -> str:
        """Return the state of a run once it is one of `states`."""

        def look() -> str | None:
            state = self.get(self._run(dag_id, run_id))["state"]
            return state if state in states else None

        try:
            return wait_until(f"the run {run_id} of {dag_id}", look, timeout, self._poll)
        except AirflowTrouble as error:
            states_now = {task: found["state"] for task, found in self.task_instances(dag_id, run_id).items()}
            raise AirflowTrouble(f"{error}; its tasks: {states_now}") from None

    def run(self, dag_id: str, conf: Mapping[str, Any] | None = None, timeout: float = PATIENCE) -> tuple[str, str]:
        """Start a run, wait for its end and return its id and its state."""
        run_id = self.trigger(dag_id, conf)
        return run_id, self.wait_for_run(dag_id, run_id, timeout)

    def set_run_state(self, dag_id: str, run_id: str, state: str) -> None:
        """Mark a run as success, failed or queued; its running tasks are ended."""
        self.send("PATCH", self._run(dag_id, run_id), {"state": state})

    # --- tasks of a run

    def task_instances(self, dag_id: str, run_id: str) -> dict[str, Json]:
        """Return the task instances of a run by task id."""
        found = self.get(f"{self._run(dag_id, run_id)}/taskInstances", limit=1000)["task_instances"]
        return {instance["task_id"]: instance for instance in found}

    def task_states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        """Return the state of each task of a run."""
        return {task: found["state"] for task, found in self.task_instances(dag_id, run_id).items()}

    def wait_for_task(
        self, dag_id: str, run_id: str, task_id: str, states: Collection[str], timeout: float = PATIENCE
    ) -> Json:
        """Return a task instance once its state is one of `states`."""

        def look() -> Json | None:
            instance = self.task_instances(dag_id, run_id).get(task_id)
            return instance if instance and instance["state"] in states else None

        return wait_until(f"{dag_id}.{task_id} to be {' or '.join(states)}", look, timeout, self._poll)

    def logs(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return the log of one try of a task, a line `level text` an entry, exceptions below theirs."""
        path = f"{self._task(dag_id, run_id, task_id)}/logs/{try_number}"
        content = self.get(path, full_content="true")["content"]
        return "\n".join(entry if isinstance(entry, str) else _log_line(entry) for entry in content)

    def raw_logs(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1) -> str:
        """Return the same log as JSON text with everything that the entries hold."""
        path = f"{self._task(dag_id, run_id, task_id)}/logs/{try_number}"
        return self.request("GET", path, full_content="true").text

    def wait_for_log(
        self, dag_id: str, run_id: str, task_id: str, text: str, try_number: int = 1, timeout: float = PATIENCE
    ) -> str:
        """Return the log of one try of a task once it has `text`."""

        def look() -> str | None:
            answer = self.request(
                "GET", f"{self._task(dag_id, run_id, task_id)}/logs/{try_number}", full_content="true"
            )
            if answer.status_code == 404:  # the try has not begun
                return None
            log = self.logs(dag_id, run_id, task_id, try_number)
            return log if text in log else None

        return wait_until(f"{text!r} in the log of {dag_id}.{task_id}", look, timeout, self._poll)

    def xcom(self, dag_id: str, run_id: str, task_id: str, key: str = "return_value") -> Any:
        """Return an XCom value, or None where there is none."""
        path = f"{self._task(dag_id, run_id, task_id)}/xcomEntries/{key}"
        answer = self.request("GET", path, deserialize="false")
        return None if answer.status_code == 404 else _content(answer)["value"]

    def rendered_fields(self, dag_id: str, run_id: str, task_id: str) -> Json:
        """Return a task's template fields as Airflow rendered and stored them."""
        rendered: Json = self.task_instances(dag_id, run_id)[task_id]["rendered_fields"]
        return rendered

    def set_task_state(self, dag_id: str, run_id: str, task_id: str, state: str) -> None:
        """Mark a task as success, failed or skipped; a running one is ended."""
        self.send("PATCH", self._task(dag_id, run_id, task_id), {"new_state": state})

    def clear(self, dag_id: str, run_id: str, task_ids: Collection[str] | None = None) -> None:
        """Run tasks of a run again, all by default."""
        body: Json = {"dag_run_id": run_id, "dry_run": False, "only_failed": False, "reset_dag_runs": True}
        if task_ids is not None:
            body["task_ids"] = list(task_ids)
        self.send("POST", f"dags/{quote(dag_id)}/clearTaskInstances", body)

    # --- connections

    def add_connection(self, conn_id: str, conn_type: str = "generic", **fields: Any) -> None:
        """Create a Connection, or replace the one of that id.

        :param fields: login, password, host, port, schema, extra (JSON text)
        """
        self.request("DELETE", f"connections/{quote(conn_id)}")
        self.send("POST", "connections", {"connection_id": conn_id, "conn_type": conn_type, **fields})

    @staticmethod
    def _run(dag_id: str, run_id: str) -> str:
        return f"dags/{quote(dag_id)}/dagRuns/{quote(run_id)}"

    def _task(self, dag_id: str, run_id: str, task_id: str) -> str:
        return f"{self._run(dag_id, run_id)}/taskInstances/{quote(task_id)}"


def _content(answer: requests.Response) -> Json:
    if not answer.ok:
        request = answer.request
        raise AirflowTrouble(f"{request.method} {request.url}: {answer.status_code} {answer.text[:2000]}")
    content: Json = answer.json() if answer.content else {}
    return content


def _log_line(entry: Mapping[str, Any]) -> str:
    line = f"{entry.get('level') or ''} {entry.get('event') or ''}".strip()
    raised = [f"{error['exc_type']}: {error['exc_value']}" for error in entry.get("error_detail") or ()]
    return "\n".join([line, *raised])
