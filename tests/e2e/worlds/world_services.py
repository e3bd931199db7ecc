"""Servers on the loopback that the containers of the tests reach: an API with data and faults, and a database."""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from harness import PATIENCE, LocalPostgres
from sqlalchemy import create_engine, make_url, text

TOKEN = "t0ken-of-the-api"
PAGE = 50


class Account:
    """One customer of the API: its tables, and what shall go wrong.

    :ivar tables: records by table
    :ivar failures: how many requests are answered with 500 from now on
    :ivar asked: the path and query of each request that was answered with records
    :ivar refresh_token: the only refresh token that is taken; each use makes a new one
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.failures = 0
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.refresh_token = "refresh-token-0"
        self.rotations = 0
        self.waiting = threading.Event()
        self._held_page: int | None = None
        self._released = threading.Event()

    def add(self, table: str, ids: Iterable[int], day: int = 1, **fields: Any) -> None:
        """Add records, or change those of the same id.

        :param day: of January 2026, when they were changed
        """
        rows = {row["id"]: row for row in self.tables.get(table, ())}
        for number in ids:
            rows[number] = {
                "id": number,
                "name": f"name {number}",
                "price": number / 4,
                "city": {"name": f"city {number % 7}", "code": number % 7},
                "updated_at": f"2026-01-{day:02d}T{number // 3600 % 24:02d}:{number // 60 % 60:02d}:{number % 60:02d}Z",
                **fields,
            }
        self.tables[table] = sorted(rows.values(), key=lambda row: (row["updated_at"], row["id"]))

    def hold(self, page: int) -> None:
        """Let the next request for a page wait until :meth:`release`; :attr:`waiting` tells that it does."""
        self.waiting.clear()
        self._released.clear()
        self._held_page = page

    def release(self) -> None:
        """Answer what waits, and hold nothing any more."""
        self._held_page = None
        self._released.set()

    def records(self, table: str, query: Mapping[str, str]) -> dict[str, Any] | None:
        """Return the answer to a request for a page, None where there is no such table."""
        page = int(query.get("page") or 1)
        if page == self._held_page:
            self.waiting.set()
            self._released.wait(PATIENCE)
        if table not in self.tables:
            return None
        self.asked.append((table, dict(query)))
        since, until = query.get("since") or "", query.get("until") or "9999"
        fitting = [row for row in self.tables[table] if since <= row.get("updated_at", since) <= until]
        more = len(fitting) > page * PAGE
        return {"records": fitting[(page - 1) * PAGE : page * PAGE], "next": page + 1 if more else None}


class Api:
    """A JSON API at `http://127.0.0.1:…/<account>/<table>?page=&since=&until=`, with bearer tokens."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        api = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                api._get(self)

            def do_POST(self) -> None:
                api._post(self)

            def log_message(self, *_: object) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Api:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for account in self.accounts.values():
            account.release()
        self._server.shutdown()
        self._server.server_close()

    def account(self, name: str) -> Account:
        """Return an account; a new one at first."""
        url = f"http://127.0.0.1:{self._server.server_port}/{name}"
        return self.accounts.setdefault(name, Account(url))

    def _get(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        _, name, table = [*parts.path.split("/"), "", ""][:3]
        account = self.accounts.get(name)
        tokens = {f"Bearer {TOKEN}", f"Bearer access-{account.rotations if account else 0}"}
        if request.headers.get("Authorization") not in tokens:
            return _answer(request, 401, {"error": "invalid token"})
        if account is not None and account.failures > 0:
            account.failures -= 1
            return _answer(request, 500, {"error": "out of order"})
        found = account.records(table, dict(parse_qsl(parts.query))) if account else None
        return _answer(request, 404, {"error": "no such table"}) if found is None else _answer(request, 200, found)

    def _post(self, request: BaseHTTPRequestHandler) -> None:
        """Answer `/<account>/token`: a new access and a new refresh token for the refresh token, which is void then."""
        account = self.accounts[request.path.split("/")[1]]
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0)).decode()
        given = json.loads(body) if body.startswith("{") else dict(parse_qsl(body))
        if given.get("refresh_token") != account.refresh_token:
            return _answer(request, 401, {"error": "invalid_grant"})
        account.rotations += 1
        account.refresh_token = f"refresh-token-{account.rotations}"
        tokens = {"access_token": f"access-{account.rotations}", "refresh_token": account.refresh_token}
        return _answer(request, 200, {**tokens, "expires_in": 1})


def _answer(request: BaseHTTPRequestHandler, status: int, content: Any) -> None:
    body = json.dumps(content).encode()
    try:
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
    except OSError:
        pass  # whoever asked has been killed


class Warehouse:
    """A PostgreSQL server for the targets, with a schema for each test.

    :param programs: the folder of the server's programs
    """

    def __init__(self, programs: Path) -> None:
        self._server = LocalPostgres(programs)

    def __enter__(self) -> Warehouse:
        self.url = make_url(self._server.start())
        self.engine = create_engine(self.url)
        return self

    def __exit__(self, *_: object) -> None:
        self.engine.dispose()
        self._server.stop()

    @property
    def connection(self) -> dict[str, Any]:
        """The fields of an Airflow Connection to it."""
        url = self.url
        return {
            "login": url.username,
            "password": url.password,
            "host": url.host,
            "port": url.port,
            "schema": url.database,
        }

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(text(query))]

    def do(self, statement: str) -> None:
        """Run a statement."""
        with self.engine.begin() as connection:
            connection.exec_driver_sql(statement)

    def count(self, table: str) -> tuple[int, int]:
        """Return how many records a table has, and of how many ids."""
        ((records, ids),) = self.rows(f"SELECT count(*), count(DISTINCT id) FROM {table}")
        return records, ids

    def hold_record(self, table: str, number: int) -> Held:
        """Let everyone wait who inserts the record of an id into a table, until it is released."""
        return Held(self, table, number)

    def refuse_record(self, table: str, number: int) -> Refused:
        """Refuse the record of an id, until that is lifted."""
        return Refused(self, table, number)


class Held:
    """A record that nobody can insert for now.

    :param warehouse: where its table is
    """

    def __init__(self, warehouse: Warehouse, table: str, number: int) -> None:
        self._warehouse = warehouse
        self._key = zlib.crc32(table.encode()) // 2
        self._connection = warehouse.engine.connect()
        self._connection.exec_driver_sql(f"SELECT pg_advisory_lock({self._key})")
        _add_trigger(warehouse, table, f"IF NEW.id = {number} THEN PERFORM pg_advisory_xact_lock({self._key}); END IF;")

    def waits(self) -> bool | None:
        """Whether somebody waits, as `wait_until` takes it."""
        return bool(self._waiting()) or None

    def cut(self) -> None:
        """End the connections of all that wait."""
        for pid in self._waiting():
            self._warehouse.rows(f"SELECT pg_terminate_backend({pid})")

    def release(self) -> None:
        """Let all inserts go on."""
        self._connection.exec_driver_sql(f"SELECT pg_advisory_unlock({self._key})")
        self._connection.close()

    def _waiting(self) -> list[int]:
        query = f"SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND objid = {self._key}"
        return [pid for (pid,) in self._warehouse.rows(query)]


class Refused:
    """A record that is refused for now.

    :param warehouse: where its table is
    """

    def __init__(self, warehouse: Warehouse, table: str, number: int) -> None:
        self._warehouse = warehouse
        self._table = table
        text = f"IF NEW.id = {number} THEN RAISE EXCEPTION 'record {number} is refused'; END IF;"
        _add_trigger(warehouse, table, text)

    def lift(self) -> None:
        """Take the record from now on."""
        self._warehouse.do(f"DROP TRIGGER meddle ON {self._table}")


def _add_trigger(warehouse: Warehouse, table: str, body: str) -> None:
    function = f"{table.partition('.')[0]}.meddle"
    head = f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS"
    warehouse.do(f"{head} $$ BEGIN {body} RETURN NEW; END $$")
    warehouse.do(f"CREATE TRIGGER meddle BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()")
