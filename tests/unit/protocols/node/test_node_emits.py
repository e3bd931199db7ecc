"""What a component emits reaches the host, once, as it was when it was emitted."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from node_runs import DEADLINE, RUNNER, Component, node_binary, stdin_of


def test_every_data_is_a_message_before_the_result_of_its_input(component: Component) -> None:
    component.action("for (const n of [1, 2]) { await this.emit('data', {data: {n, of: msg.data}}); }")
    ran = component.run("act", ["a", "b"])
    assert ran.data == [{"n": 1, "of": "a"}, {"n": 2, "of": "a"}, {"n": 1, "of": "b"}, {"n": 2, "of": "b"}]
    assert ran.kinds == ["MESSAGE", "MESSAGE", "RESULT"] * 2
    assert ran.results == ["1", "2"]
    assert ran.code == 0


def test_an_object_that_is_used_again_does_not_change_what_was_emitted(component: Component) -> None:
    component.trigger(
        "const data = {n: 0}; const metadata = {};"
        "for (let i = 1; i <= 3; i += 1) { data.n = i; metadata.uid = i; this.emit('data', {data, metadata}); }"
        "data.n = 99;"
    )
    ran = component.run("pull")
    assert [event["message"]["metadata"]["uid"] for event in ran.of("MESSAGE")] == [1, 2, 3]
    assert ran.data == [{"n": 1}, {"n": 2}, {"n": 3}]


def test_emits_nobody_waits_for_and_work_after_the_end_are_waited_for(component: Component) -> None:
    component.action(
        "[3, 2, 1].forEach(async (n) => { await new Promise((r) => setTimeout(r, n * 10));"
        " this.emit('data', {data: n}); });"
        "this.emit('end');"
    )
    ran = component.run("act", [0])
    assert ran.data == [1, 2, 3]
    assert ran.kinds == ["MESSAGE", "MESSAGE", "MESSAGE", "RESULT"]


def test_a_snapshot_replaces_and_an_update_merges(component: Component) -> None:
    component.trigger(
        "await this.emit('updateSnapshot', {b: snapshot.a + 1});"
        "await this.emit('snapshot', {c: 3});"
        "await this.emit('updateSnapshot', {d: 4});"
    )
    ran = component.run("pull", state={"a": 1})
    assert [event["state"] for event in ran.of("STATE")] == [{"a": 1, "b": 2}, {"c": 3}, {"c": 3, "d": 4}]


def test_set_in_an_update_is_refused(component: Component) -> None:
    component.trigger("await this.emit('updateSnapshot', {$set: {a: 2}});")
    ran = component.run("pull", state={"a": 1})
    assert ran.of("STATE") == []
    assert "$set" in ran.log


def test_the_snapshot_is_read_again_for_each_message_and_changes_to_it_alone_are_lost(component: Component) -> None:
    component.action(
        "this.emit('data', {data: Object.assign({}, snapshot)}); snapshot.junk = 1;"
        "if (msg.data === 1) { await this.emit('snapshot', {seen: 1}); }"
    )
    assert component.run("act", [1, 2]).data == [{}, {"seen": 1}]


def test_no_snapshot_is_an_empty_object(component: Component) -> None:
    component.trigger("return {data: {empty: Object.keys(snapshot).length === 0}};")
    assert component.run("pull", state=None).data == [{"empty": True}]


def test_a_snapshot_that_is_no_object_fails_the_call(component: Component) -> None:
    component.trigger("await this.emit('snapshot', 'yesterday');")
    ran = component.run("pull")
    assert "snapshot that is no object" in ran.error["message"]
    assert ran.of("STATE") == []


def test_updated_keys_are_told_and_used_for_the_messages_that_follow(component: Component) -> None:
    component.action("this.emit('data', {data: cfg.token}); await this.emit('updateKeys', {token: 'new'});")
    ran = component.run("act", [1, 2], credentials={"token": "old"})
    assert ran.of("CREDENTIALS")[0]["credentials"] == {"token": "new"}
    assert ran.data == ["old", "new"]


def test_an_http_reply_is_told(component: Component) -> None:
    component.action("await this.emit('httpReply', {statusCode: 201, body: 'ok', headers: {a: 'b'}});")
    ran = component.run("act", [1])
    assert ran.of("REPLY")[0]["reply"] == {"statusCode": 201, "body": "ok", "headers": {"a": "b"}}


def test_an_unknown_event_is_answered_with_false(component: Component) -> None:
    component.trigger("return {data: [await this.emit('raw-record', {}), await this.emit('data', {data: 1})]};")
    assert component.run("pull").data == [1, [False, True]]


def test_a_second_end_is_only_a_warning(component: Component) -> None:
    component.action("this.emit('end'); this.emit('end');")
    ran = component.run("act", [1])
    assert ran.results == ["1"]
    assert ("warning", "It emitted `end` more than once.") in ran.logs


def test_data_and_errors_of_one_call_are_both_kept(component: Component) -> None:
    component.action(
        "this.emit('data', {data: 1}); this.emit('error', new Error('first')); this.emit('error', 'second');"
    )
    ran = component.run("act", [0], on_error="skip")
    assert ran.data == [1]
    assert "first" in ran.error["message"]
    assert "second" in ran.error["message"]
    assert ran.error["id"] == "1"
    assert ran.results == []


def test_numbers_that_json_does_not_have_become_null_with_a_warning(component: Component) -> None:
    component.trigger("return {data: {a: NaN, b: Infinity, c: null, d: 1}};")
    ran = component.run("pull")
    assert ran.data == [{"a": None, "b": None, "c": None, "d": 1}]
    assert "2 numbers of its data are NaN or infinite" in ran.log


def test_half_a_surrogate_pair_is_replaced_and_a_text_that_looks_like_one_is_kept(component: Component) -> None:
    component.trigger(r"return {data: {half: 'a\ud800b', pair: '\ud83d\ude00', text: '\\ud800'}};")
    assert component.run("pull").data == [{"half": "a\ufffdb", "pair": "\U0001f600", "text": "\\ud800"}]


def test_circular_data_fails_its_message_only(component: Component) -> None:
    component.action("const data = {}; data.self = msg.data === 1 ? data : null; this.emit('data', {data});")
    ran = component.run("act", [1, 2], on_error="skip")
    assert "circular" in ran.error["message"]
    assert ran.error["id"] == "1"
    assert ran.results == ["2"]


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("() => 1", "no form for its data (a function)"),
        ("{toJSON: () => undefined}", "no form for its data"),
        ("Object.assign({}, {toJSON() { throw new Error('not me'); }})", "not me"),
        ("JSON.parse('['.repeat(3000) + ']'.repeat(3000))", "nested more than 1000 levels deep"),
        ("(() => { let x = 0; for (let i = 0; i < 1e6; i += 1) { x = [x]; } return x; })()", "written as JSON"),
    ],
)
def test_data_that_json_cannot_hold_fails_its_message_only(component: Component, value: str, reason: str) -> None:
    component.action(f"this.emit('data', {{data: msg.data === 1 ? {value} : 2}});")
    ran = component.run("act", [1, 2], on_error="skip")
    assert reason in ran.error["message"]
    assert ran.data == [2]


def test_data_nested_less_deep_is_kept(component: Component) -> None:
    component.trigger("return {data: JSON.parse('['.repeat(400) + '\"[[{\"' + ']'.repeat(400))};")
    assert str(component.run("pull").data).count("[[{") == 1


def test_data_that_is_no_message_is_taken_as_the_data(component: Component) -> None:
    component.trigger("await this.emit('data', {x: 1}); await this.emit('data', [1, 2]);")
    ran = component.run("pull")
    assert ran.data == [{"x": 1}, [1, 2]]
    assert "outside of a message" in ran.log


def test_data_that_is_no_object_is_an_error(component: Component) -> None:
    component.action("this.emit('data', 'text');")
    assert "a string as its data" in component.run("act", [1]).error["message"]


def test_many_messages_come_whole_through_a_pipe_that_is_full(component: Component) -> None:
    component.trigger("for (let i = 0; i < 20000; i += 1) { this.emit('data', {data: {i, text: 'x'.repeat(200)}}); }")
    reader, writer = os.pipe()
    os.set_blocking(writer, False)  # as Docker and Node itself leave it at times
    command = [str(node_binary()), str(RUNNER), "run", "pull"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=writer, cwd=component.folder) as running:
        os.close(writer)
        assert running.stdin is not None
        running.stdin.write(stdin_of().encode())
        running.stdin.close()
        with os.fdopen(reader, "rb") as stdout:
            seen = [json.loads(line)["message"]["data"]["i"] for line in stdout]
        assert running.wait(DEADLINE) == 0
    assert seen == list(range(20000))


def test_a_warning_that_comes_again_and_again_is_told_once_and_counted(component: Component) -> None:
    component.trigger(
        "for (let i = 0; i < 50; i += 1) { this.emit('data', {data: NaN}); }"
        "for (let i = 1; i <= 200; i += 1) { this.emit('data', {data: Array(i).fill(NaN)}); }"
    )
    warnings = [text for level, text in component.run("pull").logs if level == "warning"]
    assert "1 number of its data is NaN or infinite; JSON has null for that. (51 times)" in warnings
    assert len(warnings) <= 101
