"""The helper as a process of its own, served from here: what a step's container sees, without the container."""

from __future__ import annotations

import http.server
import json
import logging
import os
import socket
import struct
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import IO

import pytest

from flowmate_airflow.runtimes.base import RuntimeFailure
from flowmate_airflow.runtimes.egress.helper import PROXY, helper_command, listens
from flowmate_airflow.runtimes.egress.rules import Egress, hosts_of
from flowmate_airflow.runtimes.egress.wayout import WayOut

LOG = logging.getLogger("test.egress")


class Pipes:
    """A process's standard streams, as a container engine hands them on: stdout and stderr in frames."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin
        self._process = process
        self._stdin = process.stdin
        self._read, self._write = os.pipe()
        self._open = [process.stdout, process.stderr]
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._copy, args=(kind, stream), daemon=True)
            for kind, stream in ((1, process.stdout), (2, process.stderr))
        ]
        for thread in self._threads:
            thread.start()

    def receive(self) -> bytes:
        return os.read(self._read, 65536)

    def send(self, data: bytes) -> None:
        self._stdin.write(data)
        self._stdin.flush()

    def abort(self) -> None:
        self._process.kill()

    def _copy(self, kind: int, stream: IO[bytes]) -> None:
        while data := os.read(stream.fileno(), 65536):
            with self._lock:
                os.write(self._write, struct.pack(">BxxxL", kind, len(data)))
                sent = 0
                while sent < len(data):
                    sent += os.write(self._write, data[sent:])
        with self._lock:
            self._open.remove(stream)
            if not self._open:
                os.close(self._write)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        for thread in self._threads:
            thread.join()
        os.close(self._read)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert pipe
            pipe.close()


@contextmanager
def _started(command: list[str]) -> Iterator[tuple[Pipes, subprocess.Popen[bytes]]]:
    process = subprocess.Popen(
        command, bufsize=0, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    pipes = Pipes(process)
    try:
        yield pipes, process
    finally:
        pipes.close()


@contextmanager
def _way_out(egress: Egress, command: list[str]) -> Iterator[tuple[WayOut, subprocess.Popen[bytes]]]:
    with _started(command) as (pipes, process):
        way_out = WayOut(pipes, egress, LOG)
        way_out.start()
        try:
            yield way_out, process
        finally:
            way_out.close()
            way_out.close()


def _helper(*places: tuple[str, int, str]) -> list[str]:
    python, *rest = helper_command(Egress("shop", ()))
    assert python == "python3"
    return [sys.executable, *rest[:-1], json.dumps(places)]


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[::-1])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def upstream() -> Iterator[int]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_address[1]
    server.shutdown()
    thread.join()
    server.server_close()


def test_clients_reach_what_is_listed_by_the_proxy_and_without_it(upstream: int) -> None:
    place = f"127.0.0.1:{upstream}"
    proxy, direct = _free_port(), _free_port()
    command = _helper(("127.0.0.1", proxy, ""), ("127.0.0.1", direct, place))
    with _way_out(Egress("shop", hosts_of([place]), private=True), command) as (way_out, _):
        way_out.wait()
        through = urllib.request.build_opener(urllib.request.ProxyHandler({"http": f"http://127.0.0.1:{proxy}"}))
        plain = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        body = os.urandom(1_000_000)

        def ask(number: int) -> bytes:
            if number % 2:
                return bytes(through.open(f"http://{place}/", data=body, timeout=60).read())
            return bytes(plain.open(f"http://127.0.0.1:{direct}/", data=body, timeout=60).read())

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(ask, range(16))) == {body[::-1]}


def test_the_helper_ends_when_nobody_holds_its_input() -> None:
    with _started(_helper(("127.0.0.1", _free_port(), ""))) as (pipes, process):
        while b"ready\n" not in pipes.receive():
            pass
        pipes._stdin.close()
        assert process.wait(60) == 0


@pytest.mark.parametrize(
    ("code", "why", "retry"),
    [
        ("import sys; sys.exit('python3: no such file')", "python3: no such file", False),
        ("print('hello')", "it says nothing", True),
        ("pass", "it says nothing", True),
    ],
)
def test_a_helper_that_does_not_listen_fails_the_start(
    code: str, why: str, retry: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with _way_out(Egress("shop", ()), [sys.executable, "-c", code]) as (way_out, _):
        with pytest.raises(RuntimeFailure, match="does not listen") as failure:
            way_out.wait()
        assert why in str(failure.value)
        assert failure.value.retry is retry


@pytest.mark.parametrize(
    "code", ["print('ready'); import time; time.sleep(0.2)", "print('ready', 'x' * 99, sep='\\n')"]
)
def test_a_helper_that_ends_or_talks_nonsense_is_told(code: str, caplog: pytest.LogCaptureFixture) -> None:
    with _way_out(Egress("shop", ()), [sys.executable, "-uc", code]) as (way_out, _):
        way_out.wait()
        for thread in way_out._threads[1:]:
            thread.join(60)
        assert not way_out._threads[1].is_alive()
    assert [text for text in caplog.messages if "it reaches nothing any more" in text]


def test_each_name_has_an_address_where_clients_without_a_proxy_find_it() -> None:
    egress = Egress(
        "shop",
        hosts_of(["b.example", "a.example:8443", "a.example", "*.c.example", "192.0.2.1", "127.0.0.1:99", "[::1]:1"]),
    )
    assert listens(egress) == [
        (*PROXY, ""),
        ("127.1.0.1", 80, "b.example:80"),
        ("127.1.0.1", 443, "b.example:443"),
        ("127.1.0.2", 8443, "a.example:8443"),
        ("127.1.0.2", 80, "a.example:80"),
        ("127.1.0.2", 443, "a.example:443"),
        ("127.0.0.1", 99, "127.0.0.1:99"),
    ]


def test_very_many_hosts_leave_the_rest_to_the_proxy() -> None:
    found = listens(Egress("shop", hosts_of(f"h{number}.example" for number in range(500))))
    assert len({address for address, _, _ in found}) == 201
