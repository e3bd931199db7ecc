"""The receiver: verify, store, acknowledge, over HTTP and with a real store."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from receiver_harness import PUBLIC, SECRET, Answered, FakeDirectory, Served, github, serving, signed_headers

from flowmate_airflow.store import endpoints as tokens
from flowmate_airflow.store.deliveries import RECEIVED, REJECTED, NewDelivery
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.replies import put_reply
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.webhooks import held, known, receiver
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.inbox import Inbox
from flowmate_airflow.webhooks.schemes import SCHEMES, sign

BODY = b'{"order": {"id": 7, "total": 19.90}}'
ALWAYS = {
    "cache-control": "no-store",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
}


@contextmanager
def run(folder: Path) -> Iterator[Served]:
    with serving(
        folder,
        github(order_by="data.order.id"),
        github("small", max_body=100),
        github("slow", rate=2),
        Endpoint("open", scheme="token"),
        Endpoint("bearer", scheme="bearer", connection="secret"),
        Endpoint("forgotten", scheme="bearer", connection="nothing"),
        Endpoint("unsafe", scheme="bearer"),
        Endpoint("broken", scheme="no such scheme"),
        Endpoint("slack", scheme="slack", connection="secret"),
        Endpoint("meta", scheme="meta", connection="meta"),
        Endpoint("notion", scheme="notion", connection="nothing"),
        Endpoint("twilio", scheme="twilio", connection="secret"),
        Endpoint("flow~step", scheme="bearer", connection="secret"),
    ) as found:
        found.directory.passwords["meta"] = [SECRET, "verify:hello"]
        yield found


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    with run(tmp_path) as found:
        yield found


@pytest.fixture(scope="module")
def unstored(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """For requests of which none is stored."""
    with run(tmp_path_factory.mktemp("unstored")) as found:
        yield found


def bearer(secret: str = SECRET, **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}", "Content-Type": "application/json", **headers}


def eventually(condition: Any) -> Any:
    end = time.monotonic() + 60
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def test_a_delivery_is_stored_before_it_is_acknowledged(served: Served) -> None:
    headers = {"Cookie": "a=b", "User-Agent": "GitHub-Hookshot/1", "X_Api_Key": "k", "Accept": "*/*"}
    answer = served.signed(BODY, X_GitHub_Delivery="d-1", **headers)
    assert answer.status == SCHEMES["github"].ack.status
    assert ALWAYS.items() <= answer.headers.items()
    (delivery,) = served.kept()
    assert (delivery.endpoint, delivery.status, delivery.tenant) == ("orders", RECEIVED, "")
    assert (delivery.delivery_id, delivery.event, delivery.order_key) == ("d-1", "push", "7")
    payload = served.payload(delivery)
    event = payload["event"]
    assert event.pop("time") == delivery.received_at.isoformat()
    assert event == {
        "specversion": "1.0",
        "id": "d-1",
        "source": "/webhooks/github/orders",
        "type": "github.push",
        "datacontenttype": "application/json",
        "data": {"order": {"id": 7, "total": 19.9}},
    }
    assert payload["http"] == {
        "method": "POST",
        "path": "/orders",
        "query": {},
        "headers": {
            "user-agent": "GitHub-Hookshot/1",
            "accept": "*/*",
            "content-type": "application/json",
            "x-github-event": "push",
            "x-github-delivery": "d-1",
        },
    }


def test_a_duplicate_is_answered_as_its_first_and_stored_once(served: Served) -> None:
    answers = [served.signed(BODY, X_GitHub_Delivery="d-1") for _ in range(3)]
    assert len({(answer.status, answer.body) for answer in answers}) == 1
    (delivery,) = served.kept()
    assert delivery.duplicates == 2
    served.signed(BODY, X_GitHub_Delivery="d-2")
    served.signed(b"{}", X_GitHub_Delivery="d-1")
    assert len(served.kept()) == 3


def test_where_the_proof_is_not_over_the_body_the_same_twice_is_two_events(served: Served) -> None:
    for _ in range(2):
        assert served.post("bearer", BODY, bearer()).status == 202
    assert len(served.kept()) == 2


@pytest.mark.parametrize(
    ("name", "headers"),
    [
        ("orders", {}),
        ("orders", {"X_Hub_Signature_256": "sha256=" + "0" * 64}),
        ("orders", {"X_Hub_Signature_256": ""}),
        ("orders/wrong-token", {}),
        ("nothing-here", {}),
        ("nothing-here/token", {}),
        ("orders/a/b", {}),
        ("..", {}),
        ("%2e%2e", {}),
        ("%252e", {}),
        ("x" * 300, {}),
        ("", {}),
        ("open", {}),
        ("open/wrong", {}),
        ("unsafe", {"Authorization": "Bearer "}),
        ("unsafe", {"Authorization": f"Bearer {SECRET}"}),
        ("forgotten", {"Authorization": f"Bearer {SECRET}"}),
        ("broken", {}),
    ],
)
def test_whoever_is_not_let_in_learns_nothing(unstored: Served, name: str, headers: dict[str, str]) -> None:
    given = {**{"Content-Type": "application/json"}, **{key.replace("_", "-"): text for key, text in headers.items()}}
    answer = unstored.post(name, BODY, given)
    assert answer == Answered(401, {**ALWAYS, "content-length": "0"}, b"")
    assert not unstored.kept(status=RECEIVED)


def test_a_refusal_is_noted_without_what_was_sent(served: Served, caplog: pytest.LogCaptureFixture) -> None:
    served.signed(BODY, secret="another")
    (noted,) = eventually(lambda: served.kept(status=REJECTED))
    assert (noted.endpoint, noted.is_purged or noted.size == 0) == ("orders", True)
    assert "sha256=" not in caplog.text
    served.post("nothing-here", BODY, {"Content-Type": "application/json"})
    served.signed(BODY)
    assert len(served.kept(status=REJECTED)) == 1


NAMES = ("orders", "small", "open", "bearer", "unsafe", "broken", "slack", "meta", "twilio", "flow~step", "orders/a/b")
ANY_METHOD = ("GET", "PUT", "PATCH", "DELETE", "POST", "HEAD")


@pytest.mark.parametrize("method", ANY_METHOD)
@pytest.mark.parametrize(
    ("query", "headers", "body"),
    [
        ("", {}, b""),
        ("?hub.mode=subscribe&hub.verify_token=wrong&hub.challenge=1", {}, b""),
        ("", {"X-Hub-Signature-256": "\xe9", "X-Slack-Signature": "\xe9", "Authorization": "\xe9"}, BODY),
        ("", {"X-Hub-Signature-256": "x" * 9000, "X-Twilio-Signature": "x" * 9000}, BODY),
        ("", {"Content-Type": "application/x-www-form-urlencoded", "X-Twilio-Signature": "x"}, b"%ff=1"),
        ("", {"Content-Type": "application/json"}, b"x" * 200),
    ],
)
def test_no_method_and_no_mistake_tells_which_endpoints_there_are(
    unstored: Served, method: str, query: str, headers: dict[str, str], body: bytes
) -> None:
    answers = {name: unstored.post(f"{name}{query}", body, headers, method=method) for name in ("nothing-here", *NAMES)}
    assert answers["nothing-here"] == Answered(401, {**ALWAYS, "content-length": "0"}, b"")
    assert {name: answer for name, answer in answers.items() if answer != answers["nothing-here"]} == {}


@pytest.mark.parametrize(("method", "status"), [("TRACE", 405), ("OPTIONS", 204)])
def test_methods_that_are_no_delivery(unstored: Served, method: str, status: int) -> None:
    for name in ("nothing-here", *NAMES):
        answer = unstored.post(name, method=method)
        assert (answer.status, answer.body) == (status, b"")
        assert answer.headers["allow"] == "POST, PUT, PATCH, DELETE, GET, HEAD, OPTIONS"


def test_the_reason_of_a_wrong_method_is_noted(served: Served) -> None:
    assert served.post("orders", method="GET").status == 401
    (noted,) = eventually(lambda: served.kept(status=REJECTED))
    assert noted.error == "the method is not POST"


def test_a_body_that_is_too_large_is_told_to_those_with_a_proof(served: Served) -> None:
    answer = served.signed(b"x" * 101, name="small")
    assert (answer.status, answer.body) == (413, b"the body is larger than 100 bytes\n")
    for name in ("small", "nothing-here"):
        assert served.post(name, b"x" * 101).status == 401
        head = f"POST /flowmate/hooks/{name} HTTP/1.1\r\nHost: hooks\r\nContent-Length: {1024 * 1024 + 1}\r\n\r\n"
        assert served.raw(head.encode()).startswith(b"HTTP/1.1 413")


def test_head_verifies_and_stores_nothing(served: Served) -> None:
    assert served.post("bearer", headers=bearer(), method="HEAD").status == 202
    assert served.post("bearer", headers=bearer("wrong"), method="HEAD").status == 401
    assert served.post("orders", headers=signed_headers(b""), method="HEAD").status == 202
    assert served.post("orders", method="HEAD").status == 401
    assert served.post("nothing-here", method="HEAD").status == 401
    assert not served.kept(status=RECEIVED)


def test_the_query_of_a_get_is_its_data(served: Served) -> None:
    answer = served.post("bearer?a=1&a=2&b=x%20y&token=hidden", headers=bearer(), method="GET")
    assert answer.status == 202
    payload = served.payload(*served.kept())
    assert payload["event"]["data"] == {"a": ["1", "2"], "b": "x y", "token": "hidden"}
    assert payload["http"]["query"] == {"a": ["1", "2"], "b": "x y"}


@pytest.fixture
def reads_when_asked_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let endpoints and tokens be read for those who come with one that is not known, and not now and then."""
    monkeypatch.setattr(known, "ENDPOINTS_SECONDS", 3600)


@pytest.mark.usefixtures("reads_when_asked_only")
def test_a_token_in_the_address(served: Served) -> None:
    token = tokens.token_of(served.store, "open")
    assert eventually(lambda: served.post(f"open/{token}", BODY, bearer()).status == 202)
    assert served.post(f"open/{token}/", BODY, bearer()).status == 202
    assert served.post(f"open/{token}x", BODY, bearer()).status == 401
    assert served.post(f"orders/{token}", BODY, signed_headers(BODY)).status == 401
    other = tokens.token_of(served.store, "orders")
    assert eventually(lambda: served.post(f"orders/{other}", BODY, signed_headers(BODY)).status == 202)
    assert served.post("orders/", BODY, signed_headers(BODY)).status == 202
    assert {each.endpoint for each in served.kept(status=RECEIVED)} == {"open", "orders"}
    assert all(token not in json.dumps(served.payload(each)) for each in served.kept(status=RECEIVED))


@pytest.mark.usefixtures("reads_when_asked_only")
def test_a_token_that_was_replaced_is_valid_for_a_while(served: Served) -> None:
    old = tokens.token_of(served.store, "open")
    new = tokens.rotate(served.store, "open")
    assert eventually(lambda: served.post(f"open/{new}", BODY, bearer()).status == 202)
    assert served.post(f"open/{old}", BODY, bearer()).status == 202


def test_an_endpoint_of_a_step(served: Served) -> None:
    assert served.post("flow~step", BODY, bearer()).status == 202
    assert served.post("flow%7Estep", BODY, bearer()).status == 202


def test_more_than_the_rate_is_told_to_come_again(served: Served) -> None:
    assert [served.signed(BODY, name="slow").status for _ in range(2)] == [202, 202]
    answer = served.signed(BODY, name="slow")
    assert answer.status == 429
    assert 1 <= int(answer.headers["retry-after"]) <= 31
    assert served.signed(BODY, name="slow", secret="wrong").status == 401  # what is not verified does not count
    assert served.signed(BODY).status == 202


def test_a_large_one_that_cannot_be_kept_harms_no_other_and_its_owner_is_told(tmp_path: Path) -> None:
    (tmp_path / "files").write_text("no folder")
    large = orjson.dumps({"x": os.urandom(300_000).hex()})
    with serving(tmp_path, github()) as served:
        for _ in range(3):
            answer = served.signed(large)
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")
            assert served.signed(BODY).status == 202
        noted = eventually(lambda: served.kept(status=REJECTED))
        assert "a large payload cannot be written to" in noted[0].error


def test_a_store_that_cannot_be_opened_is_down(tmp_path: Path) -> None:
    errors: list[Exception] = [StoreError("it is of a newer FlowMate"), RuntimeError("secret")]
    store = open_store(f"sqlite:///{tmp_path / 'store.db'}")

    def opening() -> Store:
        if errors:
            raise errors.pop()
        return store

    inbox = Inbox(opening, str(tmp_path))
    for text in ("the store cannot be opened: RuntimeError", "it is of a newer FlowMate"):
        with pytest.raises(StoreError, match=text) as caught:
            inbox.insert([NewDelivery("orders", b"1", b"{}")])
        assert caught.value.transient
    assert len(inbox.insert([NewDelivery("orders", b"1", b"{}")])) == 1


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"[NaN]", "application/json", 400),
        (b"[" * 10_000 + b"]" * 10_000, "application/json", 400),
        (b'{"a": "\xff"}', "application/json", 400),
        (b"{}", "application/octet-stream", 415),
        (b"{}", "", 415),
        (b"<!DOCTYPE a><a/>", "text/xml", 400),
    ],
)
def test_a_body_that_cannot_be_read_is_refused_with_the_reason(
    unstored: Served, body: bytes, content_type: str, status: int
) -> None:
    answer = unstored.signed(body, Content_Type=content_type)
    assert answer.status == status
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.body.endswith(b"\n")
    assert not unstored.kept(status=RECEIVED)


@pytest.mark.parametrize(
    ("content_type", "body", "data"),
    [
        ("application/x-www-form-urlencoded", b"a=1", {"a": "1"}),
        ("text/plain", b"hello", {"text": "hello"}),
        ("application/xml", b"<a b='1'/>", {"a": {"_attr": {"b": "1"}}}),
        (
            "multipart/form-data; boundary=X",
            b'--X\r\nContent-Disposition: form-data; name="f"; filename="a"\r\n\r\nhi\r\n--X--\r\n',
            {"f": {"filename": "a", "content_type": "text/plain", "size": 2, "base64": "aGk="}},
        ),
    ],
)
def test_other_bodies_become_data(served: Served, content_type: str, body: bytes, data: Any) -> None:
    assert served.signed(body, Content_Type=content_type).status == 202
    payload = served.payload(*served.kept())
    assert payload["event"]["data"] == data
    assert payload["http"].get("files", []) == (["f"] if "multipart" in content_type else [])


def test_cloudevents_in_each_mode(served: Served) -> None:
    event = {"specversion": "1.0", "id": "e1", "source": "/shop", "type": "paid", "data": {"n": 1}}
    one = json.dumps(event).encode()
    assert served.signed(one, Content_Type="application/cloudevents+json").status == 202
    batch = json.dumps([event, {**event, "id": "e2"}, {**event, "id": "e3"}]).encode()
    assert served.signed(batch, Content_Type="application/cloudevents-batch+json").status == 202
    binary = {"ce_specversion": "1.0", "ce_id": "e4", "ce_source": "/shop", "ce_type": "paid"}
    assert served.signed(b'{"n":1}', **binary).status == 202
    found = served.kept()
    assert [each.delivery_id for each in found] == ["/shop e1", "/shop e2", "/shop e3", "/shop e4"]
    assert [each.duplicates for each in found] == [1, 0, 0, 0]
    assert {each.event for each in found} == {"paid"}
    assert [served.payload(each)["event"]["id"] for each in found] == ["e1", "e2", "e3", "e4"]
    assert served.signed(b"[]", Content_Type="application/cloudevents-batch+json").status == 202
    assert served.signed(one, Content_Type="application/cloudevents-batch+json").status == 400
    assert len(served.kept()) == 4


def test_what_was_sent_once_is_not_another_event_with_other_headers(served: Served) -> None:
    signed = signed_headers(b'{"n":1}')
    for number in range(3):
        event = {"ce-specversion": "1.0", "ce-id": str(number), "ce-source": "/shop", "ce-type": "paid"}
        assert served.post("orders", b'{"n":1}', {**signed, **event}).status == 202
    (delivery,) = served.kept()
    assert (delivery.delivery_id, delivery.duplicates) == ("/shop 0", 2)


def test_events_of_two_sources_are_never_taken_for_one(served: Served) -> None:
    for source, name in (("a", "b c"), ("a b", "c")):
        event = json.dumps({"specversion": "1.0", "id": name, "source": source, "type": "paid"}).encode()
        assert served.signed(event, Content_Type="application/cloudevents+json").status == 202
    assert len(served.kept()) == 2


def test_handshakes_are_answered_and_store_nothing(served: Served) -> None:
    origin = served.post("orders", headers={"WebHook-Request-Origin": "eventemitter.example.com"}, method="OPTIONS")
    assert (origin.status, origin.headers["webhook-allowed-origin"]) == (200, "eventemitter.example.com")
    question = "hub.mode=subscribe&hub.verify_token=hello&hub.challenge=<script>"
    answer = served.post(f"meta?{question}", method="GET")
    assert (answer.status, answer.body) == (200, b"<script>")
    assert answer.headers["content-type"].startswith("text/plain")
    assert ALWAYS.items() <= answer.headers.items()
    assert served.post(f"meta?{question.replace('hello', 'wrong')}", method="GET").status == 401
    body = b'{"type": "url_verification", "challenge": "abc"}'
    headers = dict(sign(SCHEMES["slack"], body, SECRET, time.time()))
    assert served.post("slack", body, {**headers, "Content-Type": "application/json"}).body == b"abc"
    assert served.post("slack", body, {"Content-Type": "application/json"}).status == 401
    assert not served.kept(status=RECEIVED)


def test_a_secret_that_a_handshake_brings_is_kept_and_proves_nothing(served: Served) -> None:
    body = b'{"verification_token": "secret_abc"}'
    assert served.post("notion", body, {"Content-Type": "application/json"}).status == 200
    assert eventually(lambda: tokens.learned(served.store, "notion")) == "secret_abc"
    headers = dict(sign(SCHEMES["notion"], BODY, "secret_abc", time.time()))
    assert served.post("notion", BODY, {**headers, "Content-Type": "application/json"}).status == 401


def test_senders_that_sign_their_address_sign_the_public_one(served: Served) -> None:
    url = f"{PUBLIC}/flowmate/hooks/twilio?a=1"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    headers = sign(
        SCHEMES["twilio"], b"b=2", SECRET, time.time(), url=url, headers=(("content-type", form["Content-Type"]),)
    )
    assert served.post("twilio?a=1", b"b=2", {**dict(headers), **form, "Host": "evil.example.com"}).status == 200
    assert served.post("twilio?a=2", b"b=2", {**dict(headers), **form}).status == 401


def test_a_secret_that_was_replaced_counts_at_once(served: Served) -> None:
    assert served.signed(BODY).status == 202
    served.directory.passwords["secret"] = ["new", SECRET]
    assert served.signed(BODY, secret="new").status == 202
    assert served.signed(BODY).status == 202


def test_wrong_proofs_do_not_drive_lookups_of_secrets(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held, "SECRETS_AGAIN_SECONDS", 3600)  # all of them come within that, however busy the machine
    monkeypatch.setattr(known, "AGAIN_SECONDS", 3600)
    assert served.signed(BODY).status == 202
    for _ in range(10):
        assert served.signed(BODY, secret="wrong").status == 401
        assert served.signed(BODY, name="nothing-here").status == 401
    assert served.directory.asked.count("secret") == 2
    assert served.directory.asked.count("endpoints") <= 4
    assert set(served.directory.asked) == {"endpoints", "secret"}


def test_endpoints_come_and_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "ENDPOINTS_SECONDS", 0.05)
    with serving(tmp_path, github()) as served:
        assert served.signed(BODY, name="fresh").status == 401
        served.directory.known["fresh"] = github("fresh")
        assert eventually(lambda: served.signed(BODY, name="fresh").status == 202)
        del served.directory.known["fresh"]
        assert eventually(lambda: served.signed(BODY, name="fresh").status == 401)


def test_a_new_endpoint_is_found_when_it_is_posted_to(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "AGAIN_SECONDS", 0.0)
    assert served.signed(BODY, name="fresh").status == 401
    served.directory.known["fresh"] = github("fresh")
    assert served.signed(BODY, name="fresh").status == 202


def test_what_is_known_stays_when_airflow_cannot_be_asked(served: Served) -> None:
    assert served.signed(BODY).status == 202
    served.directory.error = RuntimeError("postgresql://user:password@host")
    assert served.signed(BODY).status == 202
    assert served.signed(BODY, secret="wrong").status == 401
    assert served.signed(BODY).status == 202
    assert served.post("bearer", BODY, bearer()).status == 202
    # Nobody can say yet whether these are let in.
    assert served.post("forgotten", BODY, bearer()).status == 503


def test_before_anything_is_known_senders_are_told_to_come_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    directory = FakeDirectory(github())
    directory.error = RuntimeError("postgresql://user:password@host")
    with serving(tmp_path, directory=directory) as served:
        answer = served.signed(BODY)
        assert (answer.status, answer.headers["retry-after"], answer.body) == (503, "1", b"")
        directory.error = None
        assert eventually(lambda: served.signed(BODY).status == 202)
    assert "password" not in caplog.text


def test_a_large_payload_goes_to_a_file_and_an_encrypted_one_is_not_readable(tmp_path: Path) -> None:
    noise = base64.b64encode(hashlib.shake_256(b"x").digest(600_000))
    with serving(tmp_path, github(), github("coded", encrypt=True)) as served:
        body = b'{"noise": "%b"}' % noise
        assert served.signed(body).status == 202
        (delivery,) = served.kept()
        assert delivery.href
        assert served.payload(delivery)["event"]["data"] == {"noise": noise.decode()}


def test_a_caller_gets_what_the_flow_answers(tmp_path: Path) -> None:
    with serving(tmp_path, github(reply=50.0), github("hasty", reply=0.2)) as served:
        answers: list[Answered] = []
        callers = [
            threading.Thread(target=lambda: answers.append(served.signed(BODY, X_GitHub_Delivery="d-1")))
            for _ in range(3)
        ]
        for caller in callers:
            caller.start()
        (delivery,) = eventually(lambda: [each for each in served.kept() if each.duplicates == 2])
        assert not answers
        put_reply(served.store, delivery.id, 201, "text/plain; charset=utf-8", b"done")
        for caller in callers:
            caller.join(60)
        assert {(each.status, each.body, each.headers["content-type"]) for each in answers} == {
            (201, b"done", "text/plain; charset=utf-8")
        }
        again = served.signed(BODY, X_GitHub_Delivery="d-1")
        assert (again.status, again.body) == (201, b"done")
        late = served.signed(BODY, name="hasty")
        assert late.status == 202
        (hasty,) = served.kept(endpoint="hasty")
        assert late.json == {"delivery": hasty.id, "message": "accepted; the answer was not ready in time"}


def test_too_many_callers_are_told_to_come_again_before_anything_is_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flowmate_airflow.webhooks.callers.MAX_CALLERS", 0)
    with serving(tmp_path, github(reply=50.0)) as served:
        assert served.signed(BODY).status == 503
        assert not served.kept()


def test_a_flow_cannot_smuggle_headers_into_an_answer(tmp_path: Path) -> None:
    with serving(tmp_path, github(reply=50.0)) as served:
        put_reply(served.store, 1, 200, "text/html\r\nSet-Cookie: a=b", b"<script>")
        answer = served.signed(BODY)
        assert answer.status == 200
        assert "set-cookie" not in answer.headers
        assert "content-type" not in answer.headers


@pytest.mark.parametrize(("size", "beside"), [(1000, False), (900_000, True)])
def test_a_large_body_for_nobody_is_not_judged_on_the_loop(
    unstored: Served, monkeypatch: pytest.MonkeyPatch, size: int, beside: bool
) -> None:
    threads: list[str] = []
    monkeypatch.setattr(receiver, "dummy_work", lambda _: threads.append(threading.current_thread().name))
    body = b"x" * size
    assert unstored.post("nobody", body, headers=signed_headers(body)).status == 401
    assert threads
    assert {name.startswith("flowmate-webhooks") for name in threads} == {beside}
