"""Answers to requests, ready to be sent."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from flowmate_airflow.webhooks.requests import Reply

Scope: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Header: TypeAlias = tuple[bytes, bytes]

# No answer may be kept by a cache, or be taken for a page of Airflow's by a browser: a flow answers what it likes.
_ALWAYS: tuple[Header, ...] = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; sandbox"),
)
_ALWAYS_NAMES = frozenset(name for name, _ in _ALWAYS)
_SAFE = re.compile(r"[\t\x20-\x7e\x80-\xff]{0,8192}")
_MAY_HAVE_NO_BODY = frozenset({204, 304})
_CLOSES = (("connection", "close"),)
TEXT = "text/plain; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with."""

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""

    async def send(self, send: Send) -> None:
        """Send it."""
        await send({"type": "http.response.start", "status": self.status, "headers": list(self.headers)})
        await send({"type": "http.response.body", "body": self.body})


class Refused(Exception):
    """The request is answered with a refusal."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


def answer(
    status: int,
    body: bytes = b"",
    content_type: str | None = None,
    headers: tuple[tuple[str, str], ...] = (),
) -> Answer:
    """Return an answer.

    :param headers: further ones; one that could not be sent is left out
    """
    if status in _MAY_HAVE_NO_BODY:
        body, content_type = b"", None
    sent = [*_ALWAYS]
    if status not in _MAY_HAVE_NO_BODY:
        sent.append((b"content-length", str(len(body)).encode()))
    more = (("content-type", content_type),) if content_type else ()
    for name, text in (*more, *headers):
        if _SAFE.fullmatch(text) and name.encode() not in _ALWAYS_NAMES:
            sent.append((name.encode(), text.encode("latin-1")))
    return Answer(status, tuple(sent), body)


def of_reply(reply: Reply) -> Answer:
    """Return the answer of a scheme."""
    return answer(reply.status, reply.body, reply.content_type, reply.headers)


def explained(status: int, text: str, *, closes: bool = False) -> Answer:
    """Return an answer that says what is wrong with the request.

    :param closes: what is left of the request is not read
    """
    return answer(status, f"{text}\n".encode(), TEXT, _CLOSES if closes else ())


def later(seconds: float, status: int = 503, *, closes: bool = False) -> Answer:
    """Return the answer that asks to come again."""
    more = _CLOSES if closes else ()
    return answer(status, headers=(("retry-after", str(max(1, math.ceil(seconds)))), *more))


DENIED = answer(401)
"""The one answer to whoever is not let in, whatever the reason."""
FAILED = answer(500)
