"""What stands around every request for links: headers, nothing secret in logs, and no error that tells too much."""

from __future__ import annotations

import logging
import traceback
from typing import Any

from fastapi import HTTPException
from fastapi.responses import JSONResponse, PlainTextResponse
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

MAX_BODY = 2 * 1024 * 1024
_MASKED = "***"
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    # To our own pages only: with `no-referrer` browsers do not say where a form was sent from, either.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
_STORED_NOWHERE = "no-store"


class Guard:
    """An ASGI app around another.

    :param app: the other
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        inner = dict(scope)
        _mask(scope)
        has_begun = False

        async def guarded(message: Message) -> None:
            nonlocal has_begun
            if message["type"] == "http.response.start":
                has_begun = True
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("cache-control", _STORED_NOWHERE)
            await send(message)

        length = Headers(scope=inner).get("content-length", "0")
        try:
            if length.isdecimal() and int(length) > MAX_BODY:
                await JSONResponse({"error": _too_large()}, 413)(inner, receive, guarded)
                return
            await self._app(inner, _bounded(receive), guarded)
        except Exception as error:
            # Its text could hold values of the request.
            place = traceback.extract_tb(error.__traceback__)[-1]
            log.error("a request for links failed: %s at %s:%s", type(error).__name__, place.filename, place.lineno)
            if not has_begun:
                await PlainTextResponse("Something went wrong here; the server's log says where.", 500)(
                    inner, receive, guarded
                )


def _mask(scope: Any) -> None:
    """Let those who log an address when it has been answered see no token, code or state in it."""
    root: str = scope.get("root_path", "")
    path = scope["path"].removeprefix(root).lstrip("/")
    for secret in ("connect/", "links/callback/"):
        if path.startswith(secret):
            scope["path"] = f"{root}/{secret}{_MASKED}"
            scope["raw_path"] = scope["path"].encode()
            scope["query_string"] = _MASKED.encode() if scope["query_string"] else b""


def _bounded(receive: Receive) -> Receive:
    """Return what receives a request whose body is not too large."""
    left = MAX_BODY

    async def received() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise HTTPException(413, _too_large())
        return message

    return received


def _too_large() -> str:
    return f"the body is larger than {MAX_BODY:,} bytes"
