"""A receiver on the loopback: uvicorn in a thread, a real store, and endpoints that the test chooses."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import http.client
import json
import socket
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import uvicorn

from flowmate_airflow.store import deliveries as kept
from flowmate_airflow.store.deliveries import Delivery, Wanted
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.webhooks import held
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.httpserver import BoundedProtocol
from flowmate_airflow.webhooks.inbox import Inbox
from flowmate_airflow.webhooks.incoming import Bounds
from flowmate_airflow.webhooks.mount import Alone
from flowmate_airflow.webhooks.receiver import Receiver

SECRET = "s3cret"
PATH = "/flowmate/hooks/"
PUBLIC = "https://hooks.example.com"


class FakeDirectory:
    """Endpoints and secrets, without Airflow."""

    def __init__(self, *endpoints: Endpoint, secrets: Mapping[str, Sequence[str]] | None = None) -> None:
        self.known = {endpoint.name: endpoint for endpoint in endpoints}
        self.passwords: dict[str, Sequence[str]] = dict(secrets or {"secret": [SECRET]})
        self.links: dict[tuple[str, str], Sequence[str]] = {}
        self.error: Exception | None = None
        self.asked: list[str] = []
        self.woken: list[str] = []

    def endpoints(self) -> Mapping[str, Endpoint]:
        self.asked.append("endpoints")
        if self.error:
            raise self.error
        return dict(self.known)

    def secrets(self, conn_id: str) -> tuple[str, ...]:
        self.asked.append(conn_id)
        if self.error:
            raise self.error
        if conn_id not in self.passwords:
            raise LookupError(f"there is no Connection {conn_id}")
        return tuple(self.passwords[conn_id])

    def link_secrets(self, connector: str, tenant: str) -> tuple[str, ...]:
        self.asked.append(f"{connector}.{tenant}")
        if self.error:
            raise self.error
        return tuple(self.links.get((connector, tenant), ()))

    def starting(self) -> frozenset[str]:
        return frozenset(self.known)

    def ended(self, runs: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], bool]:
        return {}

    def wake(self, endpoint: str) -> bool:
        self.woken.append(endpoint)
        return True


def github(name: str = "orders", **options: Any) -> Endpoint:
    return Endpoint(name, scheme="github", connection="secret", **options)


@dataclass
class Answered:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Served:
    """A receiver that runs."""

    port: int
    store: Store
    directory: FakeDirectory
    receiver: Receiver
    loop: asyncio.AbstractEventLoop
    extra: dict[str, Any] = field(default_factory=dict)

    def post(
        self, name: str, body: bytes = b"", headers: Mapping[str, str] | None = None, *, method: str = "POST"
    ) -> Answered:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, f"{PATH}{name}", body or None, dict(headers or {}))
            answer = connection.getresponse()
            found = {name.lower(): text for name, text in answer.getheaders()}
            return Answered(answer.status, found, answer.read())
        finally:
            connection.close()

    def signed(self, body: bytes, *, name: str = "orders", secret: str = SECRET, **headers: str) -> Answered:
        return self.post(name, body, signed_headers(body, secret, **headers))

    def raw(self, *pieces: bytes, then: Callable[[socket.socket], None] | None = None) -> bytes:
        """Send bytes as they are, and return all that comes back until the other side ends."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=60) as connection:
            try:
                for piece in pieces:
                    connection.sendall(piece)
                if then:
                    then(connection)
            except (BrokenPipeError, ConnectionResetError):
                pass
            return received(connection)

    def kept(self, **which: Any) -> list[Delivery]:
        return list(kept.find(self.store, Wanted(**which)))

    def payload(self, delivery: Delivery) -> Any:
        return json.loads(kept.payload_of(self.store, delivery.id))


def received(connection: socket.socket) -> bytes:
    answer = b""
    while True:
        try:
            piece = connection.recv(65536)
        except (ConnectionResetError, TimeoutError):
            return answer
        if not piece:
            return answer
        answer += piece


def signed_headers(body: bytes, secret: str = SECRET, **headers: str) -> dict[str, str]:
    mac = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    default = {
        "Content-Type": "application/json",
        "X-Hub-Signature-256": f"sha256={mac}",
        "X-GitHub-Event": "push",
        "X-GitHub-Delivery": str(uuid.uuid4()),
    }
    return {**default, **{name.replace("_", "-"): text for name, text in headers.items()}}


@contextmanager
def serving(
    folder: Path,
    *endpoints: Endpoint,
    url: str | None = None,
    directory: FakeDirectory | None = None,
    bounds: Bounds | None = None,
    opening: Callable[[], Store] | None = None,
    wrap: Callable[[Any], Any] = lambda app: app,
) -> Iterator[Served]:
    """Run a receiver.

    :param url: of the store; SQLite by default
    :param opening: opens the store instead, and may fail
    :param wrap: puts something around the app, such as a middleware
    """
    store = open_store(url or f"sqlite:///{folder / 'store.db'}")
    directory = directory or FakeDirectory(*endpoints)
    receiver = Receiver(directory, Inbox(opening or (lambda: store), str(folder / "files")), f"{PUBLIC}{PATH}", bounds)
    # A sender is not told to come again, only because a busy machine has not let the directory be read in five seconds.
    with mock.patch.object(held, "WAIT_SECONDS", 60), socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            wrap(Alone(receiver)),
            http=BoundedProtocol,
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            date_header=False,
        )
        server = uvicorn.Server(config)
        started = threading.Event()
        found: dict[str, asyncio.AbstractEventLoop] = {}

        async def run() -> None:
            found["loop"] = asyncio.get_running_loop()
            serving = asyncio.ensure_future(server.serve([listening]))
            while not server.started and not serving.done():
                await asyncio.sleep(0.005)
            started.set()
            await serving

        thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
        thread.start()
        assert started.wait(60)
        try:
            yield Served(listening.getsockname()[1], store, directory, receiver, found["loop"])
        finally:
            server.should_exit = True
            thread.join(60)
            assert not thread.is_alive()
