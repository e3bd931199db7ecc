"""A PostgreSQL server of one's own on this machine, for the end-to-end tests."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from airflow_rest import AirflowTrouble, wait_until
from local_airflow import free_ports

USER = "airflow"
DATABASE = "airflow"
SYSTEM_USER = "postgres"
"""Whom Debian's package makes: the server refuses to run as root."""

# The data are thrown away, so nothing has to survive a loss of power. Four processes of Airflow and each task hold
# connections.
_OPTIONS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "max_connections": "200",
    "shared_buffers": "64MB",
    "listen_addresses": "127.0.0.1",
}
DURABLE = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}
"""For benchmarks: every commit waits for the disk."""


class LocalPostgres:
    """A server with one empty database, on a free port of the loopback, that leaves nothing behind.

    :param programs: the folder of `initdb` and `postgres`
    :param options: of the server, instead of those for tests
    """

    def __init__(self, programs: Path, options: Mapping[str, str] | None = None) -> None:
        self._programs = programs
        self._more = options or {}
        self._password = secrets.token_hex(16)
        (self._port,) = free_ports(1)
        self._folder: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The database's URL as SQLAlchemy takes it."""
        return f"postgresql+psycopg2://{USER}:{self._password}@127.0.0.1:{self._port}/{DATABASE}"

    def start(self, timeout: float = 60) -> str:
        """Start the server and return the database's URL.

        :param timeout: seconds that the server may take until it answers
        :raises AirflowTrouble: it did not start; the message carries its log
        """
        try:
            self._make_cluster()
            self._process = self._spawn()
            wait_until("PostgreSQL to answer", self._answers, timeout)
            self._run("createdb", *self._at_socket(), DATABASE)
            return self.url
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End the server and remove its data."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)  # without waiting for clients
            try:
                self._process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self._process.send_signal(signal.SIGQUIT)  # a SIGKILL would leave its children
                self._process.wait()
            self._process = None
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    def __enter__(self) -> str:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _make_cluster(self) -> None:
        # Below /tmp: the server's user may not go through the folders of this one, and a socket's path must be short.
        self._folder = Path(tempfile.mkdtemp(prefix="flowmate-postgres-", dir="/tmp"))
        password = self._folder / "password"
        password.write_text(self._password)
        if os.geteuid() == 0:
            for path in (self._folder, password):
                shutil.chown(path, SYSTEM_USER)
        self._run(
            "initdb",
            *(f"--pgdata={self._folder / 'data'}", f"--username={USER}", f"--pwfile={password}"),
            *("--auth-host=scram-sha-256", "--auth-local=trust", "--encoding=UTF8", "--locale=C", "--no-sync"),
        )

    def _spawn(self) -> subprocess.Popen[bytes]:
        assert self._folder is not None
        options = {**_OPTIONS, **self._more, "port": str(self._port), "unix_socket_directories": str(self._folder)}
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        # Should we be killed, the kernel asks the server to end.
        command = _as_system_user("--pdeathsig", "INT")
        with (self._folder / "log").open("ab") as log:
            return subprocess.Popen(
                [*command, self._programs / "postgres", "-D", self._folder / "data", *settings],
                cwd=self._folder,
                env=_environment(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _answers(self) -> bool | None:
        assert self._process is not None
        assert self._folder is not None
        if self._process.poll() is not None:
            log = (self._folder / "log").read_text(errors="replace")
            raise AirflowTrouble(f"PostgreSQL ended with {self._process.returncode}\n{log[-3000:]}")
        command = [self._programs / "pg_isready", "--quiet", *self._at_socket()]
        return subprocess.run(command, env=_environment(), check=False).returncode == 0 or None

    def _run(self, program: str, *arguments: str) -> None:
        command = [*_as_system_user(), str(self._programs / program), *arguments]
        answer = subprocess.run(
            command, cwd=self._folder, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if answer.returncode:
            raise AirflowTrouble(f"{program} failed: {answer.stderr.strip()}")

    def _at_socket(self) -> tuple[str, ...]:
        return (f"--host={self._folder}", f"--port={self._port}", f"--username={USER}")


def _as_system_user(*options: str) -> list[str]:
    """Return what a command starts with to run as the server's user, with further options of setpriv."""
    user = (f"--reuid={SYSTEM_USER}", f"--regid={SYSTEM_USER}", "--init-groups") if os.geteuid() == 0 else ()
    return ["setpriv", *user, *options] if (user or options) and shutil.which("setpriv") else []


def _environment() -> Mapping[str, str]:
    """Return the environment without libpq's variables, which would choose another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
