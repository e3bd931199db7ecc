"""The heads of HTTP/1.1's requests and answers, read strictly: what two parsers could take differently is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal
from urllib.parse import urlsplit

from flowmate_airflow.runtimes.egress.rules import host_and_port

MAX_HEAD = 64 * 1024
END = b"\r\n\r\n"

Headers = list[tuple[bytes, bytes]]

_REQUEST = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([\x21-\x7e]{1,32768}) HTTP/1\.[01]")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5][0-9][0-9])(?: [^\r\n\0]*)?")
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)")
_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"upgrade",
    }
)


class BadHead(Exception):
    """A head is refused; the text says why."""


@dataclass(frozen=True, slots=True)
class RequestHead:
    """A request to the proxy.

    :param name: of the host, as `host_name` returns it
    :param forwarded: the head to send on; empty for `CONNECT`
    :param body: how long the body is: a number of bytes, or in chunks
    """

    method: str
    name: str
    port: int
    forwarded: bytes
    body: int | Literal["chunked"]

    @property
    def is_connect(self) -> bool:
        """Whether bytes are to be passed on in both directions, whatever they mean."""
        return self.method == "CONNECT"


def request_head(head: bytes) -> RequestHead:
    """Read the head of a request, which ends with an empty line.

    :raises BadHead: it is none, or one that could be taken in two ways
    """
    line, headers = _parts(head)
    found = _REQUEST.fullmatch(line)
    if found is None:
        raise BadHead("this is no request of HTTP/1.1")
    method, target = found[1].decode(), found[2].decode()
    try:
        if method == "CONNECT":
            name, port = host_and_port(target)
            _check_host(headers, name, port, port)
            return RequestHead(method, name, port, b"", 0)
        return _absolute(method, target, headers)
    except ValueError as error:
        raise BadHead(str(error)) from None


def answer_head(head: bytes) -> tuple[int, bytes]:
    """Return the status of an answer, and its head with what only concerns the connection left out.

    :raises BadHead: it is no head of an answer
    """
    line, headers = _parts(head)
    found = _STATUS.fullmatch(line)
    if found is None:
        raise BadHead("it answered something other than HTTP/1.1")
    status = int(found[1])
    kept = _end_to_end(headers)
    if status >= 200:
        kept.append((b"Connection", b"close"))
    return status, _joined(line, kept)


def _absolute(method: str, target: str, headers: Headers) -> RequestHead:
    url = urlsplit(target)
    if url.scheme.lower() == "https":
        raise BadHead("https goes through the proxy by CONNECT")
    if url.scheme.lower() != "http" or not url.netloc:
        raise BadHead("this is a proxy: it takes CONNECT, and addresses that begin with http://")
    if "@" in url.netloc:
        raise BadHead("an address must not hold a user")
    name, port = host_and_port(url.netloc, 80)
    _check_host(headers, name, port, 80)
    body = _body(headers)
    kept = [pair for pair in _end_to_end(headers) if pair[0].lower() != b"host"]
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    line = f"{method} {path} HTTP/1.1".encode()
    return RequestHead(
        method, name, port, _joined(line, [(b"Host", url.netloc.encode()), *kept, (b"Connection", b"close")]), body
    )


def _check_host(headers: Headers, name: str, port: int, default: int) -> None:
    given = [value for key, value in headers if key.lower() == b"host"]
    if len(given) > 1:
        raise BadHead("the request has two headers Host")
    if given and host_and_port(given[0].decode("ascii", "replace"), default) != (name, port):
        raise BadHead("the header Host names another host than the address")


def _body(headers: Headers) -> int | Literal["chunked"]:
    lengths = [value for key, value in headers if key.lower() == b"content-length"]
    codings = [value.lower() for key, value in headers if key.lower() == b"transfer-encoding"]
    if len(lengths) + len(codings) > 1:
        raise BadHead("the request says in two ways how long its body is")
    if codings:
        if codings != [b"chunked"]:
            raise BadHead("the only transfer encoding that is passed on is chunked")
        return "chunked"
    if not lengths:
        return 0
    if not re.fullmatch(rb"[0-9]{1,18}", lengths[0]):
        raise BadHead("Content-Length is no number")
    return int(lengths[0])


def _parts(head: bytes) -> tuple[bytes, Headers]:
    line, *rest = head.removesuffix(END).split(b"\r\n")
    headers: Headers = []
    for text in rest:
        found = _HEADER.fullmatch(text)
        if found is None:
            raise BadHead("a line of the head is no header")
        headers.append((found[1], found[2].rstrip(b" \t")))
    return line, headers


def _end_to_end(headers: Headers) -> Headers:
    """Return the headers that are for the other end, not for this connection."""
    named = {
        name.strip().lower() for key, value in headers if key.lower() == b"connection" for name in value.split(b",")
    }
    # What says how long the body is goes on with the body, whatever the header Connection says.
    named -= {b"host", b"content-length", b"transfer-encoding"}
    return [pair for pair in headers if pair[0].lower() not in _HOP_BY_HOP | named]


def _joined(line: bytes, headers: Headers) -> bytes:
    return b"\r\n".join([line, *(key + b": " + value for key, value in headers)]) + END
