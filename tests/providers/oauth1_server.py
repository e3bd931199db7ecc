"""A provider of OAuth 1 (RFC 5849) on the loopback, whose signatures oauthlib checks.

Three legs at `/request`, `/authorize` and `/access`, of which the second consents at once; `/records` takes requests
that are signed with a token, and `/machine` those signed by the consumer alone.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint, WebApplicationServer

REALM = "records"


@dataclass
class OAuth1Server:
    """The provider; a context.

    :param consumer_secret: of the consumer `consumer_key`
    :param public_key: as PEM, of a consumer that signs by RSA
    :param confirms: as OAuth 1.0a says, that the address of the way back is known
    :param denies: the consent is not given
    :param address: of this machine, that it listens at
    """

    consumer_key: str = "the-consumer-of-flowmate"
    consumer_secret: str = "the&secret/of the consumer"
    public_key: str | None = None
    confirms: bool = True
    denies: bool = False
    address: str = "127.0.0.1"
    records: list[dict[str, Any]] = field(default_factory=lambda: [{"id": 1, "name": "Ada"}, {"id": 2, "name": "Bo"}])
    calls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.store = _Store(self)
        self._endpoints = WebApplicationServer(self.store)
        self._machine = SignatureOnlyEndpoint(self.store)

    def __enter__(self) -> OAuth1Server:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
                provider.calls.append((self.command, self.path))
                status, headers, content = provider.answer(
                    self.command, f"{provider.url}{self.path}", body, dict(self.headers)
                )
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((self.address, 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://{self.address}:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), name="oauth1-provider", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def auth(self, **more: Any) -> dict[str, Any]:
        """Return a manifest's method for it, with three legs; `more` changes it."""
        return {
            "type": "oauth1",
            "request_url": f"{self.url}/request",
            "authorize_url": f"{self.url}/authorize",
            "access_url": f"{self.url}/access",
            "token_metadata": {"user_id": "extra.user_id"},
            "private": True,
            "verify": {"url": f"{self.url}/records", "account": {"account": "extra.account"}},
            **more,
        }

    def machine_auth(self, **more: Any) -> dict[str, Any]:
        """Return a manifest's method for it, with two legs."""
        return {"type": "oauth1", "legs": 2, "private": True, "verify": {"url": f"{self.url}/machine"}, **more}

    def consent(self, url: str) -> dict[str, str]:
        """Consent, as a browser would be told, and return the query of the way back."""
        import requests

        answer = requests.get(url, allow_redirects=False, timeout=30)
        assert answer.status_code == 302, answer.text
        return dict(parse_qsl(urlsplit(answer.headers["Location"]).query))

    def answer(self, method: str, url: str, body: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        """Return the answer to a request."""
        path = urlsplit(url).path
        if path == "/authorize":
            return self._authorized(dict(parse_qsl(urlsplit(url).query)))
        if path == "/request":
            found, text, status = self._endpoints.create_request_token_response(url, method, body, headers)
            text = text or ""
            if not self.confirms:
                text = text.replace("&oauth_callback_confirmed=true", "")
            return status, dict(found), text.encode()
        if path == "/access":
            found, text, status = self._endpoints.create_access_token_response(
                url, method, body, headers, credentials={"user_id": "42"}
            )
            return status, dict(found), (text or "").encode()
        if path == "/machine":
            is_right, _ = self._machine.validate_request(url, method, body, headers)
        else:
            is_right, _ = self._endpoints.validate_protected_resource_request(url, method, body, headers, [REALM])
        if not is_right:
            return 401, {"Content-Type": "application/json"}, b'{"error": "the signature is not right"}'
        return 200, {"Content-Type": "application/json"}, json.dumps({"account": 7, "records": self.records}).encode()

    def _authorized(self, query: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        token = query.get("oauth_token", "")
        found = self.store.requested.get(token)
        if found is None:
            return 400, {}, b"unknown request token"
        start = f"{found['callback']}{'&' if '?' in found['callback'] else '?'}"
        if self.denies:
            return 302, {"Location": f"{start}{urlencode({'denied': token})}"}, b""
        found["verifier"] = secrets.token_urlsafe(24)
        back = urlencode({"oauth_token": token, "oauth_verifier": found["verifier"]})
        return 302, {"Location": f"{start}{back}"}, b""


class _Store(RequestValidator):  # type: ignore[misc]
    """What the provider has given, as oauthlib asks for it."""

    def __init__(self, provider: OAuth1Server) -> None:
        super().__init__()
        self.provider = provider
        self.requested: dict[str, dict[str, str]] = {}
        self.given: dict[str, str] = {}
        self._seen: set[tuple[Any, ...]] = set()

    enforce_ssl = False
    allowed_signature_methods = ("HMAC-SHA1", "HMAC-SHA256", "RSA-SHA1", "RSA-SHA256", "PLAINTEXT")
    dummy_client = "a-consumer-that-is-none"
    dummy_request_token = dummy_access_token = "a-token-that-is-none"

    def check_client_key(self, client_key: str) -> bool:
        return 0 < len(client_key) < 200

    check_request_token = check_access_token = check_nonce = check_verifier = check_client_key

    def check_realms(self, realms: Iterable[str]) -> bool:
        return True

    def validate_client_key(self, client_key: str, request: Any) -> bool:
        return client_key == self.provider.consumer_key

    def get_client_secret(self, client_key: str, request: Any) -> str:
        return self.provider.consumer_secret

    def get_rsa_key(self, client_key: str, request: Any) -> str:
        return self.provider.public_key or ""

    def validate_timestamp_and_nonce(
        self,
        client_key: str,
        timestamp: Any,
        nonce: str,
        request: Any,
        request_token: str | None = None,
        access_token: str | None = None,
    ) -> bool:
        key = (client_key, timestamp, nonce, request_token, access_token)
        is_new = key not in self._seen
        self._seen.add(key)
        return is_new

    def get_default_realms(self, client_key: str, request: Any) -> list[str]:
        return [REALM]

    def get_realms(self, token: str, request: Any) -> list[str]:
        return [REALM]

    def validate_realms(
        self, client_key: str, token: str, request: Any, uri: str | None = None, realms: Any = None
    ) -> bool:
        return True

    validate_requested_realms = validate_realms

    def validate_redirect_uri(self, client_key: str, redirect_uri: str, request: Any) -> bool:
        return redirect_uri.startswith(("http://", "https://"))

    def save_request_token(self, token: dict[str, str], request: Any) -> None:
        self.requested[token["oauth_token"]] = {"secret": token["oauth_token_secret"], "callback": request.redirect_uri}

    def validate_request_token(self, client_key: str, token: str, request: Any) -> bool:
        return token in self.requested

    def get_request_token_secret(self, client_key: str, token: str, request: Any) -> str:
        return self.requested.get(token, {}).get("secret", "none")

    def validate_verifier(self, client_key: str, token: str, verifier: str, request: Any) -> bool:
        expected = self.requested.get(token, {}).get("verifier")
        return expected is not None and secrets.compare_digest(expected, verifier)

    def save_access_token(self, token: dict[str, str], request: Any) -> None:
        self.given[token["oauth_token"]] = token["oauth_token_secret"]

    def invalidate_request_token(self, client_key: str, request_token: str, request: Any) -> None:
        self.requested.pop(request_token, None)

    def validate_access_token(self, client_key: str, token: str, request: Any) -> bool:
        return token in self.given

    def get_access_token_secret(self, client_key: str, token: str, request: Any) -> str:
        return self.given.get(token, "none")
