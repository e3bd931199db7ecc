"""Requests to public addresses only, whatever a name says."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import requests

from flowmate_airflow.net.addresses import is_public
from flowmate_airflow.net.deadline import Deadline
from flowmate_airflow.net.public import NotPublic, PublicAdapter

PUBLIC = """
1.1.1.1 8.8.8.8 100.63.255.255 100.128.0.1 172.15.0.1 172.32.0.1 193.99.144.80
2606:4700:4700::1111 2a00:1450:4001:82a::200e 2001:200::1
"""
NOT_PUBLIC = """
127.0.0.1 127.255.255.254 0.0.0.0 0.1.2.3 10.0.0.1 172.16.0.1 172.31.255.255 192.168.1.1
169.254.169.254 100.64.0.1 100.100.100.200 100.127.255.255 168.63.129.16 192.0.0.192
192.0.2.1 198.18.0.1 198.19.255.255 198.51.100.7 203.0.113.9 192.88.99.1
224.0.0.1 239.255.255.255 240.0.0.1 255.255.255.255
:: ::1 fe80::1 fe80::1%eth0 fc00::1 fd00:ec2::254 fec0::1 ff02::1 2001:db8::1
::ffff:8.8.8.8 ::ffff:127.0.0.1 ::ffff:0:127.0.0.1 ::127.0.0.1 64:ff9b::7f00:1 64:ff9b:1::1
2002:7f00:1:: 2002:808:808::1 2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:10::1
100::1 3fff::1 5f00::1 4000::1 localhost 1.1.1 0x7f000001 2130706433
"""


@pytest.mark.parametrize("address", PUBLIC.split())
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", [*NOT_PUBLIC.split(), "", "1.1.1.1 "])
def test_all_others_are_not(address: str) -> None:
    assert not is_public(address)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A socket that listens, and whose first connection is told about."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        server.settimeout(60)
        yield server


def _session(**options: Any) -> requests.Session:
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, PublicAdapter(**options))
    return session


def _resolve(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> None:
    def found(host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        names = addresses if not host[0].isdigit() and ":" not in host else (host,)
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", (name, port, 0, 0))
            if ":" in name
            else (socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port))
            for name in names
        ]

    monkeypatch.setattr(socket, "getaddrinfo", found)


def _nobody_came(server: socket.socket) -> bool:
    server.setblocking(False)
    try:
        server.accept()[0].close()
    except BlockingIOError:
        return True
    return False


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "0.0.0.0", "127.1", "0x7f.1", "2130706433", "[::ffff:127.0.0.1]", "127.0.0.1."]
)
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_ways_to_write_the_loopback_are_refused_before_anything_is_sent(
    listening: socket.socket, host: str, scheme: str
) -> None:
    with pytest.raises((NotPublic, requests.exceptions.RequestException)) as caught:
        _session().get(f"{scheme}://{host}:{listening.getsockname()[1]}/", timeout=60)
    assert _nobody_came(listening)
    if host in ("127.0.0.1", "localhost", "0.0.0.0", "[::ffff:127.0.0.1]"):
        assert caught.type is NotPublic


def test_a_name_that_leads_to_the_loopback_is_refused_at_connect(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    _resolve(monkeypatch, "127.0.0.1", "::1", "10.1.2.3")
    with pytest.raises(NotPublic, match=r"rebind\.example has no address on the public internet"):
        _session().get(f"http://rebind.example:{listening.getsockname()[1]}/", timeout=60)
    assert _nobody_came(listening)


def test_of_a_names_addresses_only_the_public_ones_are_tried(
    listening: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def connect(address: tuple[str, int], *_: Any) -> socket.socket:
        tried.append(address[0])
        raise ConnectionRefusedError(111, "Connection refused")

    _resolve(monkeypatch, "127.0.0.1", "1.1.1.1", "fd00::1", "2606:4700:4700::1111")
    monkeypatch.setattr("flowmate_airflow.net.public.create_connection", connect)
    with pytest.raises(requests.ConnectionError):
        _session().get("http://both.example/", timeout=60)
    assert tried == ["1.1.1.1", "2606:4700:4700::1111"]


def test_who_answers_is_checked_too(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine may lead public addresses to itself."""
    port = listening.getsockname()[1]
    _resolve(monkeypatch, "1.1.1.1")
    monkeypatch.setattr(
        "flowmate_airflow.net.public.create_connection", lambda *_: socket.create_connection(("127.0.0.1", port))
    )
    with pytest.raises(NotPublic):
        _session().get(f"http://public.example:{port}/", timeout=60)
    connection, _ = listening.accept()
    with connection:
        assert connection.recv(1) == b""


def test_a_proxy_of_the_environment_is_not_used(listening: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = f"http://127.0.0.1:{listening.getsockname()[1]}"
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy)
    for url in ("http://10.0.0.1/", "https://10.0.0.1/"):
        with pytest.raises(NotPublic):
            _session().get(url, timeout=60)
        with pytest.raises(NotPublic):
            _session().get(url, timeout=60, proxies={"http": proxy, "https": proxy})
    assert _nobody_came(listening)


def test_a_redirect_into_the_private_network_is_refused(listening: socket.socket) -> None:
    """Also where somebody lets requests follow redirects: each connection is checked."""
    inner = PublicAdapter()
    session = _session()
    first = listening.getsockname()
    session.mount(f"http://127.0.0.1:{first[1]}/", PublicAdapter(allow_private=True))
    session.mount("http://127.0.0.1:1/", inner)

    def redirect() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n")

    thread = threading.Thread(target=redirect)
    thread.start()
    with pytest.raises(NotPublic):
        session.get(f"http://127.0.0.1:{first[1]}/", timeout=60)
    thread.join(60)


def test_a_private_address_is_reached_where_it_is_allowed(listening: socket.socket) -> None:
    def answer() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    thread = threading.Thread(target=answer)
    thread.start()
    url = f"http://localhost:{listening.getsockname()[1]}/"
    assert _session(allow_private=True).get(url, timeout=60).status_code == 204
    thread.join(60)


def test_a_deadline_ends_an_answer_that_never_does(listening: socket.socket) -> None:
    is_cut = threading.Event()

    def drip() -> None:
        connection, _ = listening.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
            while not is_cut.wait(0.01):
                try:
                    connection.sendall(b"a")
                except OSError:
                    return

    thread = threading.Thread(target=drip)
    thread.start()
    with Deadline(0.1) as deadline:
        session = _session(allow_private=True, opened=deadline.watch)
        with suppress(requests.RequestException):  # or what had come by then counts as the whole answer
            session.get(f"http://127.0.0.1:{listening.getsockname()[1]}/", timeout=60)
        assert deadline.is_over
    is_cut.set()
    thread.join(60)


def test_a_connection_that_comes_after_the_deadline_is_cut_at_once(listening: socket.socket) -> None:
    with Deadline(0.001) as deadline, socket.create_connection(listening.getsockname()) as late:
        deadline._timer.join(60)
        deadline.watch(late)
        assert late.recv(1) == b""
