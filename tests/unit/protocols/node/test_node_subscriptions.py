"""The hooks of an elastic.io trigger as the verbs `subscribe` and `unsubscribe`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from node_runs import Component, Ran, run_runner

from flowmate_airflow.protocols.base import FILES, Request
from flowmate_airflow.protocols.events import ErrorEvent, Event, LogEvent, ProtocolError, SubscriptionEvent
from flowmate_airflow.protocols.node_image import NodeConversation

URL = "https://hooks.example.com/flowmate/hooks/orders"
HOOKS = """
exports.process = () => null;
exports.startup = async (cfg) => ({id: cfg.topic, url: process.env.ELASTICIO_FLOW_WEBHOOK_URI});
exports.shutdown = async function (cfg, started) {
  if (started.id !== cfg.topic) { throw Object.assign(new Error(`got ${JSON.stringify(started)}`), {status: 404}); }
  return {removed: started.id};
};
"""


def request(verb: Any, **webhook: Any) -> Request:
    context = {"flow": "orders", "step": "hook", "webhook": {"url": URL, **webhook}}
    return Request(verb=verb, function="pull", config={"topic": "created"}, context=context)


def played(component: Component, asked: Request) -> tuple[Ran, list[Event]]:
    """Return what the runner printed for a request, and what that means."""
    conversation = NodeConversation(asked)
    arguments = [word.removeprefix(f"{FILES}/") for word in conversation.launch().arguments]
    assert arguments[0] == "runner.js"
    ran = run_runner(component.folder, *arguments[1:], stdin=b"".join(conversation.feed(())).decode())
    lines = [json.dumps(event, separators=(",", ":")).encode() for event in ran.events]
    events: list[Event] = [
        event for line in lines for event in conversation.take(line) if not isinstance(event, LogEvent)
    ]
    return ran, events


def test_startup_gets_the_address_and_its_answer_goes_to_shutdown(component: Component) -> None:
    component.sailor().trigger(HOOKS)
    ran, (event,) = played(component, request("subscribe"))
    assert (ran.code, event) == (0, SubscriptionEvent({"id": "created", "url": URL}))
    ran, events = played(component, request("unsubscribe", subscription=event.subscription))  # type: ignore[union-attr]
    assert (ran.code, events) == (0, [])
    assert ran.of("SHUTDOWN")[0]["data"] == {"removed": "created"}


def test_a_hook_that_fails_says_why(component: Component) -> None:
    component.sailor().trigger(HOOKS)
    ran, (event,) = played(component, request("unsubscribe", subscription=None))
    assert ran.code != 0
    assert isinstance(event, ErrorEvent)
    assert "its shutdown() failed: got {}" in event.text


def test_a_trigger_that_registers_nothing_is_no_success(component: Component) -> None:
    component.trigger("exports.process = () => null;")
    _, (event,) = played(component, request("subscribe"))
    assert isinstance(event, ErrorEvent)
    assert event.failure_type == "config"
    assert "has no startup()" in event.text
    ran, events = played(component, request("unsubscribe", subscription={}))
    assert (ran.code, events) == (0, [])


@pytest.mark.parametrize("data", ['{"id":', '"' + "x" * 70_000 + '"}'])
def test_an_answer_that_cannot_be_kept_is_refused(data: str) -> None:
    with pytest.raises(ProtocolError):
        list(NodeConversation(request("subscribe")).take(b'{"type":"STARTUP","data":' + data.encode()))


@pytest.mark.parametrize("sdk", ["elasticio-sailor-nodejs", "@openintegrationhub/ferryman"])
def test_an_event_has_the_parts_of_its_request(component: Component, sdk: str) -> None:
    component.sdk(sdk, "2.6.0").trigger(
        "this.emit('data', {data: {by: msg.method, q: msg.query, from: msg.headers['x-from'], got: msg.data}});"
    )
    webhook = {"method": "POST", "query": {"a": "1"}, "headers": {"x-from": "shop"}, "endpoint": "orders"}
    message = {"id": "w1", "data": {"n": 1}, "metadata": {"webhook": webhook}}
    stdin = b"".join(NodeConversation(Request(function="pull")).feed([json.dumps(message).encode()]))
    ran = run_runner(component.folder, "run", "pull", stdin=stdin.decode())
    assert ran.data == [{"by": "POST", "q": {"a": "1"}, "from": "shop", "got": {"n": 1}}]
