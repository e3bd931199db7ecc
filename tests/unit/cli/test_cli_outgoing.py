"""`flowmate webhooks sent`, `resend` and `ping`."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cli_harness import Flowmate
from standardwebhooks import Webhook

from flowmate_airflow.outgoing.news import envelope
from flowmate_airflow.store import outgoing
from flowmate_airflow.store.outgoing import NewNotice, claim, put, settle_failed, settle_sent
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store, close_stores, open_store

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfKQ9r8GKYo="


@pytest.fixture
def store(home: Path) -> Iterator[Store]:
    """The store, with a notice of each status; the one that waits, 1, has failed once."""
    (home / "airflow" / "flowmate").mkdir(parents=True)
    store = open_store()
    body = envelope("run.failed", now(), {"flow": "orders"})
    put(store, [NewNotice("app", "run.failed", "msg_1", body)])
    put(store, [NewNotice("app", "run.failed", "msg_2", body)])
    put(store, [NewNotice("other", "run.started", "msg_3", body)])
    (first, second), (third,) = (claim(store, "me", name, seconds=60, limit=5) for name in ("app", "other"))
    settle_failed(store, first, "answered 500\x1b[2J", 500, now() + timedelta(hours=1))
    settle_failed(store, second, "answered 410 Gone", 410, None)
    settle_sent(store, third, 204)
    yield store
    close_stores()


def test_the_list_shows_each_notice_and_counts(store: Store, flowmate: Flowmate) -> None:
    lines = flowmate("webhooks", "sent").out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["3", "2", "1"]
    assert "other  run.started  sent at " in lines[0]
    assert "app  run.failed  failed at " in lines[1]
    assert lines[1].endswith("UTC: answered 410 Gone")
    assert "waiting until " in lines[2]
    assert lines[2].endswith(r"answered 500\x1b[2J")
    assert lines[3:] == ["", "app: 1 failed", "app: 1 waiting", "other: 1 sent"]


def test_the_list_can_be_narrowed_and_read_by_programs(store: Store, flowmate: Flowmate) -> None:
    found = json.loads(flowmate("webhooks", "sent", "--target", "app", "--status", "failed", "--format", "json").out)
    assert [(each["id"], each["response_status"], each["next_at"]) for each in found] == [(2, 410, None)]
    assert json.loads(flowmate("webhooks", "sent", "--event", "x", "--format", "json").out) == []
    assert flowmate("webhooks", "sent", "--limit", "1").out.startswith("3 ")
    assert flowmate("webhooks", "sent", "--limit", "-1").code == 2


def test_one_notice_is_shown_with_its_body(store: Store, flowmate: Flowmate) -> None:
    out = flowmate("webhooks", "sent", "2").out
    assert "2: run.failed to app, webhook-id msg_2" in out
    assert '"flow": "orders"' in out
    shown = json.loads(flowmate("webhooks", "sent", "2", "--format", "json").out)
    assert shown["body"]["data"] == {"flow": "orders"}
    missing = flowmate("webhooks", "sent", "99")
    assert (missing.code, missing.err) == (2, "there is no notice 99; `flowmate webhooks sent` lists them\n")


def test_what_failed_is_sent_again(store: Store, flowmate: Flowmate) -> None:
    assert flowmate("webhooks", "resend").code == 2
    assert flowmate("webhooks", "resend", "--failed", "--target", "other").out == "0 notices will be sent again\n"
    assert flowmate("webhooks", "resend", "--failed").out == "1 notice will be sent again\n"
    assert outgoing.counts(store) == {("app", "waiting"): 2, ("other", "sent"): 1}
    again = flowmate("webhooks", "resend", "3", "99")
    assert again.out == "1 notice will be sent again\n"
    assert (again.code, again.err[:28]) == (1, "the others wait already, or ")


@pytest.fixture
def asked() -> Iterator[HTTPServer]:
    """A server that answers 202, and keeps what it was told in `told`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.server.told.append((body, dict(self.headers)))  # type: ignore[attr-defined]
            self.send_response(202)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        server.told = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join(60)


def test_a_target_can_be_tried(
    home: Path, flowmate: Flowmate, asked: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__OUTGOING", "my_app")
    extra = {"allow_private": True}
    value = {"conn_type": "generic", "host": f"http://127.0.0.1:{asked.server_port}", "password": SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_MY_APP", json.dumps({**value, "extra": extra}))
    assert flowmate("webhooks", "ping", "my_app").out.endswith("my_app answered 202\n")
    ((body, headers),) = asked.told  # type: ignore[attr-defined]
    told = Webhook(SECRET).verify(body, {name.lower(): text for name, text in headers.items()})
    assert (told["type"], told["data"]) == ("ping", {})
    monkeypatch.setenv("AIRFLOW_CONN_MY_APP", json.dumps(value))
    refused = flowmate("webhooks", "ping", "my_app")
    assert refused.code == 1
    assert "must begin with https://" in refused.err
    unknown = flowmate("webhooks", "ping", "my_ap")
    assert (unknown.code, unknown.err) == (2, "[flowmate] outgoing does not name `my_ap`; did you mean `my_app`?\n")


def test_a_list_needs_no_airflow(store: Store, flowmate: Flowmate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "airflow.models", None)
    monkeypatch.setitem(sys.modules, "requests", None)
    assert flowmate("webhooks", "sent").code == 0
