"""Those who send webhooks in the end-to-end tests, and a service that takes what flows write."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from uuid import uuid4

import requests
from harness import Client, wait_until

SECRET = "It's a Secret to Everybody"


class GithubSender:
    """Posts events as GitHub does.

    :param url: the hook's address
    """

    def __init__(self, url: str, secret: str = SECRET) -> None:
        self.url = url
        self._secret = secret
        self._session = requests.Session()

    def send(
        self, data: Any, *, delivery: str | None = None, event: str = "push", signature: str | None = None
    ) -> requests.Response:
        """Post one event and return the answer."""
        body = json.dumps(data).encode()
        proof = signature or "sha256=" + hmac.new(self._secret.encode(), body, hashlib.sha256).hexdigest()
        headers = {
            "Content-Type": "application/json",
            "X-GitHub-Event": event,
            "X-GitHub-Delivery": delivery or str(uuid4()),
            "X-Hub-Signature-256": proof,
        }
        return self._session.post(self.url, body, headers=headers, timeout=60)


class KeyedService:
    """An HTTP service that keeps what is put to it by its key, and counts how often each key came.

    :param refuse: whether it refuses a record, with status 500
    """

    def __init__(self, refuse: Callable[[dict[str, Any]], bool] = lambda record: False) -> None:
        self.refuse = refuse
        self.records: dict[str, Any] = {}
        self.times: Counter[str] = Counter()
        self._lock = threading.Lock()
        service = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                record = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status = service.take(record)
                body = json.dumps({"id": record.get("key")}).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_PUT = do_POST

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, record: dict[str, Any]) -> int:
        """Keep a record and return the status of the answer."""
        if "key" in record and self.refuse(record):
            return 500
        key = record.get("key")
        if key is not None:  # the events by which a test finds out whether the endpoint is there have none
            with self._lock:
                self.records[str(key)] = record
                self.times[str(key)] += 1
        return 200

    def wait_for(self, count: int) -> None:
        """Return once so many keys are there."""
        wait_until(f"{count} records", lambda: len(self.records) >= count or None)

    def __enter__(self) -> KeyedService:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()


def hook_url(airflow: Client, endpoint: str, token: str | None = None) -> str:
    """Return the address of an endpoint, as a sender on this machine sees it."""
    return f"{airflow.url}/flowmate/hooks/{endpoint}" + (f"/{token}" if token else "")


def wait_for_endpoint(url: str) -> None:
    """Return once the receiver knows an endpoint: until then it answers as to a forged request."""
    sender = GithubSender(url)
    wait_until(f"the endpoint {url}", lambda: sender.send({"ping": 1}, event="ping").ok or None)
