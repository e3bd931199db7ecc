"""The other system of the demo: a small HTTP service that keeps what it is sent in SQLite."""

from __future__ import annotations

import base64
import hmac
import json
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

MAX_BODY = 1024 * 1024


class Store:
    """The service's table of countries.

    :param path: the SQLite file
    """

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        self._database.execute("pragma journal_mode=wal")
        self._database.execute(
            "create table if not exists country"
            " (code text primary key, name text not null, people integer not null,"
            " density real, neighbours text)"
        )

    def save(self, country: dict[str, Any]) -> None:
        """Insert a country, or replace the one with its code.

        :raises KeyError: a field is missing
        """
        row = (
            *(country["code"], country["name"], country["people"]),
            *(country.get("density"), json.dumps(country.get("neighbours", []))),
        )
        with self._lock, self._database:
            self._database.execute("insert or replace into country values (?, ?, ?, ?, ?)", row)

    def count(self) -> int:
        """Return how many countries there are."""
        with self._lock:
            return int(self._database.execute("select count(*) from country").fetchone()[0])

    def largest(self, limit: int) -> list[tuple[str, str, int, float]]:
        """Return code, name, people and density of the countries with most people."""
        query = "select code, name, people, density from country order by people desc limit ?"
        with self._lock:
            return list(self._database.execute(query, (limit,)))

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._database.close()


class Service(ThreadingHTTPServer):
    """The listening server, with what its handlers need."""

    daemon_threads = True

    def __init__(self, store: Store, address: str, user: str, password: str) -> None:
        super().__init__((address, 0), Handler)
        self.store = store
        self.expected = "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


class Handler(BaseHTTPRequestHandler):
    """Answers one connection's requests."""

    protocol_version = "HTTP/1.1"
    # Head and body leave in one packet; in two, each answer would wait for the client's delayed acknowledgement.
    wbufsize = 64 * 1024
    server: Service

    def do_GET(self) -> None:
        """Answer how many countries there are."""
        if self._is_allowed():
            self._answer(HTTPStatus.OK, {"count": self.server.store.count()})

    def do_POST(self) -> None:
        """Store the country of the body."""
        if not self._is_allowed():
            return
        try:
            country = json.loads(self.rfile.read(self._length()))
            self.server.store.save(country)
        except (ValueError, KeyError, TypeError, sqlite3.Error) as error:
            self._answer(HTTPStatus.UNPROCESSABLE_ENTITY, {"error": repr(error)})
        else:
            self._answer(HTTPStatus.CREATED, {"code": country["code"], "stored": True})

    def _is_allowed(self) -> bool:
        given = self.headers.get("Authorization", "")
        if self.path != "/countries":
            self._refuse(HTTPStatus.NOT_FOUND)
        elif not hmac.compare_digest(given.encode(), self.server.expected.encode()):
            self._refuse(HTTPStatus.UNAUTHORIZED)
        elif self._length() > MAX_BODY:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        else:
            return True
        return False

    def _length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def _refuse(self, status: HTTPStatus) -> None:
        self.close_connection = True  # the body stays unread
        self._answer(status, {"error": status.phrase})

    def _answer(self, status: HTTPStatus, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Print nothing: the demo prints what matters."""


@contextmanager
def service(store: Store, address: str, user: str, password: str) -> Iterator[str]:
    """Serve `POST /countries` and `GET /countries` until the context ends; yield the URL.

    :param store: where it keeps the countries
    :param address: the address to listen on
    :param user: who may use it, by basic authentication
    :param password: the password of `user`
    """
    with Service(store, address, user, password) as server:
        thread = threading.Thread(target=server.serve_forever, name="demo-service", daemon=True)
        thread.start()
        try:
            yield f"http://{address}:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()
