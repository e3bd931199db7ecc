"""A provider of webhooks on the loopback: it keeps subscriptions, lets them end, and can be slow, down or strict."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

MANIFEST = """
connector: 1
name: shop
version: {version}
title: A shop
image: flowmate-test/shop:{version}
process: {{module: connector}}
auth:
  token: {{title: Token, required: {{token: password}}}}
triggers:
  order_created:
    title: Orders as they are created
    webhook: {{scheme: github}}
    fields:
      server: {{type: string}}
      topic: {{type: string}}
      note: {{type: string}}
"""

CODE = '''
import json
import urllib.error
import urllib.request
from flowmate_connector import ConfigError, Connector, Subscription, TransientError

connector = Connector("shop")


def call(ctx, method, path, body=None):
    """Return the answer; None where the provider has no such thing."""
    request = urllib.request.Request(
        ctx.config["server"] + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {ctx.credentials.get('token')}", "Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        failure = TransientError if error.code >= 500 else ConfigError
        raise failure(f"the shop answers {error.code}: {error.read().decode()}") from None
    except OSError as error:
        raise TransientError(f"the shop cannot be reached: {error}") from None


@connector.webhook("order_created")
def order_created(ctx, message):
    return message.data


@connector.subscribe("order_created")
def subscribe(ctx):
    hook = ctx.webhook
    made = None
    if hook.subscription is not None:
        made = call(ctx, "PATCH", f"/hooks/{hook.subscription['id']}", {})
    if made is None:
        made = next((each for each in call(ctx, "GET", "/hooks") if each["name"] == hook.id), None)
    if made is None:
        asked = {"name": hook.id, "url": hook.url, "topic": ctx.config.get("topic"), "secret": hook.secret}
        made = call(ctx, "POST", "/hooks", asked)
    return Subscription({"id": made["id"]}, made.get("expires_at"), made.get("own_secret"))


@connector.unsubscribe("order_created")
def unsubscribe(ctx):
    made = ctx.webhook.subscription
    if made is None:
        made = next((each for each in call(ctx, "GET", "/hooks") if each["name"] == ctx.webhook.id), None)
    if made is not None:
        call(ctx, "DELETE", f"/hooks/{made['id']}")


if __name__ == "__main__":
    connector.main()
'''
"""The connector of such a provider."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: a test lets answers get lost."""


@dataclass
class Provider:
    """The provider; a context.

    :param token: that it asks for
    :param life: how long a subscription lasts; None: until it is taken back
    :param own_secret: that it signs with, where it chooses it itself
    :param now: what time it is there
    :param before: called with each request's method; what it returns is the status of the answer, when it is not None
    :param after: called when what was asked is done, before it is answered
    """

    token: str = "right-token"
    life: timedelta | None = None
    own_secret: str | None = None
    now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)
    before: Callable[[str], int | None] = lambda method: None
    after: Callable[[str], None] = lambda method: None
    hooks: dict[int, dict[str, Any]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    made: int = 0

    def __enter__(self) -> Provider:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                authorised = self.headers.get("Authorization") == f"Bearer {provider.token}"
                status, answer = provider.answer(self.command, self.path, json.loads(body or b"null"), authorised)
                provider.after(self.command)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_PATCH = do_DELETE = do

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, name="hooks-provider", daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def urls(self) -> list[str]:
        """The addresses that it sends events to now."""
        return [hook["url"] for hook in self._alive()]

    def answer(self, method: str, path: str, body: Any, authorised: bool) -> tuple[int, Any]:
        """Return status and answer of a request."""
        self.calls.append(method)
        status = self.before(method)
        if status is not None:
            return status, {"asked": body}
        if not authorised:
            return 401, {"why": "wrong token"}
        number = int(path.rpartition("/")[2]) if path.count("/") > 1 else None
        if number is not None and number not in {hook["id"] for hook in self._alive()}:
            return 404, {}
        if method == "GET":
            return 200, self._alive()
        if method == "DELETE":
            return 200, self.hooks.pop(number)  # type: ignore[arg-type]
        return self._kept(number, body)

    def _kept(self, number: int | None, body: dict[str, Any]) -> tuple[int, Any]:
        if number is None:
            self.made += 1
            self.hooks[self.made] = {"id": self.made, **body}
            number = self.made
        hook = self.hooks[number]
        hook["expires_at"] = (self.now() + self.life).isoformat() if self.life else None
        return 200, {**hook, "own_secret": self.own_secret}

    def _alive(self) -> list[dict[str, Any]]:
        moment = self.now().isoformat()
        return [hook for hook in self.hooks.values() if not hook["expires_at"] or hook["expires_at"] > moment]
