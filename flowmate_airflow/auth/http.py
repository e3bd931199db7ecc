"""Requests to providers: over TLS, to public addresses, without redirects, and bounded in size and time."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TypeAlias
from urllib.parse import urlsplit

import requests

from flowmate_airflow import __version__
from flowmate_airflow.auth.errors import LoginError
from flowmate_airflow.net.deadline import Deadline
from flowmate_airflow.net.public import NotPublic, PublicAdapter
from flowmate_airflow.steps.steplog import clean

SECONDS = 30.0
"""For the whole of a request."""
MAX_ANSWER = 1024 * 1024
"""Bytes of an answer, unpacked."""

Sign: TypeAlias = Callable[[requests.PreparedRequest], requests.PreparedRequest]
"""Adds to a request who sends it."""

_is_ours: ContextVar[bool] = ContextVar("flowmate_login_request", default=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Never shown: it may hold tokens.

    :param host: that was asked
    :param started: when the request began, in seconds since 1970
    """

    host: str
    status: int
    started: float
    headers: Mapping[str, str] = field(repr=False)
    cookies: Mapping[str, str] = field(repr=False)
    content: bytes = field(repr=False)

    @property
    def phrase(self) -> str:
        """The status in words."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return str(self.status)


def send(
    verb: str,
    url: str,
    *,
    private: bool,
    headers: Mapping[str, str] | None = None,
    params: Mapping[str, str] | None = None,
    body: bytes | str | None = None,
    sign: Sign | None = None,
    certificate: str | None = None,
) -> Answer:
    """Send a request and return the answer, whatever its status.

    :param private: the host may be in a private network, and need not speak TLS
    :param sign: adds who sends it
    :param certificate: of the client with its key, as PEM, to be shown
    :raises LoginError: there is no answer (`transient`), or no such request may be made (`config`)
    """
    host = _host(url, private=private)
    started = time.time()
    with Deadline(SECONDS) as deadline, _quiet(), _session(private, deadline) as session, _file(certificate) as cert:
        try:
            with session.request(
                verb,
                url,
                params=dict(params or {}),
                headers=_headers(headers),
                data=body,
                auth=sign or _as_it_is,
                cert=cert,
                timeout=SECONDS,
                allow_redirects=False,
                stream=True,
            ) as response:
                content = _content(response, host)
                cookies = {cookie.name: cookie.value or "" for cookie in response.cookies}
                answer = Answer(host, response.status_code, started, response.headers, cookies, content)
        except LoginError:
            raise
        except NotPublic:
            raise LoginError(
                f"{host} has no address on the public internet; `private: true` in the manifest allows that"
            ) from None
        except Exception as error:  # requests lets through some of the errors of what it is made of
            raise _late(host) if deadline.is_over else _failure(error, host) from None
        if deadline.is_over:
            raise _late(host)  # what was cut in the middle looks like a whole one
    if 300 <= answer.status < 400:
        raise LoginError(
            f"{host} answered {answer.phrase}; redirects are not followed, so the manifest must have the new address"
        )
    return answer


def _host(url: str, *, private: bool) -> str:
    """Return the host of an address, for people.

    :raises LoginError: it is none to send a credential to
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or "@" in parts.netloc or parts.scheme not in ("http", "https"):
        raise LoginError("the manifest's address is none that a request can be sent to")
    shown = clean(host, 200)
    if parts.scheme == "http" and not private:
        raise LoginError(f"{shown} is addressed without TLS, which goes with `private: true` only")
    return shown


def _headers(more: Mapping[str, str] | None) -> dict[str, str]:
    return {
        "User-Agent": f"FlowMate/{__version__}",
        "Accept": "application/json",
        "Connection": "close",
        **(more or {}),
    }


def _session(private: bool, deadline: Deadline) -> requests.Session:
    session = requests.Session()
    adapter = PublicAdapter(allow_private=private, opened=deadline.watch)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    return session


def _as_it_is(request: requests.PreparedRequest) -> requests.PreparedRequest:
    """Authenticate by nothing more: without this, requests would look for a password in the user's .netrc."""
    return request


def _content(response: requests.Response, host: str) -> bytes:
    found = bytearray()
    for piece in response.iter_content(64 * 1024):
        found += piece
        if len(found) > MAX_ANSWER:
            raise LoginError(f"{host} answered with more than {MAX_ANSWER // 1024:,} KiB", "transient")
    return bytes(found)


def _failure(error: Exception, host: str) -> LoginError:
    # The texts of requests hold the whole address, and what is in its query.
    if isinstance(error, requests.exceptions.SSLError):
        return LoginError(f"there is no trusted TLS connection to {host}; is its certificate valid?", "transient")
    if isinstance(error, requests.exceptions.Timeout):
        return _late(host)
    if isinstance(error, (requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        return LoginError(f"the connection to {host} failed", "transient")
    if isinstance(error, requests.exceptions.ContentDecodingError):
        return LoginError(f"{host} answered with what cannot be unpacked", "transient")
    return LoginError(f"no request can be made to {host} ({type(error).__name__}): a value may not do in a request")


def _late(host: str) -> LoginError:
    return LoginError(f"{host} did not answer within {SECONDS:.0f} s", "transient")


@contextmanager
def _file(certificate: str | None) -> Iterator[str | None]:
    """Keep a certificate with its key in a file that only we may read: TLS takes them from nowhere else."""
    if certificate is None:
        yield None
        return
    with tempfile.NamedTemporaryFile(mode="w", encoding="ascii", prefix="flowmate-", suffix=".pem") as file:
        file.write(certificate)
        file.flush()
        yield file.name


class _NotOurs(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_ours.get()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep libraries from logging, at level DEBUG, the address with its query, or what is signed."""
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)


for _name in ("urllib3.connectionpool", "requests_oauthlib.oauth1_auth", "oauthlib.oauth1.rfc5849"):
    logging.getLogger(_name).addFilter(_NotOurs())
