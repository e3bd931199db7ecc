"""Notices sent over HTTP: signed, tried again, and not to where they must not go."""

from __future__ import annotations

import hashlib
import hmac
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from outgoing_harness import HUB_SECRET, SECRET, Answer, Application, Tell, application
from standardwebhooks import Webhook

from flowmate_airflow.net import public
from flowmate_airflow.outgoing import post as posting
from flowmate_airflow.outgoing import sender
from flowmate_airflow.outgoing.post import post
from flowmate_airflow.outgoing.sender import Sender, Tally
from flowmate_airflow.outgoing.targets import Target, TargetError
from flowmate_airflow.store import outgoing
from flowmate_airflow.store.outgoing import FAILED, SENT, WAITING, NewNotice, Notice, Wanted
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store

BODY = b'{"type":"run.failed","timestamp":"2026-01-31T08:00:00.000Z","data":{"flow":"orders"}}'


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], datetime]:
    """Moves the clock ahead, for the store and the sender."""

    def move(span: timedelta) -> datetime:
        moment = now() + span
        for module in (outgoing, sender, posting):
            monkeypatch.setattr(module, "now", lambda: moment)
        return moment

    return move


def keep(store: Store, target: str = "app", *ids: str) -> None:
    outgoing.put(store, [NewNotice(target, "run.failed", each, BODY) for each in ids or ("msg_1",)])


def send(store: Store, *targets: Target | TargetError, **named: Target | TargetError) -> Tally:
    return Sender(store, {**{each.conn_id: each for each in targets}, **named}).send_due(20)


def notices(store: Store) -> dict[str, Notice]:
    return {each.message_id: each for each in outgoing.find(store, Wanted())}


def test_a_notice_arrives_signed_as_standard_webhooks_has_it(store: Store, app: Application, tell: Tell) -> None:
    keep(store)
    assert send(store, tell("app", app, path="/in")).sent == 1
    (request,) = app.received
    assert request.body == BODY
    assert Webhook(SECRET).verify(request.body, dict(request.headers))["type"] == "run.failed"
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["content-type"] == "application/json"
    assert "x-hub-signature" not in request.headers
    kept = notices(store)["msg_1"]
    assert (kept.status, kept.response_status, kept.attempts, kept.error) == (SENT, 204, 1, None)


@pytest.mark.parametrize(("signature", "secret"), [("hub", HUB_SECRET), ("both", SECRET)])
def test_hotglues_users_get_its_signature(
    store: Store, app: Application, tell: Tell, signature: str, secret: str
) -> None:
    keep(store)
    send(store, tell("app", app, password=secret, signature=signature))
    (request,) = app.received
    expected = hmac.new(secret.encode(), BODY, hashlib.sha1).hexdigest()
    assert request.headers["x-hub-signature"] == expected
    assert ("webhook-signature" in request.headers) == (signature == "both")
    if signature == "both":
        Webhook(secret).verify(request.body, dict(request.headers))


def test_what_is_not_taken_is_tried_again_with_the_same_id(
    store: Store, app: Application, tell: Tell, later: Callable[[timedelta], datetime]
) -> None:
    target = tell("app", app)
    app.answers = [Answer(500), Answer(404), Answer(200)]
    keep(store)
    assert (send(store, target).again, len(app.received)) == (1, 1)
    waiting = notices(store)["msg_1"]
    assert (waiting.status, waiting.response_status) == (WAITING, 500)
    assert waiting.error == "answered 500 Internal Server Error"
    assert send(store, target) == Tally(), "it is not due yet"
    later(timedelta(seconds=6))
    assert send(store, target).again == 1
    assert notices(store)["msg_1"].error == "answered 404 Not Found"
    later(timedelta(minutes=2))
    assert send(store, target).sent == 1
    assert {request.headers["webhook-id"] for request in app.received} == {"msg_1"}
    stamps = [int(request.headers["webhook-timestamp"]) for request in app.received]
    assert stamps == sorted(stamps)
    assert stamps[0] < stamps[2], "each try is signed anew"
    assert (notices(store)["msg_1"].status, notices(store)["msg_1"].attempts) == (SENT, 3)


def test_after_ten_tries_it_has_failed(
    store: Store, app: Application, tell: Tell, later: Callable[[timedelta], datetime]
) -> None:
    target = tell("app", app)
    app.answers = [Answer(400)] * 20
    keep(store)
    for attempt in range(12):
        later(timedelta(days=2 * attempt))
        send(store, target)
    assert len(app.received) == 10
    assert (notices(store)["msg_1"].status, notices(store)["msg_1"].error) == (FAILED, "answered 400 Bad Request")


def test_a_target_that_is_gone_is_asked_once_and_said_to_be_so(
    store: Store, app: Application, tell: Tell, caplog: pytest.LogCaptureFixture
) -> None:
    app.answers = [Answer(410)]
    keep(store)
    assert send(store, tell("app", app)).failed == 1
    assert notices(store)["msg_1"].status == FAILED
    assert "answered 410 Gone: it wants no more notices" in (notices(store)["msg_1"].error or "")
    assert "not tried again" in caplog.text


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_a_target_that_asks_for_a_pause_gets_it(
    store: Store,
    app: Application,
    tell: Tell,
    later: Callable[[timedelta], datetime],
    status: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sender, "AT_ONCE", 1)
    target = tell("app", app)
    app.answers = [Answer(status, {"Retry-After": "120"})]
    keep(store, "app", "msg_1", "msg_2")
    moment = later(timedelta(0))
    assert send(store, target).again == 1
    assert len(app.received) == 1, "the second one waits, too"
    assert all(each.next_at >= moment + timedelta(seconds=120) for each in notices(store).values())
    later(timedelta(seconds=121))
    assert send(store, target).sent == 2


def test_a_redirect_is_not_followed(store: Store, app: Application, tell: Tell) -> None:
    with application() as inner:
        app.answers = [Answer(307, {"Location": f"{inner.url}/steal"})]
        keep(store)
        assert send(store, tell("app", app)).again == 1
        assert inner.received == []
    assert "307 Temporary Redirect; redirects are not followed" in (notices(store)["msg_1"].error or "")


def test_private_addresses_are_refused_unless_allowed(store: Store, app: Application) -> None:
    keep(store)
    assert send(store, Target("app", app.url, SECRET)).again == 1
    assert app.received == []
    assert "its address is not on the public internet" in (notices(store)["msg_1"].error or "")


def test_a_name_that_resolves_to_the_loopback_is_refused_at_connect(
    app: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = int(app.url.rpartition(":")[2])
    asked = []

    def resolve(host: str, *_: Any, **__: Any) -> list[Any]:
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    for scheme in ("https", "http"):
        outcome = post(Target("app", f"{scheme}://rebind.example:{port}/", SECRET), "msg_1", BODY)
        assert outcome.status is None
        assert "not on the public internet" in (outcome.error or "")
    assert asked == ["rebind.example", "rebind.example"]
    assert app.received == []


def test_no_proxy_and_no_netrc_is_used(
    app: Application, tell: Tell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with application() as proxy:
        for name in ("http_proxy", "https_proxy", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        monkeypatch.delenv("no_proxy", raising=False)
        (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
        monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
        assert post(tell("app", app), "msg_1", BODY).error is None
        assert proxy.received == []
    assert "authorization" not in app.received[0].headers


def test_an_untrusted_certificate_is_refused(tmp_path: Path, tell: Tell) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*made, *names], check=True, capture_output=True)

    def secure(server: ThreadingHTTPServer) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        server.socket = context.wrap_socket(server.socket, server_side=True)

    with application(secure) as app:
        url = app.url.replace("http:", "https:")
        outcome = post(Target("app", url, SECRET, allow_private=True), "msg_1", BODY)
        assert outcome.error == "no trusted TLS connection; is its certificate valid?"
        assert app.received == []
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
            assert post(Target("app", url, SECRET, allow_private=True), "msg_1", BODY).error is None
        assert len(app.received) == 1


def test_a_slow_target_is_given_up_and_holds_up_no_other(
    store: Store, app: Application, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(posting, "TIMEOUT", 60)
    hold = threading.Event()
    with application() as slow:
        slow.answers = [Answer(hold=hold)] * 10
        targets = [tell("app", app), tell("slow", slow)]
        keep(store, "slow", *(f"slow_{number}" for number in range(10)))
        keep(store, "app", *(f"msg_{number}" for number in range(10)))
        sending = threading.Thread(target=send, args=(store, *targets))
        sending.start()
        app.wait_for(10)
        slow.wait_for(sender.AT_ONCE)
        assert sending.is_alive(), "it still waits for the slow one"
        keep(store, "app", "msg_late")
        app.wait_for(11)  # what becomes due meanwhile is sent, too
        hold.set()
        sending.join(60)
    assert {each.status for each in notices(store).values()} == {SENT}


def test_after_its_time_nothing_new_is_begun(store: Store, app: Application, tell: Tell) -> None:
    target = tell("app", app)
    keep(store, "app", "msg_1", "msg_2")
    assert Sender(store, {"app": target}).send_due(0) == Tally()
    assert app.received == []
    assert send(store, target).sent == 2


def test_an_answer_that_never_ends_is_cut(app: Application, tell: Tell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(posting, "TIMEOUT", 0.1)
    hold = threading.Event()
    app.answers = [Answer(hold=hold)]
    outcome = post(tell("app", app), "msg_1", BODY)
    hold.set()
    assert outcome.is_down
    assert outcome.error == "did not answer within 0 s"


def test_a_target_that_is_down_is_left_alone_for_a_while(
    store: Store, tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender, "AT_ONCE", 1)
    with application() as stopped:
        target = tell("app", stopped)
    keep(store, "app", *(f"msg_{number}" for number in range(20)))
    assert send(store, target).again == sender.MANY_FAILURES
    assert {each.error for each in notices(store).values()} == {"the connection failed", None}
    assert send(store, target) == Tally()


def test_a_connection_that_is_wrong_is_said_and_tried_again(store: Store) -> None:
    keep(store)
    assert send(store, app=TargetError("the Connection `app` has no host")).again == 1
    assert notices(store)["msg_1"].error == "the Connection `app` has no host"


def test_who_is_told_no_more_has_failed(store: Store, app: Application, tell: Tell) -> None:
    keep(store, "left", "msg_left")
    keep(store)
    assert send(store, tell("app", app)).sent == 1
    assert notices(store)["msg_left"].status == FAILED
    assert send(store) == Tally(), "nobody is told any more"


def test_a_replayed_notice_is_sent_again_with_its_id(store: Store, app: Application, tell: Tell) -> None:
    target = tell("app", app)
    keep(store)
    send(store, target)
    assert outgoing.replay(store, Wanted(ids=[notices(store)["msg_1"].id])) == 1
    assert send(store, target).sent == 1
    assert [request.headers["webhook-id"] for request in app.received] == ["msg_1", "msg_1"]


def test_no_secret_is_in_an_error(store: Store, monkeypatch: pytest.MonkeyPatch, tell: Tell) -> None:
    def fail(*_: Any) -> socket.socket:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr(public, "create_connection", fail)
    for url in ("https://1.1.1.1/hooks/a-secret-path", "https://1.1.1.1:bad/a-secret-path", "x://a-secret-path"):
        outcome = post(Target("app", url, SECRET), "msg_1", BODY)
        assert outcome.error is not None
        assert "secret" not in outcome.error
        assert "1.1.1.1" not in outcome.error
