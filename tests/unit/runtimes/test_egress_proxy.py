"""The proxy of one step: what it passes on, and clients and names that want to get elsewhere."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from egress_pair import Pair, all_of, run

from flowmate_airflow.runtimes.egress import proxy as proxy_module
from flowmate_airflow.runtimes.egress import reaching
from flowmate_airflow.runtimes.egress.proxy import Proxy
from flowmate_airflow.runtimes.egress.rules import Egress, hosts_of
from flowmate_airflow.runtimes.egress.tunnel import Channel

LOG = logging.getLogger("test.egress")
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Upstream:
    """A server on the loopback, with what it was sent."""

    def __init__(self, serve: Serve | None = None) -> None:
        self.port = 0
        self.got: list[bytes] = []
        self._serve = serve or self._answer

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.got.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(ANSWER)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, EOFError):
            await self._serve(reader, writer)
        writer.close()


@asynccontextmanager
async def _upstream(serve: Serve | None = None) -> Any:
    upstream = Upstream(serve)
    server = await asyncio.start_server(upstream._take, "127.0.0.1", 0)
    upstream.port = server.sockets[0].getsockname()[1]
    async with server:
        yield upstream


async def _opened(egress: Egress, target: bytes = b"") -> tuple[Channel, asyncio.Task[None]]:
    tasks: list[asyncio.Task[None]] = []
    proxy = Proxy(egress, LOG)
    pair = Pair(lambda channel: tasks.append(asyncio.ensure_future(proxy.serve(channel))))
    return await pair.near.open(target), tasks[0]


async def _ask(egress: Egress, request: bytes, target: bytes = b"") -> bytes:
    """Return what the proxy answers, and see that it is done with the connection then."""
    channel, task = await _opened(egress, target)
    await channel.write(request)
    found = await all_of(channel)
    await channel.end()
    await task
    return found


def _private(*patterns: str) -> Egress:
    return Egress("shop", hosts_of(patterns), private=True)


def test_connect_passes_on_both_directions_with_their_ends() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        everything = await reader.read(-1)  # until the other side has ended
        writer.write(everything[::-1])

    async def main() -> None:
        async with _upstream(echo) as upstream:
            host = f"127.0.0.1:{upstream.port}"
            channel, task = await _opened(_private(host))
            # What follows the head at once belongs to the connection.
            await channel.write(f"CONNECT {host} HTTP/1.1\r\nHost: {host}\r\n\r\nabc".encode())
            await channel.write(b"d" * 300_000)
            await channel.end()
            assert await all_of(channel) == b"HTTP/1.1 200 Connection established\r\n\r\n" + b"d" * 300_000 + b"cba"
            await task

    run(main)


def test_a_connection_with_a_target_needs_no_http() -> None:
    async def main() -> None:
        async with _upstream() as upstream:
            target = f"127.0.0.1:{upstream.port}"
            channel, task = await _opened(_private(target), target.encode())
            await channel.write(b"GET / HTTP/1.0\r\n\r\n")
            await channel.end()
            assert await all_of(channel) == ANSWER
            await task

    run(main)


@pytest.mark.parametrize("target", [b"evil.example:443", b"127.0.0.1:1", b"shop.example", b"\xff:1", b"a" * 300])
def test_a_target_that_is_not_listed_is_broken_off(target: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        assert await _ask(_private("shop.example"), b"", target) == b"RESET"

    run(main)
    assert ("which is not among the hosts" in caplog.text) is (target in (b"evil.example:443", b"127.0.0.1:1"))


def test_plain_http_is_passed_on_without_what_is_for_the_proxy() -> None:
    async def main() -> None:
        async with _upstream() as upstream:
            host = f"127.0.0.1:{upstream.port}"
            # A second request after the first is not read: it could be for another host.
            request = f"GET http://{host}/a?b=1 HTTP/1.1\r\nHost: {host}\r\nProxy-Authorization: Basic eA==\r\n\r\n"
            answer = await _ask(_private(host), request.encode() + b"GET http://evil.example/ HTTP/1.1\r\n\r\n")
            assert answer == b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"
            assert upstream.got == [f"GET /a?b=1 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()]

    run(main)


@pytest.mark.parametrize(
    ("head", "body", "arrives"),
    [
        ("Content-Length: 200000", b"x" * 200_000, b"x" * 200_000),
        ("Transfer-Encoding: chunked", b"3;a=b\r\nabc\r\n0\r\n\r\n", b"3\r\nabc\r\n0\r\n\r\n"),
        ("Transfer-Encoding: chunked", b"30d40\r\n" + b"x" * 200_000 + b"\r\n0\r\n\r\n", None),
    ],
)
def test_bodies_are_passed_on(head: str, body: bytes, arrives: bytes | None) -> None:
    arrives = body if arrives is None else arrives
    got: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        got.append(await reader.readexactly(len(arrives)))
        writer.write(ANSWER)

    async def main() -> None:
        async with _upstream(take) as upstream:
            host = f"127.0.0.1:{upstream.port}"
            answer = await _ask(_private(host), f"POST http://{host}/ HTTP/1.1\r\n{head}\r\n\r\n".encode() + body)
            assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")
            assert got == [arrives]

    run(main)


@pytest.mark.parametrize(
    "body", [b"zz\r\n", b"-3\r\n", b"3\r\nabcd\r\n", b"0\r\nHost: evil.example\r\n\r\n", b"0_3\r\nabc"]
)
def test_a_body_in_broken_chunks_never_looks_whole(body: bytes) -> None:
    whole: list[bytes] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        whole.append(await reader.readuntil(b"0\r\n\r\n"))

    async def main() -> None:
        async with _upstream(take) as upstream:
            host = f"127.0.0.1:{upstream.port}"
            head = f"POST http://{host}/ HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
            assert (await _ask(_private(host), head + body)).startswith(b"HTTP/1.1 502 ")
            assert whole == []

    run(main)


@pytest.mark.parametrize(
    "given",
    [b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"", b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000 + b"\r\n\r\n"],
)
def test_an_answer_that_is_none_is_told(given: bytes) -> None:
    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(given)

    async def main() -> None:
        async with _upstream(take) as upstream:
            host = f"127.0.0.1:{upstream.port}"
            answer = await _ask(_private(host), f"GET http://{host}/ HTTP/1.1\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 502 Bad Gateway: 127.0.0.1 did not answer as HTTP/1.1 wants it\r\n")

    run(main)


def test_what_is_not_listed_is_refused_and_told_once(caplog: pytest.LogCaptureFixture) -> None:
    sentence = (
        "the connector asked for evil.example:443, which is not among the hosts of shop's manifest (api.shop.example)"
    )

    async def main() -> None:
        proxy = Proxy(Egress("shop", hosts_of(["api.shop.example"])), LOG)
        tasks: list[asyncio.Task[None]] = []
        pair = Pair(lambda channel: tasks.append(asyncio.ensure_future(proxy.serve(channel))))
        for host in ("evil.example:443", "EVIL.example.:443"):
            channel = await pair.near.open(b"")
            await channel.write(f"CONNECT {host} HTTP/1.1\r\n\r\n".encode())
            answer = await all_of(channel)
            assert answer.startswith(f"HTTP/1.1 403 Forbidden: {sentence}\r\n".encode())
            assert answer.endswith(f"\r\n\r\n{sentence}\n".encode())
            await channel.end()
        await asyncio.gather(*tasks)

    run(main)
    assert caplog.messages == [sentence]


def test_the_log_tells_some_refused_hosts_only(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        proxy = Proxy(Egress("shop", ()), LOG)
        for number in range(60):
            tasks: list[asyncio.Task[None]] = []
            pair = Pair(lambda channel, tasks=tasks: tasks.append(asyncio.ensure_future(proxy.serve(channel))))
            await pair.near.open(f"h{number}.example:443".encode())
            await tasks[0]

    run(main)
    assert len(caplog.messages) == proxy_module.MAX_TOLD + 1
    assert caplog.messages[-1].startswith("the connector asked for more hosts")


@pytest.mark.parametrize(
    "head",
    [b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\r\n\r\n", b"CONNECT a.example:443 HTTP/1.1\r\nHost: b:443\r\n\r\n"],
)
def test_what_is_no_request_to_a_proxy_gets_a_reason(head: bytes) -> None:
    async def main() -> None:
        answer = await _ask(_private("a.example"), head)
        assert answer.startswith(b"HTTP/1.1 400 Bad Request: ")

    run(main)


def test_a_huge_head_is_refused_before_it_is_all_there() -> None:
    async def main() -> None:
        channel, task = await _opened(_private("a.example"))
        await channel.write(b"GET http://a.example/ HTTP/1.1\r\nX: " + b"a" * 70_000)
        assert (await all_of(channel)).startswith(
            b"HTTP/1.1 400 Bad Request: a head or line is longer than 65,536 bytes"
        )
        await channel.end()
        await task

    run(main)


def test_a_head_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "HEAD_SECONDS", 0.1)

    async def main() -> None:
        channel, task = await _opened(_private("a.example"))
        await channel.write(b"GET http://a.exam")
        assert (await all_of(channel)).startswith(b"HTTP/1.1 408 Request Timeout: ")
        await task  # also when the client never ends its side

    run(main)


def test_an_answer_that_never_begins_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_module, "ANSWER_SECONDS", 0.1)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    async def main() -> None:
        async with _upstream(silent) as upstream:
            host = f"127.0.0.1:{upstream.port}"
            answer = await _ask(_private(host), f"GET http://{host}/ HTTP/1.1\r\n\r\n".encode())
            assert answer.startswith(b"HTTP/1.1 504 Gateway Timeout: 127.0.0.1 did not answer in 0.1 seconds")

    run(main)


# --- names and addresses


def _names(monkeypatch: pytest.MonkeyPatch, found: dict[str, list[str]]) -> list[str]:
    """Let names lead to addresses, and return where is connected to; nothing is."""
    tried: list[str] = []

    def getaddrinfo(host: str, port: int, *rest: Any, **more: Any) -> list[Any]:
        if host not in found:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [
            (socket.AF_INET6 if ":" in each else socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port))
            for each in found[host]
        ]

    async def connect(name: str, addresses: list[Any]) -> Any:
        tried.extend(address[0] for _, address in addresses)
        raise reaching.Unreachable("enough seen", 502)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(reaching, "_first", connect)
    return tried


PRIVATE = [
    "127.0.0.1",
    "10.0.0.1",
    "172.17.0.1",
    "192.168.1.1",
    "169.254.169.254",
    "100.100.100.200",
    "0.0.0.0",
    "::1",
    "fe80::1",
    "fd00:ec2::254",
    "::ffff:127.0.0.1",
    "64:ff9b::7f00:1",
]


@pytest.mark.parametrize("address", PRIVATE)
def test_a_listed_name_that_leads_to_a_private_address_is_refused(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = _names(monkeypatch, {"api.shop.example": [address]})

    async def main() -> None:
        answer = await _ask(
            Egress("shop", hosts_of(["api.shop.example"])), b"CONNECT api.shop.example:443 HTTP/1.1\r\n\r\n"
        )
        assert answer.startswith(b"HTTP/1.1 403 Forbidden: api.shop.example has no address on the public internet")

    run(main)
    assert tried == []


@pytest.mark.parametrize("host", ["2130706433", "0x7f000001", "0177.0.0.1", "127.1", "127.0.0.1", "[::1]", "localhost"])
def test_other_ways_to_write_an_address_are_not_listed(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = _names(monkeypatch, {})

    async def main() -> None:
        egress = Egress("shop", hosts_of(["api.shop.example", "*.example"]))
        for request in (f"CONNECT {host}:443 HTTP/1.1\r\n\r\n", f"GET http://{host}/ HTTP/1.1\r\n\r\n"):
            assert (await _ask(egress, request.encode())).startswith(
                b"HTTP/1.1 403 Forbidden: the connector asked for "
            )

    run(main)
    assert tried == []


def test_of_a_name_with_both_only_the_public_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = _names(monkeypatch, {"api.shop.example": ["127.0.0.1", "8.8.8.8", "::1", "2001:4860:4860::8888"]})

    async def main() -> None:
        await _ask(Egress("shop", hosts_of(["api.shop.example"])), b"CONNECT api.shop.example:443 HTTP/1.1\r\n\r\n")

    run(main)
    assert tried == ["8.8.8.8", "2001:4860:4860::8888"]


@pytest.mark.parametrize(
    ("address", "reached"),
    [
        ("10.0.0.1", True),
        ("127.0.0.1", True),
        ("fd00::1", True),
        ("169.254.169.254", False),
        ("fe80::1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("100.100.100.200", False),
        ("0.0.0.0", False),
    ],
)
def test_private_means_private_networks_but_no_metadata(
    address: str, reached: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = _names(monkeypatch, {"erp.example": [address], address: [address]})

    async def main() -> None:
        await _ask(_private("erp.example"), b"CONNECT erp.example:443 HTTP/1.1\r\n\r\n")
        assert tried == ([address] if reached else [])

    run(main)


def test_a_link_local_address_is_reached_where_it_is_listed_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = _names(monkeypatch, {"169.254.1.2": ["169.254.1.2"]})

    async def main() -> None:
        await _ask(_private("169.254.1.2"), b"CONNECT 169.254.1.2:443 HTTP/1.1\r\n\r\n")

    run(main)
    assert tried == ["169.254.1.2"]


def test_a_name_that_is_unknown_or_closed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        closed = server.getsockname()[1]

    async def main() -> None:
        answer = await _ask(_private(f"127.0.0.1:{closed}"), f"CONNECT 127.0.0.1:{closed} HTTP/1.1\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 502 Bad Gateway: 127.0.0.1 could not be connected to: ")
        _names(monkeypatch, {})
        answer = await _ask(_private("gone.example"), b"CONNECT gone.example:443 HTTP/1.1\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 502 Bad Gateway: the worker finds no address of gone.example")

    run(main)
