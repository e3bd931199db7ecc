"""The receiver is killed under load: what it has acknowledged is there."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from receiver_harness import PATH, signed_headers

from flowmate_airflow.store.deliveries import Wanted, find
from flowmate_airflow.store.store import open_store

HERE = Path(__file__).parent
ROOT = HERE.parents[2]
CONNECTIONS = 24


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    sys.path.insert(0, str(ROOT / "scripts"))
    from local_postgres import LocalPostgres

    answer = subprocess.run([ROOT / "scripts" / "postgres", "find"], capture_output=True, text=True, check=False)
    if answer.returncode:
        pytest.skip("there is no PostgreSQL server on this machine; scripts/postgres installs one")
    with LocalPostgres(Path(answer.stdout.strip())) as url:
        yield url


class Load:
    """Senders that post one delivery after the other until the receiver is gone."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.sent = 0
        self.acknowledged: list[str] = []

    async def send(self, process: subprocess.Popen[str], port: int, wanted: int, how: signal.Signals) -> None:
        senders = [asyncio.ensure_future(self._one(port, number)) for number in range(CONNECTIONS)]
        while len(self.acknowledged) < wanted:
            assert process.poll() is None
            assert not any(sender.done() for sender in senders)
            await asyncio.sleep(0)
        process.send_signal(how)
        await asyncio.gather(*senders)

    async def _one(self, port: int, number: int) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            for count in range(1_000_000):
                name = f"{self.name}-{number}-{count}"
                body = b'{"name": "%b"}' % name.encode()
                headers = signed_headers(body, X_GitHub_Delivery=name)
                lines = [f"{key}: {text}" for key, text in headers.items()]
                start = f"POST {PATH}orders HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
                writer.write((start + "\r\n".join([*lines, "", ""])).encode() + body)
                self.sent += 1
                answer = await reader.readuntil(b"\r\n\r\n")
                if answer.startswith(b"HTTP/1.1 202 "):
                    self.acknowledged.append(name)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


def start(url: str, folder: Path) -> tuple[subprocess.Popen[str], int]:
    command = [sys.executable, HERE / "receiver_process.py", url, str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, int(process.stdout.readline())


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_what_was_acknowledged_is_stored(
    tmp_path: Path, request: pytest.FixtureRequest, kind: str, how: signal.Signals
) -> None:
    url = f"sqlite:///{tmp_path / 'store.db'}" if kind == "sqlite" else request.getfixturevalue("postgres")
    loads = [Load(f"{how.name}{number}") for number in range(3)]
    for load in loads:
        process, port = start(url, tmp_path)
        with process:
            try:
                asyncio.run(load.send(process, port, 200, how))
            finally:
                process.kill()
    kept = {delivery.delivery_id for delivery in find(open_store(url), Wanted(endpoint="orders"))}
    for load in loads:
        assert len(load.acknowledged) >= 200
        assert kept.issuperset(load.acknowledged)
        if how == signal.SIGTERM:  # who is asked to end answers what it has stored
            assert {name for name in kept if name and name.startswith(load.name)} == set(load.acknowledged)
