"""The way back of a consent to this machine: a server on the loopback, for one login."""

from __future__ import annotations

import hmac
import os
import sys
import threading
import webbrowser
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from flowmate_airflow.cli.errors import CommandError

HOST = "127.0.0.1"
PATH = "/callback"
ANSWER_SECONDS = 60.0
"""How long the browser waits to hear how it ended."""
TOLD_SECONDS = 6.0
"""How long the command line waits until the browser has heard it."""
SECONDS = 600.0
"""How long a person has for the consent."""
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>FlowMate</title></head>
<body style="font-family: sans-serif; margin: 4em auto; max-width: 30em"><p>{text}</p></body></html>
"""
_DONE = "Thank you. You can close this window."
_FAILED = "It did not work; the command line says why. You can close this window."
_WRONG = "This is not the way back of the login that the command line waits for."


class Loopback:
    """A server for the way back of one login; a context. How that ends is what the browser shows.

    :param state: that the way back must have
    :param port: 0: any that is free
    :raises CommandError: the port is taken
    """

    def __init__(self, state: str, port: int = 0) -> None:
        self._state = state
        self._came, self._ended, self._answered = threading.Event(), threading.Event(), threading.Event()
        self._is_well = False
        self._query: dict[str, str] = {}
        self._lock = threading.Lock()
        try:
            self._server = _Server((HOST, port), _handler(self))
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CommandError(f"nothing can listen at {HOST}:{port}: {reason}; --port names another") from None
        self.redirect_uri = f"http://{HOST}:{self._server.server_port}{PATH}"

    def __enter__(self) -> Loopback:
        threading.Thread(target=self._server.serve_forever, name="flowmate-loopback", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_well = kind is None
        self._ended.set()
        if self._came.is_set():
            self._answered.wait(TOLD_SECONDS)  # the process may end next
        self._server.shutdown()
        self._server.server_close()

    def wait(self, seconds: float = SECONDS) -> Mapping[str, str]:
        """Return the query of the way back.

        :raises CommandError: nobody came in time
        """
        if not self._came.wait(seconds):
            raise CommandError(f"nobody has consented within {seconds / 60:g} minutes; nothing was changed")
        return self._query

    def take(self, query: str) -> bool:
        """Take the query of a request, and return whether it is the way back; then :meth:`ending` is to be shown."""
        pairs = parse_qsl(query, keep_blank_values=True)
        found = dict(pairs)
        is_it = len(found) == len(pairs) and hmac.compare_digest(
            found.get("state", "").encode(errors="surrogatepass"), self._state.encode()
        )
        with self._lock:
            if not is_it or self._came.is_set():  # it is good for once
                return False
            self._query = found
            self._came.set()
        return True

    def ending(self) -> str:
        """Return how the login has ended, once it has."""
        self._ended.wait(ANSWER_SECONDS)
        return _DONE if self._is_well else _FAILED

    def answered(self) -> None:
        """Say that the browser has been told."""
        self._answered.set()


def show(url: str, *, browser: bool) -> None:
    """Tell a person where to consent, and open it in their browser where there is one."""
    print(f"Open this address, and consent there:\n\n  {url}\n", file=sys.stderr, flush=True)
    has_one = sys.platform in ("darwin", "win32") or any(
        os.environ.get(name) for name in ("BROWSER", "DISPLAY", "WAYLAND_DISPLAY")
    )
    if browser and has_one:
        # Some do not return before they are closed.
        threading.Thread(target=webbrowser.open, args=(url,), name="flowmate-browser", daemon=True).start()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: browsers open connections that they do not use."""


def _handler(loopback: Loopback) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_GET(self) -> None:
            address = urlsplit(self.path)
            is_it = address.path == PATH and loopback.take(address.query)
            content = _PAGE.format(text=loopback.ending() if is_it else _WRONG).encode()
            self.send_response(200 if is_it else 400)
            for name, value in (
                ("Content-Type", "text/html; charset=utf-8"),
                ("Content-Length", str(len(content))),
                ("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'"),
                ("Referrer-Policy", "no-referrer"),
                ("Cache-Control", "no-store"),
                ("Connection", "close"),
            ):
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
            if is_it:
                loopback.answered()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing: the address has a code in it."""

    return Handler
