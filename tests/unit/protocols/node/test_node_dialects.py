"""A component gets what its SDK would have given it, and its answer fits a component of any other dialect."""

from __future__ import annotations

import json

import pytest
from node_runs import Component

ARGUMENTS = "return {data: {msg, cfg, snapshot, headers, tokenData, count: arguments.length}};"
MESSAGE = {
    "id": "m1",
    "data": {"x": 1},
    "metadata": {"recordUid": "r"},
    "attachments": {"a": {"url": "u"}},
    "passthrough": {"first": {"data": {"y": 2}}},
}
FERRYMAN = "@openintegrationhub/ferryman"
SAILOR = "elasticio-sailor-nodejs"


def test_ferryman_gets_data_and_five_arguments(component: Component) -> None:
    component.sdk(FERRYMAN, "^2.4.7").action(ARGUMENTS)
    ran = component.run(
        "act",
        [MESSAGE],
        config={"a": 1, "key": "field"},
        credentials={"key": "secret"},
        state={"n": 1},
        settings={"node_settings": {"syncParam": "since"}, "tenant": "t1"},
    )
    (data,) = ran.data
    assert data["count"] == 5
    assert data["msg"]["data"] == {"x": 1}
    assert "body" not in data["msg"]
    assert "id" not in data["msg"]
    assert data["cfg"] == {"a": 1, "key": "secret", "nodeSettings": {"syncParam": "since"}}
    assert data["snapshot"] == {"n": 1}
    assert data["headers"]["messageId"] == "m1"
    token = data["tokenData"]
    assert (token["function"], token["flowId"], token["stepId"], token["flowExecId"]) == (
        "act",
        "orders",
        "save",
        "run1",
    )
    assert (token["tenant"], token["nodeSettings"]) == ("t1", {"syncParam": "since"})
    assert "secret" not in json.dumps(token)


def test_sailor_gets_a_body_and_three_arguments(component: Component) -> None:
    component.sailor().action(ARGUMENTS)
    (data,) = component.run("act", [MESSAGE], config={"a": 1}, credentials={"key": "s"}).data
    assert data["count"] == 3
    assert data["msg"] == {
        "id": "m1",
        "body": {"x": 1},
        "headers": {},
        "attachments": {"a": {"url": "u"}},
        "metadata": {"recordUid": "r"},
        "passthrough": {"first": {"data": {"y": 2}, "body": {"y": 2}}},
    }
    assert data["cfg"] == {"a": 1, "key": "s"}


def test_old_ferryman_gets_both_names_and_either_may_be_changed(component: Component) -> None:
    component.sdk(FERRYMAN, "1.5.5").action("msg.body = {new: msg.body.x + msg.data.x}; this.emit('data', msg);")
    assert component.run("act", [MESSAGE]).data == [{"new": 2}]


@pytest.mark.parametrize(("sdk", "other"), [(FERRYMAN, "body"), (SAILOR, "data")])
def test_the_other_name_answers_too_but_is_not_copied(component: Component, sdk: str, other: str) -> None:
    component.sdk(sdk, "2.0.0").action(
        f"this.emit('data', {{data: {{seen: msg.{other}.x, keys: Object.keys(msg)}}}});"
        f"this.emit('data', msg); msg.{other} = {{replaced: true}}; this.emit('data', msg);"
    )
    ran = component.run("act", [MESSAGE])
    assert ran.data[0]["seen"] == 1
    assert other not in ran.data[0]["keys"]
    assert ran.data[1:] == [{"x": 1}, {"replaced": True}]


@pytest.mark.parametrize(
    ("manifest", "dialect"),
    [
        ({"dependencies": {FERRYMAN: "2.4.7"}}, "ferryman"),
        ({"dependencies": {FERRYMAN: "^1.7.0"}}, "ferryman"),
        ({"dependencies": {FERRYMAN: "1"}}, "ferryman"),
        ({"dependencies": {FERRYMAN: "1.1.3"}}, "ferryman-old"),
        ({"dependencies": {SAILOR: "2.6.1"}}, "sailor"),
        ({"dependencies": {"elasticio-node": "0.0.9"}}, "sailor"),
        ({"dependencies": {"lodash": "4"}}, "ferryman"),
        ({"dependencies": {"ferryman-1-7-0": f"npm:{FERRYMAN}@1.7.0"}}, "ferryman"),
        (
            {
                "dependencies": {FERRYMAN: "2.0.0", SAILOR: "2.0.0"},
                "scripts": {"start": f"node ./node_modules/{SAILOR}/run.js"},
            },
            "sailor",
        ),
        ({}, "ferryman"),
    ],
)
def test_the_dialect_comes_from_the_image(component: Component, manifest: dict[str, object], dialect: str) -> None:
    component.file("package.json", json.dumps(manifest)).save()
    (described,) = component.verb("describe").of("DESCRIBE")
    assert described["dialect"] == dialect


def test_what_is_installed_is_stronger_than_what_is_asked_for(component: Component) -> None:
    component.sdk(FERRYMAN, "*").file(f"node_modules/{FERRYMAN}/package.json", '{"version": "1.5.4"}').save()
    (described,) = component.verb("describe").of("DESCRIBE")
    assert described["dialect"] == "ferryman-old"
    assert described["sdk"] == {"name": FERRYMAN, "version": "1.5.4"}


def test_the_step_can_insist_on_a_dialect(component: Component) -> None:
    component.action("return {data: Object.keys(msg).sort()};")
    ran = component.run("act", [1], settings={"dialect": "sailor"})
    assert "body" in ran.data[0]
    wrong = component.run("act", [1], settings={"dialect": "klingon"})
    assert "unknown dialect klingon" in wrong.error["message"]
    assert wrong.code == 78


@pytest.mark.parametrize("sdk", [FERRYMAN, SAILOR])
def test_body_and_data_mean_the_same_in_what_is_emitted(component: Component, sdk: str) -> None:
    component.sdk(sdk, "2.0.0").action(
        "this.emit('data', {body: {n: 1}}); this.emit('data', {data: {n: 2}});"
        "this.emit('data', {data: {n: 3}, body: 0});"
        "this.emit('data', {metadata: {only: true}});"
    )
    assert component.run("act", [1]).data == [{"n": 1}, {"n": 2}, {"n": 3}, {}]


def test_headers_of_a_sailor_message_reach_the_next_sailor_component(component: Component) -> None:
    component.sailor().action("return {body: {got: msg.headers}, headers: {'x-page': '2'}};")
    (sent,) = component.run("act", [{"id": "1", "data": {}, "metadata": {"headers": {"x-page": "1"}}}]).of("MESSAGE")
    assert sent["message"]["data"] == {"got": {"x-page": "1"}}
    assert sent["message"]["metadata"] == {"headers": {"x-page": "2"}}


@pytest.mark.parametrize("sdk", [FERRYMAN, SAILOR])
def test_the_passthrough_of_earlier_steps_is_carried_on(component: Component, sdk: str) -> None:
    component.sdk(sdk, "2.0.0").action("msg.passthrough.first = 'changed'; return {data: {z: 1}, metadata: {m: 1}};")
    (plain,) = component.run("act", [MESSAGE]).of("MESSAGE")
    assert plain["message"]["passthrough"] == {"first": {"data": {"y": 2}}}
    (own,) = component.run("act", [MESSAGE], settings={"node_settings": {"passthrough": True}}).of("MESSAGE")
    assert own["message"]["passthrough"]["first"] == {"data": {"y": 2}}
    assert own["message"]["passthrough"]["save"] == {"data": {"z": 1}, "metadata": {"m": 1}}


def test_each_message_gets_a_config_of_its_own(component: Component) -> None:
    component.action("cfg.headers.push('more'); cfg.nodeSettings.x = 1; return {data: cfg};")
    ran = component.run("act", [1, 2], config={"headers": ["one"]})
    assert ran.data[0] == ran.data[1] == {"headers": ["one", "more"], "nodeSettings": {"x": 1}}


def test_node_settings_may_stand_in_the_config(component: Component) -> None:
    component.action("return {data: [cfg.nodeSettings, tokenData.nodeSettings]};")
    given = {"config": {"nodeSettings": {"a": 1, "b": 1}}, "settings": {"node_settings": {"b": 2}}}
    assert component.run("act", [1], **given).data == [[{"a": 1, "b": 2}] * 2]


def test_a_trigger_is_called_once_with_an_empty_message(component: Component) -> None:
    component.trigger("return {data: {msg}};").trigger("return {body: {msg}};", "poll")
    assert component.run("pull").data[0]["msg"]["data"] == {}
    assert component.sailor().run("poll").data[0]["msg"]["body"] == {}


def test_a_trigger_takes_messages_where_there_are_some(component: Component) -> None:
    component.trigger("return {data: msg.data};")
    ran = component.run("pull", [1, 2])
    assert ran.data == [1, 2]
    assert ran.results == ["1", "2"]


def test_an_action_without_messages_has_nothing_to_do(component: Component) -> None:
    component.action("return {data: 1};")
    ran = component.run("act")
    assert ran.events == []
    assert ran.code == 0


def test_the_parts_of_a_webhook_are_handed_over(component: Component) -> None:
    component.action("return {data: [msg.method, msg.query, msg.headers]};")
    message = {"id": "1", "data": {}, "method": "POST", "query": {"q": "1"}, "headers": {"h": "1"}}
    assert component.run("act", [message]).data == [["POST", {"q": "1"}, {"h": "1"}]]


def test_attachments_are_handed_on_and_the_log_says_so(component: Component) -> None:
    component.sailor().action("return {body: {}, attachments: msg.attachments};")
    ran = component.run("act", [MESSAGE])
    assert ran.of("MESSAGE")[0]["message"]["attachments"] == {"a": {"url": "u"}}
    assert "attachments" in ran.log


def test_what_this_offers(component: Component) -> None:
    component.action(
        "const failed = ['getApiClient', '__getAmqp'].map((name) => {"
        " try { this[name](); return null; } catch (error) { return error.message; } });"
        "return {data: [this.getFlowVariables(), this.getConfig().FLOW_ID, process.env.ELASTICIO_STEP_ID, failed]};"
    )
    (data,) = component.run("act", [1], settings={"variables": {"v": "1"}}).data
    assert data[:3] == [{"v": "1"}, "orders", "save"]
    assert "not available here" in data[3][0]
    assert "not available here" in data[3][1]


def test_init_is_called_for_sailor_only_and_once(component: Component) -> None:
    component.action(
        "let inits = 0; exports.init = async (cfg) => { inits += cfg.step; };"
        "exports.process = async () => ({data: inits});"
    )
    assert component.run("act", [1, 2], config={"step": 5}).data == [0, 0]
    assert component.sailor().run("act", [1, 2], config={"step": 5}).data == [5, 5]


def test_an_init_that_fails_fails_the_step(component: Component) -> None:
    component.sailor().action("exports.init = () => { throw new Error('no'); }; exports.process = () => null;")
    ran = component.run("act", [1], on_error="skip")
    assert ran.error == {"type": "ERROR", "message": "its init() failed: no", "failure_type": "system"}
    assert ran.code == 1
