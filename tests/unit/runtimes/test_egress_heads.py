"""Heads of HTTP that a proxy must not take in two ways."""

from __future__ import annotations

import pytest

from flowmate_airflow.runtimes.egress.heads import BadHead, answer_head, request_head


def _head(*lines: str) -> bytes:
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        (["GET /path HTTP/1.1", "Host: a.example"], "this is a proxy"),
        (["GET https://a.example/ HTTP/1.1"], "https goes through the proxy by CONNECT"),
        (["GET ftp://a.example/ HTTP/1.1"], "this is a proxy"),
        (["GET http:///x HTTP/1.1"], "this is a proxy"),
        (["GET http://u:p@a.example/ HTTP/1.1"], "must not hold a user"),
        (["GET http://a.example:99999/ HTTP/1.1"], "is no port"),
        (["GET http://a.example HTTP/2"], "no request"),
        (["GET  http://a.example/ HTTP/1.1"], "no request"),
        (["GET http://a.example/\x00 HTTP/1.1"], "no request"),
        (["GET http://a.example\\@b.example/ HTTP/1.1"], "."),
        (["PRI * HTTP/2.0"], "no request"),
        (["GET http://a.example/ HTTP/1.1", "Host: b.example"], "another host"),
        (["GET http://a.example/ HTTP/1.1", "Host: a.example:8080"], "another host"),
        (["GET http://a.example/ HTTP/1.1", "Host: a.example", "Host: b.example"], "two headers Host"),
        (["GET http://a.example/ HTTP/1.1", "Host: a.example", "host: a.example"], "two headers Host"),
        (["GET http://a.example/ HTTP/1.1", "Host: a.example, b.example"], "."),
        (["CONNECT a.example:443 HTTP/1.1", "Host: b.example:443"], "another host"),
        (["CONNECT a.example HTTP/1.1"], "no port"),
        (["CONNECT http://a.example:443 HTTP/1.1"], "no host with a port"),
        (["CONNECT a.example:443@b.example:443 HTTP/1.1"], "no host with a port"),
        (["POST http://a.example/ HTTP/1.1", "Content-Length: 3", "Transfer-Encoding: chunked"], "in two ways"),
        (["POST http://a.example/ HTTP/1.1", "Content-Length: 3", "Content-Length: 4"], "in two ways"),
        (["POST http://a.example/ HTTP/1.1", "Transfer-Encoding: gzip, chunked"], "only transfer encoding"),
        (["POST http://a.example/ HTTP/1.1", "Transfer-Encoding: xchunked"], "only transfer encoding"),
        (["POST http://a.example/ HTTP/1.1", "Content-Length: +3"], "no number"),
        (["POST http://a.example/ HTTP/1.1", "Content-Length: 3, 3"], "no number"),
        (["GET http://a.example/ HTTP/1.1", " folded: x"], "no header"),
        (["GET http://a.example/ HTTP/1.1", "Host : a.example"], "no header"),
        (["GET http://a.example/ HTTP/1.1", "X: a\nHost: b.example"], "no header"),
        (["GET http://a.example/ HTTP/1.1", "X: a\rHost: b.example"], "no header"),
        (["", "GET http://a.example/ HTTP/1.1"], "no header|no request"),
    ],
)
def test_what_is_doubtful_is_refused(lines: list[str], why: str) -> None:
    with pytest.raises(BadHead, match=why):
        request_head(_head(*lines))


def test_what_concerns_the_proxy_only_stays_there() -> None:
    found = request_head(
        _head(
            "POST http://A.example:80/x?y=1 HTTP/1.1",
            "Host: a.example",
            "Proxy-Authorization: Basic c2VjcmV0",
            "Proxy-Connection: keep-alive",
            "Connection: keep-alive, X-Mine, Content-Length",
            "X-Mine: 1",
            "Upgrade: websocket",
            "Authorization: Bearer t",
            "Content-Length: 5",
        )
    )
    assert (found.name, found.port, found.body, found.is_connect) == ("a.example", 80, 5, False)
    assert found.forwarded == _head(
        "POST /x?y=1 HTTP/1.1",
        "Host: A.example:80",
        "Authorization: Bearer t",
        "Content-Length: 5",
        "Connection: close",
    )


def test_a_fragment_or_an_empty_path_is_written_as_servers_want_it() -> None:
    assert request_head(_head("GET http://a.example HTTP/1.1")).forwarded.startswith(b"GET / HTTP/1.1\r\n")


def test_connect_has_nothing_to_forward() -> None:
    found = request_head(_head("CONNECT [2001:db8::1]:443 HTTP/1.1", "Proxy-Authorization: Basic c2VjcmV0"))
    assert (found.name, found.port, found.forwarded, found.is_connect) == ("2001:db8::1", 443, b"", True)


def test_an_answer_ends_its_connection() -> None:
    given = _head("HTTP/1.1 200 OK", "Keep-Alive: timeout=5", "Connection: keep-alive", "Content-Length: 2")
    assert answer_head(given) == (200, _head("HTTP/1.1 200 OK", "Content-Length: 2", "Connection: close"))
    assert answer_head(_head("HTTP/1.1 100 Continue")) == (100, _head("HTTP/1.1 100 Continue"))
    with pytest.raises(BadHead):
        answer_head(_head("SSH-2.0-x"))
