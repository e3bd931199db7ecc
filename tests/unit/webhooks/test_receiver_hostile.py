"""What attackers and broken senders do to the receiver."""

from __future__ import annotations

import asyncio
import logging
import select
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from receiver_harness import PATH, SECRET, Served, github, received, serving, signed_headers
from starlette.middleware.base import BaseHTTPMiddleware

from flowmate_airflow.store.deliveries import RECEIVED
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.webhooks import httpserver, writer
from flowmate_airflow.webhooks.answers import Refused
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.incoming import Bounds, Gone, Intake

BODY = b'{"order": 7}'


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with serving(
        tmp_path_factory.mktemp("hostile"),
        github(rate=10_000_000),
        Endpoint("bearer", scheme="bearer", connection="secret", rate=10_000_000),
        bounds=Bounds(bytes_at_once=4 * 1024 * 1024),
    ) as found:
        yield found


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One that waits for the end of a request for less than a busy machine may need to send it."""
    bounds = Bounds(seconds=0.3)
    with serving(tmp_path_factory.mktemp("hasty"), github(rate=10_000_000), bounds=bounds) as found:
        yield found


def head(*lines: str, name: str = "orders", method: str = "POST", signed: bytes | None = None) -> bytes:
    proof = [f"{key}: {text}" for key, text in signed_headers(signed).items()] if signed is not None else []
    start = [f"{method} {PATH}{name} HTTP/1.1", "Host: hooks"]
    return "\r\n".join([*start, *proof, *lines, "", ""]).encode()


def status(answer: bytes) -> int:
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer[9:12])


def still_works(served: Served) -> None:
    # At once, so that its end is there when a receiver that waits for little time begins to read it.
    lines = (f"Content-Length: {len(BODY)}", "Connection: close")
    assert status(served.raw(head(*lines, signed=BODY) + BODY)) == 202


def test_a_gigabyte_that_is_announced_is_not_read(served: Served) -> None:
    answer = served.raw(head("Content-Length: 1000000000", signed=BODY), b"x" * 1000)
    assert status(answer) == 413
    assert b"connection: close" in answer
    still_works(served)


def test_a_gigabyte_in_chunks_is_read_up_to_the_bound(served: Served) -> None:
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    sent = 0

    def send(connection: socket.socket) -> None:
        nonlocal sent
        for _ in range(16_000):
            connection.sendall(chunk)
            sent += len(chunk)

    answer = served.raw(head("Transfer-Encoding: chunked"), then=send)
    assert sent < 64 * 1024 * 1024
    assert answer == b"" or status(answer) == 413  # a sender that does not listen may see the connection end only
    still_works(served)


def test_chunks_without_end_are_ended(hasty: Served) -> None:
    answer = hasty.raw(head("Transfer-Encoding: chunked", signed=BODY), b"c\r\n" + BODY + b"\r\n")
    assert status(answer) == 408
    still_works(hasty)


def test_a_body_that_drips_is_ended(hasty: Served) -> None:
    stop = threading.Event()

    def drip(connection: socket.socket) -> None:
        for byte in BODY * 100:
            connection.sendall(bytes([byte]))
            if stop.wait(0.01):
                return

    answer = hasty.raw(head(f"Content-Length: {len(BODY) * 100}", signed=BODY), then=drip)
    assert answer == b"" or status(answer) == 408
    still_works(hasty)


def test_a_drip_through_a_middleware_is_ended_too(tmp_path: Path) -> None:
    async def passing(request: Any, call_next: Callable[[Any], Any]) -> Any:
        return await call_next(request)

    def wrap(app: Any) -> Any:
        return BaseHTTPMiddleware(app, dispatch=passing)

    with serving(tmp_path, github(), bounds=Bounds(seconds=0.2), wrap=wrap) as served:
        assert status(served.raw(head("Content-Length: 100", signed=BODY), b"x")) == 408
        still_works(served)


def test_a_head_that_drips_is_ended(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as hasty:
        hasty.setattr(httpserver, "HEAD_SECONDS", 0.2)
        assert status(served.raw(b"POST /flowmate/hooks/orders HT")) == 408
        assert status(served.raw(b"")) == 408
    still_works(served)


def test_large_bodies_that_fill_the_room_keep_out_no_small_one() -> None:
    async def act() -> None:
        intake = Intake(Bounds(bytes_at_once=100_000))
        is_over = asyncio.Event()

        def body(size: int, *, waits: bool = False) -> Callable[[], Awaitable[Any]]:
            pieces = [{"type": "http.request", "body": b"x" * size, "more_body": waits}]

            async def receive() -> Any:
                if not pieces:
                    await is_over.wait()
                    return {"type": "http.disconnect"}
                return pieces.pop()

            return receive

        slow = [asyncio.ensure_future(intake.body((), body(50_000, waits=True), 2**20)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Refused) as caught:
            await intake.body((), body(50_000), 2**20)
        assert caught.value.answer.status == 503
        assert len(await intake.body((), body(1000), 2**20)) == 1000
        is_over.set()
        assert [type(error) for error in await asyncio.gather(*slow, return_exceptions=True)] == [Gone, Gone]
        assert len(await intake.body((), body(50_000), 2**20)) == 50_000

    asyncio.run(act())


def test_a_truncated_body_is_no_delivery(served: Served) -> None:
    before = len(served.kept(status=RECEIVED))
    with socket.create_connection(("127.0.0.1", served.port)) as connection:
        connection.sendall(head(f"Content-Length: {len(BODY) + 10}", signed=BODY) + BODY)
        connection.shutdown(socket.SHUT_WR)
        assert b"202" not in received(connection)
    still_works(served)
    assert len(served.kept(status=RECEIVED)) == before + 1


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([f"X-Long: {'x' * 1_000_000}"], {431}),
        ([f"X-Long: {'x' * 70_000}"], {431}),
        ([f"X-{number}: 1" for number in range(200)], {431}),
        (["X-Hub-Signature-256: sha256=00"], {400}),
        (["Content-Type: text/plain"], {400}),
        (["Content-Length: 12", "Content-Length: 12"], {400}),
        (["Content-Length: 12", "Transfer-Encoding: chunked"], {400}),
        (["Content-Length: -1"], {400}),
        (["Content-Length: 1_2"], {400}),
        (["Content-Length: 12", "Content-Encoding: gzip"], {415}),
        (["Content-Length: 12", "Content-Encoding: gzip", "Content-Encoding: identity"], {400}),
        (["X-\xff: 1"], {400}),
    ],
)
def test_heads_that_are_refused(served: Served, lines: list[str], expected: set[int]) -> None:
    assert status(served.raw(head(*lines, "Connection: close", signed=BODY) + BODY)) in expected
    still_works(served)


def test_a_header_without_end_is_not_kept_in_memory(served: Served) -> None:
    sent = 0

    def send(connection: socket.socket) -> None:
        nonlocal sent
        for _ in range(10_000):
            connection.sendall(b"x" * 65536)
            sent += 65536

    answer = served.raw(b"POST /flowmate/hooks/orders HTTP/1.1\r\nX-Long: ", then=send)
    assert answer == b"" or status(answer) == 431
    assert sent < 64 * 1024 * 1024
    still_works(served)


def test_bodies_take_up_a_bounded_room_together(served: Served) -> None:
    body = b'"%b"' % (b"x" * 999_998)
    most, rest = head("Content-Length: 1000000", "Connection: close", signed=body) + body[:900_000], body[900_000:]
    connections = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(8)]
    try:
        for connection in connections:
            with suppress(BrokenPipeError, ConnectionResetError):  # it may be refused before its end
                connection.sendall(most)
        refused: list[socket.socket] = []
        while len(refused) < 4:  # there is room for four
            refused = select.select(connections, [], [], 60)[0]
            assert refused
        assert [status(received(connection)) for connection in refused] == [503] * 4
        waiting = [connection for connection in connections if connection not in refused]
        for connection in waiting:
            connection.sendall(rest)
        assert [status(received(connection)) for connection in waiting] == [202] * 4
    finally:
        for connection in connections:
            connection.close()
    still_works(served)


def test_a_thousand_clients_at_once(tmp_path: Path) -> None:
    async def one(port: int, number: int) -> int:
        body = b'{"n": %d}' % number
        reader, writing = await asyncio.open_connection("127.0.0.1", port)
        writing.write(head(f"Content-Length: {len(body)}", "Connection: close", signed=body) + body)
        answer = await reader.read()
        writing.close()
        return status(answer)

    async def all_at_once(port: int) -> list[int]:
        return await asyncio.gather(*(one(port, number) for number in range(1000)))

    with serving(tmp_path, github()) as served:
        assert asyncio.run(all_at_once(served.port)) == [202] * 1000
        assert len(served.kept()) == 1000


def test_more_requests_at_once_than_are_taken(tmp_path: Path) -> None:
    with serving(tmp_path, github(), bounds=Bounds(requests_at_once=2, seconds=60)) as served:
        slow = [socket.create_connection(("127.0.0.1", served.port), timeout=60) for _ in range(2)]
        for connection in slow:
            connection.sendall(head("Content-Length: 12", "Expect: 100-continue", signed=BODY))
            assert connection.recv(100).startswith(b"HTTP/1.1 100")  # it is being read
        assert served.signed(BODY).status == 503
        for connection in slow:
            connection.sendall(BODY)
            assert b" 202 " in connection.recv(1000)
            connection.close()
        still_works(served)


def test_pipelined_requests_are_answered_in_order(served: Served) -> None:
    one = head(f"Content-Length: {len(BODY)}", signed=BODY) + BODY
    wrong = head(f"Content-Length: {len(BODY)}", "Connection: close") + BODY
    answer = served.raw(one + one + wrong)
    assert [answer.count(b"HTTP/1.1 202"), answer.count(b"HTTP/1.1 401")] == [2, 1]


def test_who_is_refused_cannot_tell_by_the_time(served: Served) -> None:
    def spent(name: str) -> float:
        began = time.monotonic()
        assert served.post(name, BODY, signed_headers(BODY, "wrong")).status == 401
        return time.monotonic() - began

    # Not before the next multiple of 50 ms: what happens within is hidden.
    assert min(spent(name) for name in ("orders", "nothing-here", "orders/token", "nothing-here/token")) >= 0.05


def test_no_secret_of_an_address_is_logged_by_those_around(tmp_path: Path) -> None:
    paths: list[str] = []

    class Logged:
        def __init__(self, app: Any) -> None:
            self.app = app

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            await self.app(scope, receive, send)
            if scope["type"] == "http":
                paths.append(f"{scope['path']} {scope['query_string'].decode()}")

    with serving(tmp_path, github(), wrap=Logged) as served:
        for name in (
            "orders/t0ken",
            "nothing/t0ken/",
            "%/t0ken",
            "orders/a/t0ken",
            "orders/a/t0ken/b",
            "orders?key=t0ken",
        ):
            served.post(name, BODY)
    assert [path.removeprefix(PATH) for path in paths] == [
        "orders/*** ",
        "nothing/*** ",
        "/*** ",
        "orders/*** ",
        "/*** ",
        "orders ***",
    ]


def test_a_store_that_is_down_means_503_until_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "FIRST_PAUSE", 0.05)
    monkeypatch.setattr(writer, "LONGEST_PAUSE", 0.05)
    url = f"sqlite:///{tmp_path / 'store.db'}"
    is_down = threading.Event()

    def opening() -> Store:
        if is_down.is_set():
            raise StoreError("the store does not answer", transient=True)
        return open_store(url)

    with serving(tmp_path, github(), opening=opening) as served:
        still_works(served)
        is_down.set()
        for _ in range(5):
            answer = served.signed(BODY)
            assert (answer.status, answer.body) == (503, b"")
            assert int(answer.headers["retry-after"]) >= 1
        is_down.clear()
        end = time.monotonic() + 60
        while served.signed(BODY).status != 202:
            assert time.monotonic() < end
        assert len(served.kept()) == 2
    assert any("are not stored" in record.message for record in caplog.records if record.levelno == logging.ERROR)


def test_a_fault_of_ours_tells_nothing(
    served: Served, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr("flowmate_airflow.webhooks.receiver.deliveries_of", fail)
    answer = served.signed(BODY)
    assert (answer.status, answer.body) == (500, b"")
    assert "RuntimeError at " in caplog.text
    assert SECRET not in caplog.text


def test_another_path_is_not_found(served: Served) -> None:
    assert status(served.raw(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == 404
    assert status(served.raw(b"GET /flowmate/hooksorders HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")) == 404


KINDS = [
    "application/json",
    "text/xml",
    "text/plain",
    "application/x-www-form-urlencoded",
    "application/cloudevents+json",
]
KINDS += [
    "multipart/form-data; boundary=x",
    "application/cloudevents-batch+json",
    "image/png",
    "",
    ";",
    "a/b; charset=x",
]
LATIN = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f"), max_size=30)
NAMES = st.sampled_from(
    ["orders", "bearer", "bearer/token", "nothing-here", "", "a/b/c", "%00", "%ff", "..", "orders//"]
)
METHODS = st.sampled_from(["POST", "GET", "HEAD", "OPTIONS", "PUT", "PATCH", "DELETE", "TRACE"])
HEADERS = st.sampled_from(
    ["ce-id", "ce-specversion", "ce-source", "ce-type", "webhook-request-origin", "x-hub-signature-256", "x-any"]
)


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    method=METHODS,
    name=NAMES,
    query=st.text(alphabet="ab=&%c3fZ+", max_size=20),
    kind=st.sampled_from(KINDS),
    more=st.dictionaries(HEADERS, LATIN, max_size=4),
    body=st.binary(max_size=60) | st.sampled_from([b"{}", b"[]", b"<a/>", b'{"specversion": "1.0"}']),
    is_signed=st.booleans(),
)
def test_no_request_makes_the_receiver_fail(
    served: Served,
    method: str,
    name: str,
    query: str,
    kind: str,
    more: dict[str, str],
    body: bytes,
    is_signed: bool,
) -> None:
    proof = {**signed_headers(body), "Authorization": f"Bearer {SECRET}"} if is_signed else {}
    headers = {**proof, **more, "Content-Type": kind}
    lines = [f"{key}: {text}" for key, text in headers.items()]
    start = f"{method} {PATH}{name}{'?' + query if query else ''} HTTP/1.1"
    raw = "\r\n".join([start, "Host: x", *lines, f"Content-Length: {len(body)}", "Connection: close", "", ""])
    answer = served.raw(raw.encode("latin-1") + body)
    assert status(answer) < 500
    assert b"cache-control: no-store" in answer or status(answer) == 400


@settings(deadline=None, max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=300), st.sampled_from([b"", b"POST /flowmate/hooks/orders HTTP/1.1\r\n"]))
def test_no_bytes_make_the_receiver_fail(served: Served, noise: bytes, start: bytes) -> None:
    def end(connection: socket.socket) -> None:
        connection.shutdown(socket.SHUT_WR)

    answer = served.raw(start + noise, then=end)
    assert answer == b"" or status(answer) < 500
