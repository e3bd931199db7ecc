"""A small web service that containers reach over Docker's bridge: tables of records, and what was asked of it."""

from __future__ import annotations

import base64
import ipaddress
import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from harness import PATIENCE, docker

Guard = Callable[[dict[str, str]], bool]


@dataclass
class Request:
    """A request that a container sent."""

    method: str
    path: str
    body: Any
    query: dict[str, str] = field(default_factory=dict)


@dataclass
class Space:
    """One test's part of the service.

    :param url: where a component finds it
    """

    url: str
    records: list[dict[str, Any]] = field(default_factory=list)
    tables: dict[str, dict[str, Any]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    failing: dict[str, list[int]] = field(default_factory=dict)
    """What paths answer instead of working, by path: these statuses one after the other, and 0 for ever after."""
    guard: Guard = lambda headers: True
    gates: dict[str, threading.Event] = field(default_factory=dict)
    """Paths whose requests wait until the test lets them go."""
    meeting: threading.Barrier | None = None
    """Until that many requests that change something are there at once, they wait; then never again."""
    peak: int = 0
    """How many requests were there at once, at most."""
    tokens: list[str] = field(default_factory=lambda: ["token-of-the-first-hour"])
    changed: threading.Condition = field(default_factory=threading.Condition)
    _active: int = 0

    def add(self, *numbers: int) -> None:
        """Add records to read, each changed at the time of its number."""
        self.records.extend({"id": f"p{number}", "number": number, "updated": number} for number in numbers)

    def fail(self, path: str, status: int, times: int | None = None) -> None:
        """Let a path answer with an error, for ever or some times."""
        self.failing[path] = [status, 0] if times is None else [status] * times

    def heal(self) -> None:
        """Let all paths work again."""
        self.failing.clear()

    def close_gate(self, path: str) -> threading.Event:
        """Let requests of a path wait until the event is set."""
        return self.gates.setdefault(path, threading.Event())

    def meet(self, parties: int) -> None:
        """Let the first requests that change something wait until there are this many at once."""
        self.meeting = threading.Barrier(parties, action=lambda: setattr(self, "meeting", None))

    def count(self, method: str, path: str) -> int:
        """Return how often a path was asked."""
        return sum(1 for each in self.requests if (each.method, each.path) == (method, path))

    def counts(self, method: str) -> Counter[str]:
        """Return how often each path was asked."""
        return Counter(each.path for each in self.requests if each.method == method)

    def since(self) -> list[str]:
        """Return from where on the records were read, time after time."""
        return [each.query["since"] for each in self.requests if each.path == "/records"]

    def wait_for(self, method: str, path: str) -> None:
        """Return once a path has been asked."""
        with self.changed:
            assert self.changed.wait_for(lambda: self.count(method, path) > 0, PATIENCE), f"nobody asks {method} {path}"

    # --- answers

    def answer(self, request: Request, headers: dict[str, str]) -> tuple[int, Any]:
        """Return status and body."""
        with self.changed:
            self.requests.append(request)
            self._active += 1
            self.peak = max(self.peak, self._active)
            self.changed.notify_all()
        try:
            return self._answer(request, headers)
        finally:
            with self.changed:
                self._active -= 1

    def _answer(self, request: Request, headers: dict[str, str]) -> tuple[int, Any]:
        if request.path == "/token":
            return self._rotate(str(request.body["token"]))
        if not self.guard(headers):
            return 401, {"error": "who are you"}
        gate = self.gates.get(request.path)
        if gate is not None and not gate.wait(PATIENCE):
            return 500, {"error": "nobody opened the gate"}
        meeting = self.meeting
        if meeting is not None and request.method != "GET":
            meeting.wait(PATIENCE)
        with self.changed:
            status = self._failure(request.path)
            return (status, {"error": f"no luck with {request.path}"}) if status else self._work(request)

    def _failure(self, path: str) -> int:
        statuses = self.failing.get(path)
        if not statuses:
            return 0
        return statuses[0] if statuses[-1] == 0 else statuses.pop(0)

    def _work(self, request: Request) -> tuple[int, Any]:
        if request.path == "/records":
            since = int(request.query.get("since", 0))
            return 200, [record for record in self.records if record["updated"] > since]
        _, name, *rest = request.path.split("/")
        table = self.tables.setdefault(name, {})
        if request.method == "POST":
            key = f"r{len(table) + 1}"
        elif not rest:
            return 404, {"error": "no such thing"}
        else:
            key = rest[0]
        table[key] = request.body
        return 200, {"id": key, **(request.body or {})}

    def _rotate(self, token: str) -> tuple[int, Any]:
        with self.changed:
            if token != self.tokens[-1]:
                return 401, {"error": "an old token"}
            self.tokens.append(f"token-number-{len(self.tokens)}-of-this-test")
            return 200, {"token": self.tokens[-1]}


class Service:
    """The service with all its spaces."""

    def __init__(self) -> None:
        self._spaces: dict[str, Space] = {}
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self) -> None:
                text = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                parts = urlsplit(self.path)
                _, name, path = parts.path.split("/", 2)
                query = {key: values[0] for key, values in parse_qs(parts.query).items()}
                request = Request(self.command, f"/{path}", json.loads(text) if text else None, query)
                headers = {key.lower(): value for key, value in self.headers.items()}
                status, body = service._spaces[name].answer(request, headers)
                sent = json.dumps(body).encode()
                with suppress(ConnectionError):  # the container may have been killed
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(sent)))
                    self.end_headers()
                    self.wfile.write(sent)

            do_GET = do_POST = do_PUT = do_DELETE = do

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((bridge_address(), 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def space(self, name: str) -> Space:
        """Return a new part of the service."""
        host, port = self._server.server_address[:2]
        self._spaces[name] = Space(f"http://{host!s}:{port}/{name}")
        return self._spaces[name]

    def close(self) -> None:
        """End the service."""
        self._server.shutdown()
        self._server.server_close()


def basic(user: str, password: str) -> Guard:
    """Return a guard that wants a user's password."""
    wanted = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
    return lambda headers: headers.get("authorization") == wanted


def bridge_address() -> str:
    """Return this machine's address on Docker's bridge, by which containers reach it."""
    config = json.loads(docker("network", "inspect", "bridge", "--format", "{{json (index .IPAM.Config 0)}}"))
    # Older engines leave the gateway out; it is the first address of the network then.
    return config.get("Gateway") or str(next(ipaddress.ip_network(config["Subnet"]).hosts()))
