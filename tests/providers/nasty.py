"""A provider on the loopback that is as good or as bad as a test tells it to be.

It consents at once at `/authorize`, gives tokens at `/token` (codes, refresh tokens, client credentials, JWT bearer),
takes them back at `/revoke`, logs in at `/session` and out at `/logout`, and `/records` takes what it gave: tokens,
sessions, and its own user and API key.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

Failure = Callable[["Exchange"], None]
"""Answers a request for tokens otherwise than it should be."""
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


@dataclass
class Exchange:
    """One request and its answer.

    :param answer: what it would be answered with, and has been done for; None: nothing was done
    """

    provider: Nasty
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: bytes
    form: dict[str, Any]
    handler: BaseHTTPRequestHandler
    answer: tuple[int, Any] | None = None
    basic: tuple[str, str] | None = None

    def reply(
        self, status: int, body: Any, headers: Mapping[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        """Answer."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.handler.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.handler.send_header(name, value)
        self.handler.end_headers()
        self.handler.wfile.write(content)

    def cut(self) -> None:
        """Cut the connection."""
        self.handler.connection.shutdown(socket.SHUT_RDWR)


# --- what may go wrong, for `Nasty.next`: each answers one request


def html(exchange: Exchange) -> None:
    """Answer with a page, status 200."""
    exchange.reply(200, b"<!DOCTYPE html><html><h1>Maintenance</h1></html>", kind="text/html")


def busy(exchange: Exchange) -> None:
    """Answer 429 with Retry-After."""
    exchange.reply(429, {"error": "slow_down"}, {"Retry-After": "17"})


def broken(exchange: Exchange) -> None:
    """Answer 503 with nothing."""
    exchange.reply(503, b"", kind="text/plain")


def cut_before(exchange: Exchange) -> None:
    """Cut the connection; nothing was done."""
    exchange.cut()


def cut_after(exchange: Exchange) -> None:
    """Do what was asked, such as to rotate the token, and cut the connection instead of an answer."""
    exchange.provider.do(exchange)
    exchange.cut()


def cut_within(exchange: Exchange) -> None:
    """Do what was asked, and cut the connection in the middle of the answer."""
    exchange.provider.do(exchange)
    content = json.dumps((exchange.answer or (0, None))[1]).encode()
    handler = exchange.handler
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content[: len(content) // 2])
    handler.wfile.flush()
    exchange.cut()


def held(exchange: Exchange) -> None:
    """Do what was asked, and answer when the test sets `provider.release`."""
    exchange.provider.holding.set()
    exchange.provider.release.wait(60)
    exchange.provider.respond(exchange)


def refused(error: str, status: int = 400, **more: Any) -> Failure:
    """Answer with an error of OAuth."""

    def answer(exchange: Exchange) -> None:
        exchange.reply(status, {"error": error, **more})

    return answer


def echo(exchange: Exchange) -> None:
    """Answer with an error whose text shows all that was sent."""
    sent = f"{exchange.body.decode()} {exchange.form} {exchange.headers.get('Authorization')}"
    exchange.reply(400, {"error": "invalid_request", "error_description": sent})


def raw(body: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> Failure:
    """Answer with these bytes."""

    def answer(exchange: Exchange) -> None:
        exchange.reply(status, body, {name.replace("_", "-"): value for name, value in headers.items()}, kind)

    return answer


def elsewhere(exchange: Exchange) -> None:
    """Answer with a redirect to the same address."""
    exchange.reply(307, b"", {"Location": f"{exchange.provider.url}{exchange.path}"})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: answers get lost."""


@dataclass
class Nasty:
    """The provider; a context. Its settings may be changed while it runs.

    :param client_id: of the application, whose secret is `client_secret`; each must be sent
    :param public_key: as PEM, that assertions are checked with
    :param lifetime: of access tokens, in seconds
    :param rotate: a refresh token is good for once, and who uses it twice loses all
    :param omit_refresh: a refresh brings no refresh token
    :param scope: that is granted, whatever was asked; None: what was asked; empty: the answer does not say
    :param token_size: of access tokens, in characters
    :param shape: changes the answer with tokens
    :param as_form: tokens are answered as a form
    :param clock: by how many seconds its clock is ahead
    :param address: of this machine, that it listens at
    :param more_on_return: what the way back has in its query beside the code
    :param denies: the consent is not given
    """

    client_id: str = "nasty-app"
    client_secret: str = "nasty/secret+of:the app"
    public_key: str | None = None
    user: tuple[str, str] = ("ada", "the-password-of-ada")
    api_key: str = "the-api-key-of-ada"
    lifetime: float = 3600
    rotate: bool = True
    omit_refresh: bool = False
    scope: str | None = None
    token_size: int = 40
    shape: Callable[[dict[str, Any]], Any] = lambda tokens: tokens
    as_form: bool = False
    clock: float = 0
    more_on_return: dict[str, str] = field(default_factory=dict)
    denies: bool = False
    address: str = "127.0.0.1"
    records: list[dict[str, Any]] = field(default_factory=lambda: [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}])
    calls: list[Exchange] = field(default_factory=list)
    refreshes: int = 0
    reused: int = 0
    holding: threading.Event = field(default_factory=threading.Event)
    release: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._next: deque[Failure] = deque()
        self._codes: dict[str, dict[str, str]] = {}
        self._refresh: dict[str, dict[str, Any]] = {}
        self._access: dict[str, dict[str, Any]] = {}
        self._sessions: dict[str, float] = {}

    def __enter__(self) -> Nasty:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                address = urlsplit(self.path)
                is_json = "json" in (self.headers.get("Content-Type") or "")
                form = json.loads(body or b"{}") if is_json else dict(parse_qsl(body.decode()))
                query = dict(parse_qsl(address.query))
                exchange = Exchange(provider, self.command, address.path, query, self.headers, body, form, self)
                exchange.basic = _basic(self.headers.get("Authorization"))
                with provider._lock:
                    provider.calls.append(exchange)
                provider.handle(exchange)

            do_GET = do_POST = do_PUT = do

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def date_time_string(self, timestamp: float | None = None) -> str:
                return super().date_time_string(provider.now() if timestamp is None else timestamp)

        self._server = _Server((self.address, 0), Handler)
        self.url = f"http://{self.address}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="nasty-provider", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()

    # --- for tests

    def next(self, *failures: Failure) -> None:
        """Answer the next requests for tokens, sessions and records with these, one each."""
        self._next.extend(failures)

    def expire(self) -> None:
        """Let all access tokens and sessions be over."""
        with self._lock:
            for found in self._access.values():
                found["until"] = 0
            self._sessions = dict.fromkeys(self._sessions, 0.0)

    def now(self) -> float:
        """What time it is there."""
        return time.time() + self.clock

    def called(self, path: str) -> list[Exchange]:
        """The requests to a path so far."""
        with self._lock:
            return [call for call in self.calls if call.path == path]

    def is_valid(self, access_token: str) -> bool:
        """Whether an access token is taken."""
        with self._lock:
            found = self._access.get(access_token)
            return found is not None and found["until"] > time.time()

    def auth(self, **more: Any) -> dict[str, Any]:
        """Return a manifest's method for it, with a consent; `more` changes it."""
        return {
            "type": "oauth2",
            "authorize_url": f"{self.url}/authorize",
            "token_url": f"{self.url}/token",
            "revoke_url": f"{self.url}/revoke",
            "scopes": {"read": "To read your records.", "write": "To change them."},
            "private": True,
            "verify": {"url": f"{self.url}/records"},
            **more,
        }

    def consent(self, url: str) -> dict[str, str]:
        """Consent, as a browser would be told, and return the query of the way back."""
        import requests

        answer = requests.get(url, allow_redirects=False, timeout=30)
        assert answer.status_code == 302, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    # --- what it does

    def handle(self, exchange: Exchange) -> None:
        """Answer a request, or let it go wrong."""
        if exchange.path in ("/token", "/session", "/records", "/revoke"):
            with self._lock:
                failure = self._next.popleft() if self._next else None
            if failure is not None:
                return failure(exchange)
        self.respond(exchange)

    def respond(self, exchange: Exchange) -> None:
        """Do what is asked and answer it."""
        if exchange.path == "/authorize":
            return self._authorize(exchange)
        if exchange.path == "/session":
            return self._log_in(exchange)
        self.do(exchange)
        status, answer = exchange.answer or (500, {})
        if exchange.path == "/token" and self.as_form and status == 200:
            content = urlencode(answer).encode()
            return exchange.reply(status, content, kind="application/x-www-form-urlencoded")
        exchange.reply(status, answer)

    def do(self, exchange: Exchange) -> None:
        """Do what is asked, and put down the answer."""
        paths = {"/token": self._token, "/revoke": self._revoke, "/records": self._records, "/logout": self._log_out}
        with self._lock:
            exchange.answer = paths.get(exchange.path, lambda _: (404, {}))(exchange)

    def _authorize(self, exchange: Exchange) -> None:
        asked = exchange.query
        if self.denies:
            back = {"error": "access_denied", "error_description": "the person said no"}
        else:
            code = secrets.token_urlsafe(24)
            self._codes[code] = asked
            back = {"code": code, **self.more_on_return}
        address = f"{asked['redirect_uri']}?{urlencode({**back, 'state': asked.get('state', '')})}"
        exchange.reply(302, b"", {"Location": address})

    def _token(self, exchange: Exchange) -> tuple[int, Any]:
        form = exchange.form
        if form.get("grant_type") == JWT_BEARER:
            return self._asserted(str(form.get("assertion")))
        identified = exchange.basic or (form.get("client_id"), form.get("client_secret"))
        if identified != (self.client_id, self.client_secret):
            return 401, {"error": "invalid_client", "error_description": "who are you?"}
        if form.get("grant_type") == "client_credentials":
            return 200, self._tokens(str(form.get("scope", "")), None)
        if form.get("grant_type") == "refresh_token":
            return self._refreshed(str(form.get("refresh_token")))
        asked = self._codes.pop(str(form.get("code")), None)
        if asked is None or asked["redirect_uri"] != form.get("redirect_uri") or not _is_proven(asked, form):
            return 400, {"error": "invalid_grant", "error_description": "this code is worth nothing"}
        return 200, self._tokens(asked.get("scope", ""), secrets.token_hex(4))

    def _refreshed(self, token: str) -> tuple[int, Any]:
        found = self._refresh.get(token)
        if found is None:
            return 400, {"error": "invalid_grant", "error_description": "this refresh token is worth nothing"}
        if found["used"] and self.rotate:
            self.reused += 1
            self._refresh = {key: each for key, each in self._refresh.items() if each["family"] != found["family"]}
            return 400, {"error": "invalid_grant", "error_description": "this refresh token was used before"}
        self.refreshes += 1
        found["used"] = True
        return 200, self._tokens(found["scope"], None if self.omit_refresh else found["family"])

    def _tokens(self, scope: str, family: str | None) -> Any:
        access = secrets.token_urlsafe(self.token_size)[: self.token_size]
        self._access[access] = {"until": time.time() + self.lifetime, "family": family}
        granted = scope if self.scope is None else self.scope
        tokens = {"access_token": access, "token_type": "bearer", "expires_in": self.lifetime}
        if granted:
            tokens["scope"] = granted
        if family is not None:
            tokens["refresh_token"] = secrets.token_urlsafe(30)
            self._refresh[str(tokens["refresh_token"])] = {"family": family, "scope": scope, "used": False}
        return self.shape(tokens)

    def _asserted(self, assertion: str) -> tuple[int, Any]:
        import jwt

        if self.public_key is None:
            return 400, {"error": "unsupported_grant_type"}
        try:
            claims = jwt.decode(
                assertion,
                self.public_key,
                algorithms=["RS256", "RS384", "RS512", "ES256", "ES384"],
                audience=f"{self.url}/token",
                issuer=self.client_id,
                options={"require": ["exp", "iat", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            return 400, {"error": "invalid_grant", "error_description": f"{type(error).__name__}: {error}"}
        return 200, self._tokens(str(claims.get("scope", "")), None)

    def _revoke(self, exchange: Exchange) -> tuple[int, Any]:
        token = str(exchange.form.get("token"))
        family = self._refresh.get(token, {}).get("family")
        self._refresh.pop(token, None)
        for access, found in list(self._access.items()):
            if access == token or (family is not None and found["family"] == family):
                del self._access[access]
        return 200, {}

    def _log_in(self, exchange: Exchange) -> None:
        form = exchange.form
        given = exchange.basic or (form.get("username"), form.get("password"))
        if given != self.user:
            return exchange.reply(401, {"message": "unknown user or wrong password"})
        token = secrets.token_urlsafe(24)
        until = self.now() + self.lifetime
        with self._lock:
            self._sessions[token] = time.time() + self.lifetime
        body = {
            "data": {"token": token, "lifetime": self.lifetime, "until_ms": until * 1000},
            "until": time.strftime("%Y-%m-%dT%H:%M:%S.250Z", time.gmtime(until)),
            "account": {"id": 7, "region": "eu"},
        }
        exchange.reply(200, body, {"X-Session": token, "Set-Cookie": f"sid={token}; Path=/; HttpOnly"})

    def _log_out(self, exchange: Exchange) -> tuple[int, Any]:
        known = self._sessions.pop(exchange.headers.get("X-Session", ""), None)
        return (200, {}) if known is not None else (401, {})

    def _records(self, exchange: Exchange) -> tuple[int, Any]:
        if not self._knows(exchange):
            return 401, {"error": "invalid_token", "error_description": "this is not known here"}
        return 200, {"account": {"id": 7, "name": "Ada & Sons"}, "records": self.records}

    def _knows(self, exchange: Exchange) -> bool:
        kind, _, token = (exchange.headers.get("Authorization") or "").partition(" ")
        found = self._access.get(token) if kind.lower() == "bearer" else None
        session = exchange.headers.get("X-Session") or ""
        return (
            (found is not None and found["until"] > time.time())
            or self._sessions.get(session, 0) > time.time()
            or exchange.basic == self.user
            or self.api_key in (exchange.headers.get("X-API-Key"), exchange.query.get("api_key"), token)
        )


def _is_proven(asked: Mapping[str, str], form: Mapping[str, Any]) -> bool:
    """Whether who brings the code has the secret of the challenge (RFC 7636)."""
    challenge = asked.get("code_challenge")
    if challenge is None:
        return True
    digest = hashlib.sha256(str(form.get("code_verifier")).encode()).digest()
    return asked.get("code_challenge_method") == "S256" and challenge == _url64(digest)


def _url64(raw_bytes: bytes) -> str:
    return base64.urlsafe_b64encode(raw_bytes).decode().rstrip("=")


def _basic(header: str | None) -> tuple[str, str] | None:
    if not header or not header.startswith("Basic "):
        return None
    name, _, password = base64.b64decode(header[6:]).decode().partition(":")
    return unquote_plus(name), unquote_plus(password)
