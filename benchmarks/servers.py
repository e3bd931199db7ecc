"""The servers that webhooks are posted to: ours in an Airflow and alone, and n8n."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.materials import ROOT
from benchmarks.peers import node_path, npm
from benchmarks.posting import SECRET

sys.path.insert(0, str(ROOT / "scripts"))

from local_airflow import LocalAirflow, free_ports

N8N = "2.39.10"
_PATIENCE = 180.0
_FLOW = """\
flowmate: 1
id: pushed
webhook: {scheme: github, connection: hooks, rate: 10000000}
steps:
  - id: seen
    map: "{ 'number': data.number }"
"""
_WORKFLOW = {
    "id": "bench00000000001",
    "name": "bench",
    "active": False,
    "nodes": [
        {
            "id": "8a4c1d1e-0000-4000-8000-000000000001",
            "name": "Webhook",
            "type": "n8n-nodes-base.webhook",
            "typeVersion": 2,
            "position": [0, 0],
            "webhookId": "8a4c1d1e-0000-4000-8000-000000000002",
            "parameters": {"httpMethod": "POST", "path": "pushed", "responseMode": "onReceived", "options": {}},
        }
    ],
    "connections": {},
    "settings": {"executionOrder": "v1"},
}


class ServerFailed(Exception):
    """A server did not start."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where deliveries are posted to."""

    port: int
    path: str


@contextmanager
def ours(folder: Path, database: str | None) -> Iterator[dict[str, Address]]:
    """Run the receiver mounted in Airflow's API server, and alone.

    :param database: the URL of the database of Airflow and of the store; SQLite files in the folder by default
    :raises ServerFailed: one does not start
    """
    dags = folder / "dags"
    (dags / "flows").mkdir(parents=True)
    (dags / "flowmate.py").write_bytes((ROOT / "dags" / "flowmate.py").read_bytes())
    (dags / "flows" / "pushed.yaml").write_text(_FLOW, encoding="utf-8")
    airflow = LocalAirflow(folder, dags, database=database)
    connection = {"conn_type": "generic", "password": SECRET}
    store = {"AIRFLOW__FLOWMATE__STORE_URL": database} if database else {}
    environment = {**airflow.environment, **store, "AIRFLOW_CONN_HOOKS": json.dumps(connection)}
    command = [sys.executable, "-m", "airflow"]
    for once in (["db", "migrate"], ["dags", "reserialize"]):
        _run([*command, *once], folder, environment)
    (port,) = free_ports(1)
    path = "/flowmate/hooks/pushed"
    alone = [*command, "flowmate", "webhooks", "serve", "--port", str(port)]
    with (
        _serving([*command, "api-server"], folder, environment, airflow.port, "/api/v2/version"),
        _serving(alone, folder, environment, port, "/", 404),
    ):
        yield {"mounted": Address(airflow.port, path), "alone": Address(port, path)}


@contextmanager
def n8n(folder: Path) -> Iterator[Address]:
    """Run n8n with one workflow: a webhook that is answered at once. It proves nobody.

    :raises PeerMissing: it cannot be installed
    :raises ServerFailed: it does not start
    """
    program = str(npm("n8n", N8N, "sqlite3") / "n8n")
    file = folder / "workflow.json"
    file.write_text(json.dumps([_WORKFLOW]), encoding="utf-8")
    port, broker = free_ports(2)
    environment = {
        **os.environ,
        "PATH": node_path(),
        "N8N_USER_FOLDER": str(folder),
        "N8N_PORT": str(port),
        "N8N_RUNNERS_BROKER_PORT": str(broker),
        "N8N_LISTEN_ADDRESS": "127.0.0.1",
        "N8N_LOG_LEVEL": "error",
        **dict.fromkeys(("N8N_DIAGNOSTICS_ENABLED", "N8N_VERSION_NOTIFICATIONS_ENABLED"), "false"),
        **dict.fromkeys(("N8N_TEMPLATES_ENABLED", "N8N_PERSONALIZATION_ENABLED"), "false"),
    }
    _run([program, "import:workflow", f"--input={file}"], folder, environment)
    _run([program, "publish:workflow", f"--id={_WORKFLOW['id']}"], folder, environment)
    with _serving([program, "start"], folder, environment, port, "/healthz"):
        address = Address(port, "/webhook/pushed")
        _wait("n8n's webhook", lambda: _status(address.port, address.path, "POST") == 200, None)
        yield address


def _run(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False
    )
    if done.returncode:
        raise ServerFailed(f"{' '.join(command)} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


@contextmanager
def _serving(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], port: int, path: str, status: int = 200
) -> Iterator[None]:
    """Run a server.

    :param path: what it answers with a status when it is ready
    """
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        try:
            _wait(" ".join(command), lambda: _status(port, path) == status, process)
        except ServerFailed as error:
            raise ServerFailed(f"{error}\n{log.read_text(errors='replace')[-2000:]}") from None
        yield
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _wait(what: str, is_ready: object, process: subprocess.Popen[bytes] | None) -> None:
    assert callable(is_ready)
    end = time.monotonic() + _PATIENCE
    while not is_ready():
        if process is not None and process.poll() is not None:
            raise ServerFailed(f"{what} ended with {process.returncode}")
        if time.monotonic() > end:
            raise ServerFailed(f"{what} was not ready within {_PATIENCE:.0f} s")
        time.sleep(0.2)


def _status(port: int, path: str, method: str = "GET") -> int | None:
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request(method, path, "{}" if method == "POST" else None, {"Content-Type": "application/json"})
        return connection.getresponse().status
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
