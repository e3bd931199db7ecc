"""However process() ends, its message gets exactly one result or error."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from node_runs import Component
from node_service import Answer, Service


@pytest.mark.parametrize(
    "module",
    [
        "exports.process = (msg) => ({data: msg.data});",
        "module.exports = {process: async (msg) => ({data: msg.data})};",
        "module.exports.process = (msg) => Promise.resolve({data: msg.data});",
        "exports.process = (msg) => ({then: (done) => setTimeout(() => done({data: msg.data}), 5)});",
        "exports.process = function (msg) { setTimeout(() => {"
        " this.emit('data', {data: msg.data}); this.emit('end'); }, 5); };",
        "exports.process = function (msg) { setTimeout(() => this.emit('data', {data: msg.data}), 5); };",
        "exports.default = {process: async (msg) => ({data: msg.data})};",
    ],
    ids=["value", "async", "promise", "thenable", "callback-end", "callback-no-end", "default"],
)
@pytest.mark.parametrize("sailor", [False, True])
def test_every_form_of_return(component: Component, module: str, sailor: bool) -> None:
    component.action(module.replace("msg.data", "(msg.data || msg.body)"))
    if sailor:
        component.sailor()
    ran = component.run("act", ["a", "b"])
    assert ran.data == ["a", "b"]
    assert ran.results == ["1", "2"]
    assert ran.code == 0


@pytest.mark.parametrize("top", ["", "await null;"])
def test_an_ecmascript_module(component: Component, top: str) -> None:
    component.action("return {data: process.versions.node};")
    if int(str(component.run("act", [1]).data[0]).split(".")[0]) < 16:
        pytest.skip("this Node has no such modules")
    component.file("package.json", '{"type": "module"}')
    component.file("lib/act.js", f"{top} export async function process(msg) {{ return {{data: msg.data}}; }}")
    ran = component.run("act", ["a"])
    assert ran.data == ["a"]
    component.file("lib/act.js", "import 'nowhere'; export const process = () => null;")
    assert "'nowhere'" in component.run("act", ["a"]).error["message"]


@pytest.mark.parametrize("value", ["null", "undefined", "false", "0", "''"])
def test_a_falsy_return_is_no_message(component: Component, value: str) -> None:
    component.action(f"return {value};")
    ran = component.run("act", [1])
    assert ran.kinds == ["RESULT"]


@pytest.mark.parametrize(("value", "kind"), [("'done'", "a string"), ("true", "a boolean"), ("7", "a number")])
def test_a_primitive_return_is_an_error(component: Component, value: str, kind: str) -> None:
    component.action(f"return {value};")
    ran = component.run("act", [1])
    assert f"{kind} as its data" in ran.error["message"]
    assert ran.code == 1


def test_a_generator_is_an_error(component: Component) -> None:
    component.action("exports.process = function* process() { yield 1; };")
    assert "generator" in component.run("act", [1]).error["message"]


@pytest.mark.parametrize(
    "body",
    [
        "throw new Error('broken');",
        "exports.process = function () { throw new Error('broken'); };",
        "await this.emit('end'); throw new Error('broken');",
        "exports.process = function () { setTimeout(() => { throw new Error('broken'); }, 5); };",
        "Promise.reject(new Error('broken'));",
        "[1].forEach(async () => { await null; throw new Error('broken'); });",
        "await this.emit('error', new Error('broken'));",
        "this.emit('error', {message: 'broken'});",
        "this.emit('error', 'broken');",
        "await new Promise(() => { setTimeout(() => { throw new Error('broken'); }, 5); });",
    ],
    ids=[
        "reject", "throw", "after-end", "in-callback", "unhandled", "in-forEach", "emit", "emit-object", "emit-text",
        "in-callback-while-pending",
    ],
)  # fmt: skip
@pytest.mark.parametrize("sailor", [False, True])
def test_every_way_to_fail_fails_its_message_only(component: Component, body: str, sailor: bool) -> None:
    component.action(body, "bad").action("return {data: 1};")
    if sailor:
        component.sailor()
    ran = component.run("bad", ["a", "b"], on_error="dead_letter")
    assert [error["id"] for error in ran.errors] == ["1", "2"]
    assert all("broken" in error["message"] for error in ran.errors)
    assert ran.results == []
    assert ran.code == 0


def test_a_rejection_that_is_handled_later_is_no_error(component: Component) -> None:
    component.action(
        "const early = Promise.reject(new Error('handled'));"
        "await new Promise((r) => setTimeout(r, 10));"
        "try { await early; } catch (error) { return {data: error.message}; }"
    )
    ran = component.run("act", [1])
    assert ran.data == ["handled"]
    assert ran.results == ["1"]


def test_a_promise_that_can_never_settle_is_an_error(component: Component) -> None:
    component.action("await new Promise(() => {});")
    ran = component.run("act", [1, 2], on_error="skip")
    assert [error["id"] for error in ran.errors] == ["1", "2"]
    assert "never finishes" in ran.errors[0]["message"]


def test_a_call_that_takes_too_long_is_given_up_and_the_next_one_goes_on(component: Component) -> None:
    component.action(
        "if (msg.data === 'slow') { await new Promise((r) => setTimeout(r, 30000)); } return {data: msg.data};"
    )
    ran = component.run("act", ["slow", "quick"], on_error="skip", settings={"timeout": 0.2})
    assert ran.error["id"] == "1"
    assert ran.error["failure_type"] == "transient"
    assert "0.2 seconds" in ran.error["message"]
    assert ran.data == ["quick"]
    assert ran.results == ["2"]


def test_data_after_the_time_was_up_is_left_out(component: Component) -> None:
    component.action(
        "await new Promise((r) => setTimeout(r, msg.data === 'slow' ? 300 : 600)); return {data: msg.data};"
    )
    ran = component.run("act", ["slow", "quick"], on_error="skip", settings={"timeout": 0.1})
    assert ran.data == []
    assert len(ran.errors) == 2


def test_something_that_stays_open_does_not_hold_up_the_batch(component: Component) -> None:
    component.action(
        "setInterval(() => {}, 1000); require('net').createServer().listen(0);"
        "exports.process = async (msg) => ({data: msg.data});"
    )
    ran = component.run("act", range(200), settings={"idle_grace": 0.1})
    assert len(ran.results) == 200
    assert ran.code == 0
    assert "keeps something open" in ran.log


def test_work_nobody_waits_for_is_waited_for_although_something_stays_open(component: Component) -> None:
    component.action(
        "setInterval(() => {}, 1000);"
        "exports.process = async function (msg) { [30, 60].forEach(async (ms) => {"
        " await new Promise((r) => setTimeout(r, ms)); this.emit('data', {data: msg.data}); }); };"
    )
    ran = component.run("act", ["a"], settings={"idle_grace": 0.3})
    assert ran.kinds == ["MESSAGE", "MESSAGE", "RESULT"]


def test_a_call_that_failed_is_not_waited_for_when_it_goes_on_in_the_background(component: Component) -> None:
    component.action(
        "if (msg.data % 2) { setTimeout(() => {}, 60000); throw new Error('refused'); } return {data: msg.data};"
    )
    ran = component.run("act", range(20), on_error="skip", settings={"idle_grace": 30})
    assert len(ran.errors) == 10
    assert ran.data == list(range(0, 20, 2))


def test_requests_under_way_are_waited_for_after_a_failure(
    component: Component, serve: Callable[[Answer], Service]
) -> None:
    held = threading.Event()

    def answer(method: str, path: str, body: object) -> tuple[int, object]:
        if path == "/slow":
            held.wait(1)  # nobody sets it: longer than a failed call is given
        return 200, {}

    url = serve(answer).url
    component.action(
        "const get = (path) => new Promise((done) =>"
        " require('http').get(cfg.url + path, (answer) => answer.resume().on('end', done)));"
        "await Promise.all([get('/slow').then(() => this.emit('data', {data: 'slow'})),"
        " get('/').then(() => { throw new Error('refused'); })]);"
    )
    ran = component.run("act", [1], config={"url": url}, on_error="skip")
    assert ran.data == ["slow"]
    assert ran.kinds == ["MESSAGE", "ERROR"]


def test_data_for_a_message_that_was_told_as_failed_is_left_out(component: Component) -> None:
    component.action(
        "if (msg.data === 1) { setTimeout(() => this.emit('data', {data: 'late'}), 400); throw new Error('refused'); }"
        "await new Promise((r) => setTimeout(r, 1000)); return {data: 2};"
    )
    ran = component.run("act", [1, 2], on_error="skip")
    assert ran.data == [2]
    assert "told as failed" in ran.log


def test_an_error_in_the_middle_does_not_end_a_call_that_goes_on(component: Component) -> None:
    component.action(
        "this.emit('data', {data: 1}); this.emit('error', new Error('one of them'));"
        "await new Promise((r) => setTimeout(r, 300)); this.emit('data', {data: 2});"
    )
    ran = component.run("act", [0], on_error="skip")
    assert ran.data == [1, 2]
    assert ran.kinds == ["MESSAGE", "MESSAGE", "ERROR"]
    assert "outside" not in ran.log


def test_a_rebound_is_tried_again_after_the_other_messages(component: Component) -> None:
    component.action(
        "const again = headers.reboundIteration || 0;"
        "if (msg.data === 'busy' && again < 2) { this.emit('rebound', 'locked'); return null; }"
        "return {data: [msg.data, again, headers.reboundReason || null]};"
    )
    ran = component.run("act", ["busy", "free"], settings={"rebound_initial": 0.01})
    assert ran.data == [["free", 0, None], ["busy", 2, "locked"]]
    assert ran.results == ["2", "1"]
    assert "tried again in 0.02 s: locked" in ran.log


def test_rebounds_come_to_an_end(component: Component) -> None:
    component.action("this.emit('rebound', new Error('still locked'));")
    ran = component.run("act", [1, 2], on_error="skip", settings={"rebound_initial": 0.001, "rebound_limit": 3})
    assert [error["id"] for error in ran.errors] == ["1", "2"]
    assert ran.errors[0]["message"] == "rebound limit exceeded (3): still locked"
    assert ran.errors[0]["failure_type"] == "transient"


def test_a_trigger_can_rebound_too(component: Component) -> None:
    component.trigger("if (!headers.reboundIteration) { this.emit('rebound', 'wait'); } else { return {data: 1}; }")
    ran = component.run("pull", settings={"rebound_initial": 0.001})
    assert ran.data == [1]
    assert ran.code == 0
