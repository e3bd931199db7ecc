"""`flowmate webhooks send` and `url`: an event signed as its provider does it, and the address that it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Flowmate, WriteFlow

from flowmate_airflow.store import endpoints
from flowmate_airflow.store.store import Store, close_stores, open_store
from flowmate_airflow.webhooks.directory import Directory
from flowmate_airflow.webhooks.endpoints import Endpoint
from flowmate_airflow.webhooks.requests import HookRequest, Rejected
from flowmate_airflow.webhooks.schemes import SCHEMES, scheme_named, verify

STEPS = "- {id: mapped, map: data}"
SECRET = "It's a Secret to Everybody"
WAITING = """\
- {id: asked, use: shop/items}
- {id: paid, wait: {webhook: {connection: hook}, match: event.data.id = message.data.number}}
"""


@dataclass
class Provider:
    """A receiver on this machine that notes requests.

    :param answer: status and body of the answers
    """

    base: str = ""
    answer: tuple[int, bytes] = (202, b"")
    requests: list[HookRequest] = field(default_factory=list)


@pytest.fixture
def receiver(monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    """Where events are posted to; it is Airflow's public address."""
    noted = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = tuple((name.lower(), text) for name, text in self.headers.items())
            noted.requests.append(HookRequest("POST", f"{noted.base}{self.path}", headers, body))
            status, answer = noted.answer
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.send_header("location", f"{noted.base}/elsewhere")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    noted.base = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", noted.base)
    yield noted
    server.shutdown()
    server.server_close()


@pytest.fixture
def store(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The store in Airflow's home, without Airflow's key: its import would let other tests' output have its log."""
    monkeypatch.setattr(endpoints, "encrypt", lambda data, what: (data, False))
    yield open_store()
    close_stores()


@pytest.fixture
def write_hook(write_flow: WriteFlow) -> Any:
    """Writes a flow with a webhook and returns its file's name."""

    def write(webhook: str, name: str = "orders.yaml") -> str:
        return write_flow(STEPS, name, f"webhook: {{{webhook}}}")

    return write


@pytest.fixture
def airflow(monkeypatch: pytest.MonkeyPatch) -> dict[str, Endpoint]:
    """The webhooks that Airflow knows; its Connections have no secrets."""
    known: dict[str, Endpoint] = {}

    def secrets(self: Directory, conn_id: str) -> tuple[str, ...]:
        raise LookupError(f"there is no Connection `{conn_id}`")

    monkeypatch.setattr(Directory, "endpoints", lambda self: known)
    monkeypatch.setattr(Directory, "secrets", secrets)
    monkeypatch.setattr(Directory, "paused", lambda self, flows: frozenset(flows) & {"orders"})
    return known


def connection(monkeypatch: pytest.MonkeyPatch, **parts: Any) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_HOOK", json.dumps({"password": SECRET, **parts}))


def proven(
    request: HookRequest, scheme: str = "github", options: Mapping[str, Any] | None = None, *secrets: str
) -> Any:
    return verify(scheme_named(scheme, options or {}), request, secrets or (SECRET,), time.time())


def test_an_event_is_signed_by_the_flows_scheme(
    flowmate: Flowmate, receiver: Provider, write_hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch)
    flow = write_hook("scheme: github, connection: hook")
    result = flowmate("webhooks", "send", flow, "--event", "push", "--id", "d1", "--data", '{"ref":  "main"}')
    assert (result.code, result.out) == (0, "202 Accepted\n")
    assert f"POST {receiver.base}/flowmate/hooks/orders as GitHub; the proof: x-hub-signature-256" in result.err
    assert SECRET not in result.out + result.err
    (request,) = receiver.requests
    assert request.url == f"{receiver.base}/flowmate/hooks/orders"
    assert request.body == b'{"ref":  "main"}'
    found = proven(request)
    assert (found.delivery_id, found.event) == ("d1", "push")


@pytest.mark.parametrize(
    "scheme", ["standard", "stripe", "slack", "hubspot", "linear", "zoom", "paddle", "gitlab", "bearer", "hotglue"]
)
def test_each_scheme_that_can_be_signed_is_proven(
    flowmate: Flowmate, receiver: Provider, write_hook: Any, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    connection(monkeypatch, password=secret)
    assert flowmate("webhooks", "send", write_hook(f"scheme: {scheme}, connection: hook")).code == 0
    proven(receiver.requests[0], scheme, None, secret)


def test_what_a_scheme_reads_from_the_body_is_put_there(
    flowmate: Flowmate, receiver: Provider, write_hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch)
    flow = write_hook("scheme: pagerduty, connection: hook")
    assert flowmate("webhooks", "send", flow, "--event", "incident.triggered", "--id", "e1").code == 0
    (request,) = receiver.requests
    assert json.loads(request.body) == {"test": True, "event": {"event_type": "incident.triggered", "id": "e1"}}
    assert proven(request, "pagerduty").event == "incident.triggered"


def test_options_login_and_secrets_in_the_extra_count(
    flowmate: Flowmate, receiver: Provider, write_hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch, login="me")
    assert flowmate("webhooks", "send", write_hook("scheme: basic, connection: hook")).code == 0
    proven(receiver.requests[0], "basic", None, f"me:{SECRET}")
    connection(monkeypatch, password="verify:token", extra={"secrets": ["the app's"]})
    assert flowmate("webhooks", "send", write_hook("scheme: meta, connection: hook")).code == 0
    proven(receiver.requests[1], "meta", None, "the app's")
    connection(monkeypatch)
    options = {"header": "X-Mine", "algorithm": "sha512", "event_header": "X-Event"}
    flow = write_hook(f"scheme: hmac, connection: hook, options: {json.dumps(options)}")
    assert flowmate("webhooks", "send", flow, "--event", "paid").code == 0
    assert proven(receiver.requests[2], "hmac", options).event == "paid"


def test_a_file_of_another_kind_is_sent_as_it_is(
    flowmate: Flowmate, receiver: Provider, write_hook: Any, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    connection(monkeypatch)
    form = "application/x-www-form-urlencoded"
    for scheme, kind, body in (("github", "text/csv", b"a\r\n\x00\xff"), ("twilio", form, b"From=%2B1&Body=hello")):
        (home / "body").write_bytes(body)
        flow = write_hook(f"scheme: {scheme}, connection: hook")
        result = flowmate("webhooks", "send", flow, "--data", "@body", "--content-type", kind)
        assert result.code == 0, result.err
        request = receiver.requests[-1]
        assert (request.body, request.header("content-type")) == (body, kind)
        proven(request, scheme)


def test_a_webhook_that_airflow_knows_is_posted_to_with_its_token(
    flowmate: Flowmate, receiver: Provider, store: Store, airflow: dict[str, Endpoint]
) -> None:
    airflow["orders"] = Endpoint("orders", scheme="token")
    result = flowmate("webhooks", "send", "orders")
    token = endpoints.token_of(store, "orders")
    assert result.code == 0
    assert receiver.requests[0].url == f"{receiver.base}/flowmate/hooks/orders/{token}"
    assert token not in result.out + result.err


def test_what_is_signed_is_the_public_address_wherever_it_is_posted_to(
    flowmate: Flowmate, receiver: Provider, write_hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch)
    monkeypatch.setenv("AIRFLOW__FLOWMATE__PUBLIC_URL", "https://hooks.example.com")
    flow = write_hook("scheme: hubspot, connection: hook")
    assert flowmate("webhooks", "send", flow, "--url", f"{receiver.base}/").code == 0
    (request,) = receiver.requests
    told = HookRequest("POST", "https://hooks.example.com/flowmate/hooks/orders", request.headers, request.body)
    proven(told, "hubspot")
    with pytest.raises(Rejected):
        proven(request, "hubspot")


def test_any_address_can_be_posted_to(flowmate: Flowmate, receiver: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch)
    url = f"{receiver.base}/any?x=1"
    assert flowmate("webhooks", "send", url, "--scheme", "github", "--connection", "hook").code == 0
    assert receiver.requests[0].url == url
    proven(receiver.requests[0])


def test_an_answer_that_is_none_of_success_is_told(
    flowmate: Flowmate, receiver: Provider, write_hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch)
    flow = write_hook("scheme: github, connection: hook")
    receiver.answer = (401, b"")
    result = flowmate("webhooks", "send", flow)
    assert (result.code, result.out) == (1, "401 Unauthorized\n")
    assert "flowmate webhooks list --status rejected" in result.err
    receiver.answer = (503, b"\x1b[2Jlater\xff\n")
    result = flowmate("webhooks", "send", flow)
    assert (result.code, result.out) == (1, "503 Service Unavailable\n\\u001b[2Jlater\ufffd\n")
    receiver.answer = (307, b"")
    assert flowmate("webhooks", "send", flow).out == "307 Temporary Redirect\n"
    assert len(receiver.requests) == 3


@pytest.mark.parametrize("scheme", ["sns", "discord", "sendgrid", "microsoft_graph", "salesforce"])
def test_what_only_the_provider_can_sign_is_not_sent(
    flowmate: Flowmate,
    receiver: Provider,
    store: Store,
    write_hook: Any,
    monkeypatch: pytest.MonkeyPatch,
    scheme: str,
) -> None:
    connection(monkeypatch)
    result = flowmate("webhooks", "send", write_hook(f"scheme: {scheme}, connection: hook"))
    assert (result.code, result.out) == (1, "")
    assert (
        f"a delivery of {SCHEMES[scheme].title} (scheme {scheme}) cannot be made here: only the provider" in result.err
    )
    assert receiver.requests == []


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["ordrs"], 2, "Airflow knows no webhook `ordrs`; did you mean `orders`?"),
        (["missing.yaml"], 2, "there is no file missing.yaml"),
        (["plain.yaml"], 2, "plain.yaml has neither a `webhook:` nor a step that waits"),
        (["orders.yaml", "--data", "{"], 2, "--data is not JSON"),
        (["orders.yaml", "--data", "@missing"], 2, "--data: missing cannot be read"),
        (["orders.yaml", "--event", "a\nb"], 2, "--event cannot be"),
        (["orders.yaml", "--id", "ü"], 2, "--id cannot be"),
        (["orders.yaml", "--content-type", "a\r\nb: c"], 2, "--content-type cannot be"),
        (["orders.yaml", "--url", "localhost"], 2, "--url is no address"),
        (["orders.yaml", "--scheme", "githb"], 2, "is no scheme of webhooks"),
        (["orders.yaml", "--connection", "other"], 1, "there is no Connection `other`; add it: airflow connections"),
        (["orders.yaml", "--scheme", "stripe", "--id", "e1", "--data", "[]"], 2, "--data must be a JSON object"),
        (["orders.yaml", "--scheme", "hubspot", "--event", "x"], 2, "put it into --data"),
        (["orders.yaml", "--scheme", "hmac", "--event", "x"], 2, "unless its option `event_path` says"),
        (["http://localhost:1/x"], 2, "--scheme says how to sign"),
        (["http://localhost:1/x", "--scheme", "github"], 1, "there is no secret to sign with"),
        (["http://localhost:1/x", "--scheme", "token", "--url", "http://h"], 2, "a whole address was given already"),
        (["http://127.0.0.1:1/x", "--scheme", "token"], 1, "http://127.0.0.1:1/x cannot be reached (ConnectionError)"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_cannot_be_sent_is_told_in_a_line(
    flowmate: Flowmate,
    receiver: Provider,
    write_hook: Any,
    write_flow: WriteFlow,
    airflow: dict[str, Endpoint],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    code: int,
    told: str,
) -> None:
    connection(monkeypatch)
    write_hook("scheme: github, connection: hook")
    write_flow("- {id: items, use: shop/items}", "plain.yaml")
    airflow["orders"] = Endpoint("orders", scheme="github", connection="hook")
    result = flowmate("webhooks", "send", *arguments)
    assert (result.code, result.out) == (code, "")
    assert told in result.err.splitlines()[-1]
    assert SECRET not in result.err
    assert receiver.requests == []


def test_without_a_public_address_one_must_be_named(
    flowmate: Flowmate, write_hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch)
    flow = write_hook("scheme: github, connection: hook")
    for command, flag in (("send", "--url"), ("url", "--base")):
        result = flowmate("webhooks", command, flow)
        assert (result.code, result.out) == (2, "")
        assert "set [flowmate] public_url" in result.err
        assert flag in result.err


def test_the_address_stands_alone_on_standard_output(
    flowmate: Flowmate, receiver: Provider, store: Store, write_hook: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch)
    result = flowmate("webhooks", "url", write_hook("scheme: shopify, connection: hook"))
    assert (result.code, result.out) == (0, f"{receiver.base}/flowmate/hooks/orders\n")
    for part in ("shopify: Shopify", "in the Connection `hook`, which is there", "the app's client secret"):
        assert part in result.err
    assert SECRET not in result.err
    result = flowmate("webhooks", "url", "orders.yaml", "--base", "https://hooks.example.com/")
    assert result.out == "https://hooks.example.com/flowmate/hooks/orders\n"


def test_tokens_are_shown_where_needed_and_rotated(
    flowmate: Flowmate, receiver: Provider, store: Store, airflow: dict[str, Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch)
    airflow["orders"] = Endpoint("orders", scheme="github", connection="hook")
    airflow["open"] = Endpoint("open", scheme="token")
    bare = f"{receiver.base}/flowmate/hooks/orders"
    assert flowmate("webhooks", "url", "orders").out == f"{bare}\n"
    first = flowmate("webhooks", "url", "orders", "--token").out
    assert first == f"{bare}/{endpoints.token_of(store, 'orders')}\n"
    result = flowmate("webhooks", "url", "orders", "--rotate")
    assert result.out not in (first, f"{bare}\n")
    assert "valid for one day more" in result.err
    valid = endpoints.tokens(store)["orders", ""]
    assert [f"{bare}/{token}\n" for token in valid] == [result.out, first]
    result = flowmate("webhooks", "url", "open")
    assert result.out == f"{receiver.base}/flowmate/hooks/open/{endpoints.token_of(store, 'open')}\n"
    assert "whoever knows the address is let in" in result.err


def test_a_connection_that_is_not_there_and_a_learned_secret_are_told(
    flowmate: Flowmate, receiver: Provider, store: Store, airflow: dict[str, Endpoint]
) -> None:
    airflow["orders"] = Endpoint("orders", scheme="notion", connection="pages")
    endpoints.learn(store, "orders", "secret_\x1b[31mabc")
    result = flowmate("webhooks", "url", "orders")
    assert result.code == 0
    assert "NOBODY IS LET IN: there is no Connection `pages`; add it: airflow connections add pages" in result.err
    assert "abc" not in result.err
    result = flowmate("webhooks", "url", "orders", "--show-secrets")
    assert "secret_\\u001b[31mabc" in result.err


def test_a_connection_that_is_there_and_lets_nobody_in_is_told(
    flowmate: Flowmate,
    receiver: Provider,
    store: Store,
    airflow: dict[str, Endpoint],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    airflow["orders"] = Endpoint("orders", connection="hook")
    connection(monkeypatch)
    result = flowmate("webhooks", "url", "orders")
    assert "NOBODY IS LET IN: what the Connection `hook` holds is no secret of this scheme" in result.err
    connection(monkeypatch, password="")
    for command in ("url", "send"):
        result = flowmate("webhooks", command, "orders")
        assert "the Connection `hook` has no password; give it one" in result.err
        assert "connections add" not in result.err
    assert receiver.requests == []


def test_an_address_that_nobody_chose_is_told(
    flowmate: Flowmate, receiver: Provider, store: Store, airflow: dict[str, Endpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    airflow["orders"] = Endpoint("orders", scheme="token")
    assert "public_url" not in flowmate("webhooks", "url", "orders").err
    monkeypatch.delenv("AIRFLOW__FLOWMATE__PUBLIC_URL")
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "http://localhost:8080")
    result = flowmate("webhooks", "url", "orders")
    assert result.out.startswith("http://localhost:8080/flowmate/hooks/orders/")
    assert "[flowmate] public_url is not set" in result.err


def test_a_flow_that_is_switched_off_or_that_airflow_does_not_know_is_told(
    flowmate: Flowmate,
    receiver: Provider,
    store: Store,
    write_hook: Any,
    airflow: dict[str, Endpoint],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection(monkeypatch)
    flow = write_hook("scheme: github, connection: hook")
    assert "switched off in Airflow: orders; what is received waits" in flowmate("webhooks", "send", flow).err
    receiver.answer = (401, b"")
    assert (
        "Airflow knows no webhook `orders`: its flow has to be in the folder" in flowmate("webhooks", "send", flow).err
    )
    airflow["orders"] = Endpoint("orders", scheme="github", connection="hook")
    assert "list --status rejected has the reason" in flowmate("webhooks", "send", flow).err


def test_the_endpoint_of_a_step_that_waits(
    flowmate: Flowmate, receiver: Provider, store: Store, write_flow: WriteFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection(monkeypatch)
    result = flowmate("webhooks", "url", write_flow(WAITING))
    assert result.out == f"{receiver.base}/flowmate/hooks/orders~paid\n", result.err
    second = WAITING.splitlines()[1].replace("id: paid", "id: shipped")
    result = flowmate("webhooks", "url", write_flow(f"{WAITING}{second}"))
    assert (result.code, "name the endpoint of one: orders~paid, orders~shipped" in result.err) == (2, True)


def test_airflow_that_cannot_be_asked_is_told_without_what_it_says(
    flowmate: Flowmate, receiver: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(self: Directory) -> Mapping[str, Endpoint]:
        raise OSError("postgresql://user:password@host")

    monkeypatch.setattr(Directory, "endpoints", fails)
    result = flowmate("webhooks", "url", "orders")
    assert (result.code, result.out) == (1, "")
    assert "Airflow could not be asked for its webhooks (OSError)" in result.err
    assert "password" not in result.err
