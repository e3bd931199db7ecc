"""The processes of a real Airflow on this machine, for `make demo` and the end-to-end tests."""

from __future__ import annotations

import json
import os
import random
import secrets
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import requests
from airflow_rest import AirflowTrouble, Client, wait_until

USER = "admin"
PASSWORD = "admin"
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")


PORTS = range(20_000, 32_000)
"""Below those that systems give to outgoing connections: one would be in the way of a server that is restarted."""


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback that nothing listens on, each another."""
    found: list[int] = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


class LocalAirflow:
    """The processes of one Airflow: API server, scheduler, dag processor and triggerer.

    :param home: its AIRFLOW_HOME, created where it is missing
    :param dags: the dags folder
    :param components: the `airflow` commands to start, each one process group
    :param settings: further environment variables, such as `AIRFLOW__FLOWMATE__RUNTIME`
    :param port: the API server's port; a free one by default
    :param database: the SQLAlchemy URL of an empty database; SQLite in `home` by default
    """

    def __init__(
        self,
        home: Path,
        dags: Path,
        *,
        components: Sequence[str] = COMPONENTS,
        settings: Mapping[str, str] | None = None,
        port: int | None = None,
        database: str | None = None,
    ) -> None:
        self.home = home
        self.dags = dags
        self.components = components
        first, *rest = free_ports(3)
        self.port = port or first
        self.url = f"http://127.0.0.1:{self.port}"
        # Scheduler and API server write at the same time: SQLite must wait for its lock, not give up.
        self.database = database or f"sqlite:///{self.home / 'airflow.db'}?timeout=60"
        self.environment = {**os.environ, **self._settings(*rest), **(settings or {})}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def _settings(self, worker_log_port: int, trigger_log_port: int) -> dict[str, str]:
        options: dict[str, dict[str, object]] = {
            "core": {
                "dags_folder": self.dags,
                "load_examples": False,
                "executor": "LocalExecutor",
                "parallelism": 4,
                "execution_api_server_url": f"{self.url}/execution/",
                "simple_auth_manager_users": f"{USER}:admin",
                "simple_auth_manager_passwords_file": self.home / "passwords.json",
                "min_serialized_dag_update_interval": 0,
            },
            "database": {"sql_alchemy_conn": self.database},
            "api": {"host": "127.0.0.1", "port": self.port, "base_url": self.url, "workers": 1},
            # A task that asked in vain for 5 s asks again, and is refused as one that runs already: it fails.
            "workers": {"execution_api_timeout": 60},
            "api_auth": {"jwt_secret": secrets.token_hex(32)},
            "scheduler": {"scheduler_idle_sleep_time": 0.2, "parsing_cleanup_interval": 5},
            "dag_processor": {
                "refresh_interval": 15,
                "bundle_refresh_check_interval": 1,
                "min_file_process_interval": 3,
                "parsing_processes": 1,
                "stale_dag_threshold": 5,
            },
            # Nobody fetches logs over HTTP here, but both servers start: on ports that are theirs alone.
            "logging": {
                "worker_log_server_port": worker_log_port,
                "trigger_log_server_port": trigger_log_port,
            },
        }
        settings = {
            f"AIRFLOW__{section.upper()}__{key.upper()}": str(value)
            for section, values in options.items()
            for key, value in values.items()
        }
        # `airflow standalone` and subprocesses of tasks look for the commands of this environment.
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        return {
            "AIRFLOW_HOME": str(self.home),
            "PATH": path,
            "NO_COLOR": "1",
            "PYTHONUNBUFFERED": "1",
            **settings,
        }

    def start(self, timeout: float = 180) -> Client:
        """Create the database, start all processes and wait until each one reports that it is healthy.

        :param timeout: seconds that the processes may take
        :raises AirflowTrouble: one ended, or they took longer; the message carries the tails of the logs
        """
        (self.home / "output").mkdir(parents=True, exist_ok=True)
        (self.home / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
        try:
            self._create_database()
            for component in self.components:
                self._processes[component] = self._spawn(component)
            client = Client(self.url, self.dags, USER, PASSWORD)
            wait_until("a healthy Airflow", lambda: self._is_healthy(client), timeout)
            return client
        except BaseException as error:
            self.stop()
            if isinstance(error, AirflowTrouble):
                raise AirflowTrouble(f"{error}\n{self.log_tails()}") from error
            raise

    def _create_database(self) -> None:
        process = self._spawn("db", "migrate")
        try:
            if process.wait(timeout=180):
                raise AirflowTrouble("airflow db migrate failed")
        except subprocess.TimeoutExpired:
            raise AirflowTrouble("airflow db migrate did not end within 180 s") from None
        finally:
            _end_group(process, 0)
        if not self.database.startswith("sqlite:"):
            return
        # With a write-ahead log readers and the writer do not shut each other out. The file keeps the mode.
        database = sqlite3.connect(self.home / "airflow.db")
        database.execute("pragma journal_mode=wal")
        database.close()

    def _spawn(self, *command: str) -> subprocess.Popen[bytes]:
        # Should we be killed, the kernel asks our children to end. `airflow standalone` listens to Ctrl-C only.
        ending = "INT" if command[0] == "standalone" else "TERM"
        follow = ["setpriv", "--pdeathsig", ending] if shutil.which("setpriv") else []
        with (self.home / "output" / f"{command[0]}.log").open("ab") as output:
            return subprocess.Popen(
                [*follow, sys.executable, "-m", "airflow", *command],
                cwd=self.home,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _is_healthy(self, client: Client) -> bool | None:
        for component, process in self._processes.items():
            if process.poll() is not None:
                raise AirflowTrouble(f"airflow {component} ended with {process.returncode}")
        try:
            health = client.get("monitor/health")
        except (requests.RequestException, AirflowTrouble):
            return None
        started = COMPONENTS if "standalone" in self.components else self.components
        parts = ("metadatabase", *(each.replace("-", "_") for each in started if each != "api-server"))
        return True if all(health[part]["status"] == "healthy" for part in parts) else None

    def process(self, component: str) -> subprocess.Popen[bytes]:
        """Return the process of a component, for tests that end one."""
        return self._processes[component]

    def restart(self, component: str) -> None:
        """End a component's process group at once, as a crash does, and start it anew."""
        _end_group(self._processes[component], 0)
        self._processes[component] = self._spawn(component)

    def stop(self, grace: float = 20) -> None:
        """End every process: ask each one, wait up to `grace` seconds for all, then kill what is left."""
        for component, process in self._processes.items():
            if component == "standalone":
                process.send_signal(signal.SIGINT)  # it ends its children itself, and hangs if they end before
            else:
                _signal_group(process, signal.SIGTERM)
        deadline = time.monotonic() + grace
        for process in self._processes.values():
            _end_group(process, max(0.0, deadline - time.monotonic()))
        self._processes.clear()

    def log_tails(self, lines: int = 40) -> str:
        """Return the last lines that each component printed, without its list of requests, and of the newest tasks
        that had an error."""
        tails = []
        for path in sorted((self.home / "output").glob("*.log")):
            told = [line for line in path.read_text(errors="replace").splitlines() if "http.access" not in line]
            # The scheduler says so of a task that it lets fail, of which no task's log tells.
            failed = [line for line in told[:-lines] if "finished with state" in line]
            tails.append("\n".join([f"---- {path.name}", *failed, *told[-lines:]]))
        for path in self._failed_logs()[-3:]:
            tails.append("\n".join([f"---- {path.parent.name}/{path.name}", *_plain_tail(path, lines)]))
        return "\n".join(tails)

    def _failed_logs(self) -> list[Path]:
        """The logs of tasks that hold an error, the newest last."""
        logs = sorted((self.home / "logs").glob("dag_id=*/**/*.log"), key=lambda path: path.stat().st_mtime)
        return [path for path in logs if '"level":"error"' in path.read_text(errors="replace")]

    def __enter__(self) -> Client:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # all of the group have ended
        os.killpg(process.pid, number)


def _end_group(process: subprocess.Popen[bytes], patience: float) -> None:
    """Wait up to `patience` seconds for the group's leader to end, then kill whatever the group still has."""
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=patience)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _plain_tail(path: Path, lines: int) -> list[str]:
    """The last entries of a task's log, cut to what fits on a screen."""
    entries = path.read_text(errors="replace").splitlines()[-lines:]
    return [entry if len(entry) <= 1000 else f"{entry[:500]} […] {entry[-500:]}" for entry in entries]
