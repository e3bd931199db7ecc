"""An application that is told: an HTTP server on the loopback whose answers the test chooses."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol

from flowmate_airflow.outgoing.targets import Target

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="
HUB_SECRET = "a-secret-of-the-hub"


@dataclass
class Received:
    """A request."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What is answered. `hold`: waits for it before."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    hold: threading.Event | None = None


class Application:
    """Keeps what comes; the first answers are those given, all others 204."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.answers: list[Answer] = []
        self.changed = threading.Condition()

    def take(self, request: Received) -> Answer:
        with self.changed:
            self.received.append(request)
            self.changed.notify_all()
            return self.answers.pop(0) if self.answers else Answer()

    def wait_for(self, count: int) -> list[Received]:
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.received) >= count, 60), self.received
            return list(self.received)


@contextmanager
def application(prepare: Callable[[ThreadingHTTPServer], None] = lambda _: None) -> Iterator[Application]:
    """Run one; `prepare` may change its server before it starts."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            names = {name.lower(): value for name, value in self.headers.items()}
            answer = app.take(Received(self.path, names, body))
            if answer.hold is not None:
                answer.hold.wait(60)
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]
        prepare(server)
        app = Application(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield app
        finally:
            server.shutdown()
            thread.join(60)


class Tell(Protocol):
    """Makes an application a target by its Connection."""

    def __call__(self, conn_id: str, app: Application, *, password: str = SECRET, **extra: Any) -> Target: ...
