"""The verbs beside `run`: what a component says about itself and what it can be asked."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from node_runs import Component, Ran, run_runner


def test_describe_needs_no_input_and_tells_everything(component: Component) -> None:
    schema = {"type": "object", "properties": {"id": {"type": "string", "required": True}}}
    component.file("lib/schemas/in.json", json.dumps(schema)).file("verifyCredentials.js", "").file(
        "logo.svg", "<svg/>"
    )
    package: dict[str, Any] = {"name": "crm", "version": "3.1.0", "engines": {"node": "18"}}
    package["dependencies"] = {"elasticio-sailor-nodejs": "2.7.1"}
    component.file("package.json", json.dumps(package))
    component.action("", "save", metadata={"in": "./lib/schemas/in.json", "out": {"type": "object"}})
    component.action("", "load", metadata={"in": "./lib/schemas/none.json"}).trigger("")
    ran = run_runner(component.folder, "describe")
    (described,) = ran.of("DESCRIBE")
    assert ran.code == 0
    assert described["component"] == component.describe
    assert described["dialect"] == "sailor"
    assert described["sdk"] == {"name": "elasticio-sailor-nodejs", "version": "2.7.1"}
    assert described["package"] == {"name": "crm", "version": "3.1.0", "engines": {"node": "18"}}
    assert described["metadata"]["save"] == {"in": schema, "out": {"type": "object"}}
    assert described["metadata"]["pull"] == {"in": None, "out": None}
    assert described["files"]["verifyCredentials"] is True
    assert base64.b64decode(described["files"]["logo"]) == b"<svg/>"
    (problem,) = described["problems"]
    assert "metadata of load: cannot read ./lib/schemas/none.json" in problem


def test_a_large_logo_is_left_out(component: Component) -> None:
    component.file("logo.png", "x" * 200_001).save()
    (described,) = component.verb("describe").of("DESCRIBE")
    assert described["files"]["logo"] is None
    assert described["problems"] == ["logo.png is larger than 200 kB and left out"]


@pytest.mark.parametrize(
    ("module", "ok", "message"),
    [
        ("module.exports = async (cfg) => cfg.key === 'k';", True, ""),
        ("module.exports = (cfg, cb) => cb(null, {verified: true});", True, ""),
        ("module.exports = async () => {};", True, ""),
        ("module.exports = () => {};", True, ""),
        ("exports.default = async () => ({verified: true});", True, ""),
        ("module.exports = (cfg, cb) => { setTimeout(() => cb(null, null), 5); };", True, ""),
        ("module.exports = async () => false;", False, "do not work"),
        ("module.exports = () => false;", False, "do not work"),
        ("module.exports = (cfg, cb) => cb(null, {verified: false, reason: 'expired'});", False, "expired"),
        ("module.exports = (cfg, cb) => { setTimeout(() => cb(new Error('bad key')), 5); };", False, "bad key"),
        ("module.exports = async () => { throw new Error('bad key'); };", False, "bad key"),
        ("module.exports = () => { throw new Error('bad key'); };", False, "bad key"),
        ("module.exports = (cfg, cb) => {};", False, "never answers"),
        ("module.exports = () => new Promise(() => {});", False, "never answers"),
        ("module.exports = (cfg, cb) => { setTimeout(() => { throw new Error('thrown'); }, 5); };", False, "thrown"),
    ],
)
def test_check(component: Component, module: str, ok: bool, message: str) -> None:
    component.file("verifyCredentials.js", module).save()
    ran = component.verb("check", credentials={"key": "k"})
    (event,) = ran.of("CHECK")
    assert (event["ok"], ran.code) == (ok, 0)
    assert message in event["message"]
    assert event.get("failure_type") == (None if ok else "config")


def test_a_check_that_cannot_reach_the_system_says_that_a_retry_may_help(component: Component) -> None:
    component.file(
        "verifyCredentials.js", "module.exports = async () => { throw Object.assign(new Error('x'), {status: 503}); };"
    ).save()
    (event,) = component.verb("check").of("CHECK")
    assert (event["ok"], event["failure_type"]) == (False, "transient")


def test_no_check_is_ok_and_says_so(component: Component) -> None:
    (event,) = component.save().verb("check").of("CHECK")
    assert event["ok"] is True
    assert "no check of its own" in event["message"]


def test_a_check_that_does_not_load_is_a_config_error(component: Component) -> None:
    ran = component.file("verifyCredentials.js", "require('nowhere');").save().verb("check")
    assert "'nowhere'" in ran.error["message"]
    assert ran.code == 78


@pytest.mark.parametrize(
    "function",
    [
        "async function (cfg) { return {in: {a: cfg.a}, out: {}}; }",
        "function (cfg, cb) { setTimeout(() => cb(null, {in: {a: cfg.a}, out: {}}), 5); }",
        "function (cfg) { this.logger.info('asked'); return {in: {a: cfg.a}, out: {}}; }",
    ],
)
def test_metamodel(component: Component, function: str) -> None:
    component.action(f"exports.process = () => null; exports.getMetaModel = {function};", dynamicMetadata=True)
    ran = component.verb("metamodel", "act", config={"a": 1})
    assert ran.of("METADATA")[0]["metadata"] == {"in": {"a": 1}, "out": {}}
    assert ran.code == 0


def test_metamodel_of_a_function_that_has_none_is_what_component_json_says(component: Component) -> None:
    component.action("exports.process = () => null;", metadata={"in": {"type": "object"}})
    (event,) = component.verb("metamodel", "act").of("METADATA")
    assert event["metadata"] == {"in": {"type": "object"}, "out": None}


def test_select(component: Component) -> None:
    component.action(
        "exports.process = () => null;"
        "exports.lists = async (cfg) => ({[cfg.id]: 'One'}); exports.folders = (cfg, cb) => cb(null, {f: 'F'});"
    )
    assert component.verb("select", "act", "lists", config={"id": "1"}).of("OPTIONS")[0]["options"] == {"1": "One"}
    assert component.verb("select", "act", "folders").of("OPTIONS")[0]["options"] == {"f": "F"}
    wrong = component.verb("select", "act", "list")
    assert "did you mean lists?" in wrong.error["message"]
    assert wrong.code == 78


def test_a_model_that_fails_keeps_its_reason(component: Component) -> None:
    component.action(
        "exports.process = () => null;"
        "exports.lists = async () => { throw Object.assign(new Error('slow down'), {status: 429}); };"
    )
    ran = component.verb("select", "act", "lists")
    assert ran.error["message"] == "lists of act failed: slow down"
    assert ran.code == 75


def test_keys_that_a_model_renews_are_told(component: Component) -> None:
    component.action(
        "exports.process = () => null;"
        "exports.lists = async function () { this.emit('updateKeys', {oauth: {access_token: 'n'}}); return {}; };"
    )
    ran = component.verb("select", "act", "lists")
    assert ran.of("CREDENTIALS")[0]["credentials"] == {"oauth": {"access_token": "n"}}


def test_lookup_runs_a_trigger_and_remembers_nothing(component: Component) -> None:
    component.trigger(
        "this.emit('snapshot', {n: 1});"
        "return {data: {skip: tokenData.nodeSettings.skipSnapshot, since: snapshot.since}};"
    )
    ran = component.verb("lookup", "pull", state={"since": 1})
    assert ran.data == [{"skip": True, "since": 1}]
    assert ran.of("STATE") == []


def test_lookup_makes_a_message_of_each_row_that_is_returned(component: Component) -> None:
    component.trigger("return [{id: 1, data: 'own'}, {id: 2}];")
    assert component.verb("lookup", "pull").data == [{"id": 1, "data": "own"}, {"id": 2}]


def hooks(component: Component) -> Component:
    return component.sailor().trigger(
        "exports.process = () => null;"
        "exports.startup = async (cfg) => ({subscription: cfg.topic});"
        "exports.shutdown = async (cfg, started) => ({removed: started.subscription});"
    )


def test_the_hooks_of_a_webhook(component: Component) -> None:
    hooks(component)
    started: Ran = component.verb("startup", "pull", config={"topic": "orders"})
    data: Any = started.of("STARTUP")[0]["data"]
    assert data == {"subscription": "orders"}
    stopped = component.verb("shutdown", "pull", state=data)
    assert stopped.of("SHUTDOWN")[0]["data"] == {"removed": "orders"}


def test_a_trigger_without_hooks_has_nothing_to_say(component: Component) -> None:
    component.trigger("exports.process = () => null;")
    assert component.verb("startup", "pull").of("STARTUP")[0]["data"] is None
