"""Whatever is wrong with a component, its image or its input, the host gets one clear reason and an exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest
from node_runs import RUNNER, Component, node_binary, run_runner, stdin_of

CONFIG, TRANSIENT, SYSTEM = 78, 75, 1


def test_fail_stops_at_the_first_message_that_fails(component: Component) -> None:
    component.action("if (msg.data === 2) { throw new Error('two'); } return {data: msg.data};")
    ran = component.run("act", [1, 2, 3], on_error="fail")
    assert ran.data == [1]
    assert ran.error["id"] == "2"
    assert ran.code == SYSTEM


@pytest.mark.parametrize("on_error", ["skip", "dead_letter"])
def test_skip_and_dead_letter_go_on(component: Component, on_error: str) -> None:
    component.action("if (msg.data === 2) { throw new Error('two'); } return {data: msg.data};")
    ran = component.run("act", [1, 2, 3], on_error=on_error)
    assert ran.results == ["1", "3"]
    assert ran.error["id"] == "2"
    assert ran.code == 0


def test_a_trigger_that_fails_fails_the_step(component: Component) -> None:
    component.trigger("this.emit('data', {data: 1}); throw new Error('broken');")
    ran = component.run("pull", on_error="skip")
    assert ran.data == [1]
    assert "id" not in ran.error
    assert ran.code == SYSTEM


@pytest.mark.parametrize(
    ("error", "failure_type", "code"),
    [
        ("{message: 'x', status: 401}", "config", CONFIG),
        ("Object.assign(new Error('x'), {response: {status: 403}})", "config", CONFIG),
        ("Object.assign(new Error('x'), {statusCode: 429})", "transient", TRANSIENT),
        ("Object.assign(new Error('x'), {response: {statusCode: 503}})", "transient", TRANSIENT),
        ("Object.assign(new Error('x'), {code: 'ECONNREFUSED'})", "transient", TRANSIENT),
        ("Object.assign(new Error('x'), {code: 500})", "transient", TRANSIENT),
        (
            "Object.assign(new Error('fetch failed'), {cause: {code: 'ETIMEDOUT', message: 'late'}})",
            "transient",
            TRANSIENT,
        ),
        ("Object.assign(new Error('x'), {status: 404})", "system", SYSTEM),
        ("new TypeError('x')", "system", SYSTEM),
        ("{reason: 'an object without a message'}", "system", SYSTEM),
    ],
)
def test_the_failure_type_is_guessed(component: Component, error: str, failure_type: str, code: int) -> None:
    component.action(f"this.emit('error', {error});")
    ran = component.run("act", [1])
    assert ran.error["failure_type"] == failure_type
    assert ran.code == code


def test_a_refused_connection_is_transient(component: Component) -> None:
    component.action(
        "await new Promise((resolve, reject) => require('http').get('http://127.0.0.1:1/').on('error', reject));"
    )
    ran = component.run("act", [1])
    assert ran.error["failure_type"] == "transient"
    assert "ECONNREFUSED" in ran.error["message"]


def test_an_error_tells_the_place_and_the_answer(component: Component) -> None:
    component.action(
        "throw Object.assign(new Error('Request failed with status code 422'),"
        " {response: {status: 422, data: {problem: 'no e-mail'}}});"
    )
    message = component.run("act", [1]).error["message"]
    assert '{"problem":"no e-mail"}' in message
    assert "lib/act.js:2" in message


@pytest.mark.parametrize("code", ["0", "1", "78", ""])
def test_process_exit_is_never_a_success(component: Component, code: str) -> None:
    component.action(f"this.emit('data', {{data: 1}}); process.exit({code});")
    ran = component.run("act", [1, 2], on_error="skip")
    assert ran.data == [1]
    assert ran.results == []
    assert f"process.exit({code}) at lib/act.js:2, in act, message 1" in ran.error["message"]
    assert "id" not in ran.error
    assert ran.code == SYSTEM


def test_process_exit_while_it_loads_is_told_too(component: Component) -> None:
    component.action("process.exit(0); exports.process = () => null;", "early")
    ran = component.run("early", [1])
    assert "process.exit(0) at lib/early.js:1" in ran.error["message"]
    assert ran.code == SYSTEM


def test_an_unknown_function_names_the_near_ones(component: Component) -> None:
    component.trigger("", "getContacts").action("", "createContact")
    ran = component.run("getContact")
    assert "no trigger or action getContact; did you mean getContacts?" in ran.error["message"]
    assert ran.error["failure_type"] == "config"
    assert ran.code == CONFIG


def test_a_missing_main_file_is_named(component: Component) -> None:
    component.action("")
    (component.folder / "lib" / "act.js").unlink()
    ran = component.run("act", [1])
    assert ran.error["message"] == "cannot load action act: its file ./lib/act.js is not in the image"
    assert ran.code == CONFIG


def test_a_java_component_is_told_to_be_one(component: Component) -> None:
    component.save()
    component.describe["actions"] = {"act": {"main": "io.elastic.jdbc.Insert"}}
    component.save()
    assert "Java class" in component.run("act", [1]).error["message"]


def test_no_main_is_told(component: Component) -> None:
    component.describe["actions"] = {"act": {"title": "Act"}}
    assert "`main` is missing" in component.save().run("act", [1]).error["message"]


def test_a_missing_module_is_named_with_the_file_that_wants_it(component: Component) -> None:
    component.file("lib/deep.js", "require('left-pad');").action("require('./deep'); exports.process = () => null;")
    ran = component.run("act", [1])
    assert "the module 'left-pad', which lib/" in ran.error["message"]
    assert ran.error["failure_type"] == "config"
    assert ran.code == CONFIG


def test_a_syntax_error_has_its_place(component: Component) -> None:
    component.action("exports.process = (msg) => {\n  return {data: };\n};\n")
    message = component.run("act", [1]).error["message"]
    assert "lib/act.js:2: SyntaxError" in message
    assert "Node v" in message


def test_a_module_that_throws_while_it_loads_is_told_with_its_place(component: Component) -> None:
    component.action("const x = null;\nx.y();\nexports.process = () => null;")
    message = component.run("act", [1]).error["message"]
    assert "lib/act.js fails while it loads, at lib/act.js:2: TypeError" in message


def test_a_module_without_process_is_told(component: Component) -> None:
    component.action("exports.run = () => null;")
    ran = component.run("act", [1])
    assert "exports no function `process`" in ran.error["message"]
    assert ran.code == CONFIG


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('{\n  "triggers": {\n    "a": {},\n  }\n}', "component.json:3:12: a comma before }: remove it"),
        ('{"a": 1', "component.json:1:8: the file ends where a comma or } is expected"),
        ("{'a': 1}", 'component.json:1:2: "\'" stands where a key in double quotes is expected'),
        ('{"a": nul}', 'component.json:1:7: "n" stands where a value is expected'),
        ("", "component.json:1:1: the file ends where a value is expected"),
        ('{"a": 1} x', 'component.json:1:10: "x" stands where the end of the file is expected'),
        ('{"a": "b\n"}', "component.json:1:7:"),
    ],
)
def test_json_that_is_none_has_its_place(component: Component, text: str, reason: str) -> None:
    ran = component.file("component.json", text).run("act", [1])
    assert reason in ran.error["message"]
    assert ran.code == CONFIG


def test_a_byte_order_mark_is_stood(component: Component) -> None:
    component.action("return {data: 1};")
    component.file("component.json", "\ufeff" + json.dumps(component.describe))
    assert component.run("act", [1]).data == [1]


def test_no_component_json_is_told_with_where_it_was_looked_for(tmp_path: Path) -> None:
    ran = run_runner(tmp_path, "run", "act", stdin=stdin_of([1]))
    assert f"cannot read component.json ({tmp_path}/component.json)" in ran.error["message"]
    assert ran.code == CONFIG


@pytest.mark.parametrize("variable", ["ELASTICIO_COMPONENT_PATH", "COMPONENT_PATH"])
@pytest.mark.parametrize("path", ["/sub", "sub"])
def test_the_component_may_lie_in_a_sub_folder(tmp_path: Path, variable: str, path: str) -> None:
    component = Component(tmp_path / "sub").action("return {data: require('path').basename(process.cwd())};")
    ran = run_runner(tmp_path, "run", "act", stdin=stdin_of([1]), env={variable: path})
    assert component.folder.is_dir()
    assert ran.data == [tmp_path.name]


@pytest.mark.parametrize(
    ("stdin", "reason"),
    [
        ("", "the input is empty"),
        ("{}\n", "must be a CONFIG line"),
        ("garbage with a secret\n", "must be a CONFIG line"),
        ('{"type":"CONFIG","config":[]}\n', "`config` of the CONFIG line must be an object"),
        ('{"type":"CONFIG","context":{"settings":{"timeout":"soon"}}}\n', "setting timeout must be a number"),
        ('{"type":"CONFIG"}\n{"type":"MESS', "no MESSAGE line"),
    ],
)
def test_input_that_is_wrong_is_told_without_what_was_in_it(component: Component, stdin: str, reason: str) -> None:
    component.action("return {data: 1};")
    ran = run_runner(component.folder, "run", "act", stdin=stdin)
    assert reason in ran.error["message"]
    assert "secret" not in ran.error["message"]
    assert ran.code == CONFIG


@pytest.mark.parametrize(("arguments", "reason"), [((), "unknown verb (none)"), (("fly",), "unknown verb fly")])
def test_an_unknown_verb_is_told(component: Component, arguments: tuple[str, ...], reason: str) -> None:
    ran = run_runner(component.save().folder, *arguments, stdin=stdin_of())
    assert reason in ran.error["message"]
    assert ran.code == CONFIG


def test_what_fails_after_the_last_call_was_over_fails_the_step(component: Component) -> None:
    component.action(
        "setInterval(() => {}, 50);"
        "exports.process = async function (msg) {"
        " if (msg.data === 1) { setTimeout(() => this.emit('error', new Error('late')), 400); }"
        " else { await new Promise((r) => setTimeout(r, 1500)); } };"
    )
    ran = component.run("act", [1, 2], on_error="skip", settings={"idle_grace": 0.1})
    assert ran.results == ["1", "2"]
    assert "after its call was over: late" in ran.error["message"]
    assert ran.code == SYSTEM


def test_a_host_that_has_gone_ends_the_run(component: Component) -> None:
    component.trigger("for (;;) { this.emit('data', {data: 'x'.repeat(1000)}); }")
    command = [str(node_binary()), str(RUNNER), "run", "pull"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=component.folder) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(stdin_of().encode())
        running.stdin.close()
        running.stdout.read(1000)
        running.stdout.close()
        assert running.wait(60) == 141


def test_it_ends_when_it_is_told_to(component: Component) -> None:
    component.trigger("this.emit('data', {data: 1}); await new Promise((r) => setTimeout(r, 60000));")
    command = [str(node_binary()), str(RUNNER), "run", "pull"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=component.folder) as running:
        assert running.stdin is not None
        assert running.stdout is not None
        running.stdin.write(stdin_of().encode())
        running.stdin.close()
        assert b"MESSAGE" in running.stdout.readline()
        os.kill(running.pid, signal.SIGTERM)
        assert running.wait(60) == 143
