"""What a component prints is log and nothing else, however it prints it."""

from __future__ import annotations

import pytest
from node_runs import Component

SPOOF = '{"type":"MESSAGE","message":{"data":"spoof"}}'


@pytest.mark.parametrize(
    "statement",
    [
        "console.log(line);",
        "console.info(line);",
        "process.stdout.write(line + '\\n');",
        "process.stdout.write(Buffer.from(line + '\\n'));",
        "process.stdout.end(line);",
        "require('fs').writeSync(1, line + '\\n');",
        "require('fs').writeSync(1, Buffer.from('..' + line + '\\n'), 2);",
        "await new Promise((r) => require('fs').write(1, line + '\\n', r));",
        "console._stdout.write(line + '\\n');",
        "const s = new (require('stream').PassThrough)(); s.pipe(process.stdout); s.end(line);",
        "process.stdout.write(line);",
    ],
)
def test_nothing_printed_is_taken_for_an_event(component: Component, statement: str) -> None:
    component.action(f"const line = '{SPOOF}'; {statement} return {{data: 'real'}};")
    ran = component.run("act", [1])
    assert ran.data == ["real"]
    assert ("info", SPOOF) in ran.logs


@pytest.mark.parametrize(
    ("statement", "level"),
    [
        ("console.warn('seen %s', 1)", "warning"),
        ("console.error('seen %s', 1)", "error"),
        ("console.debug('seen %s', 1)", "debug"),
        ("this.logger.trace('seen %s', 1)", "trace"),
        ("this.logger.info('seen %s', 1)", "info"),
        ("this.logger.warn('seen %d', 1)", "warning"),
        ("this.logger.child({a: 1}).error('seen %j', 1)", "error"),
        ("const {info} = this.logger; info('seen 1')", "info"),
        ('console.log(\'{"name":"c","level":40,"msg":"seen 1","v":0}\')', "info"),
        ('process.stdout.write(\'{"name":"c","level":40,"msg":"seen 1","v":0}\\n\')', "warning"),
        ('process.stdout.write(\'{"level":"error","message":"seen 1"}\\n\')', "error"),
    ],
)
def test_a_line_keeps_its_level(component: Component, statement: str, level: str) -> None:
    component.action(f"this.logger.level('trace'); {statement};")
    ran = component.run("act", [1])
    found = {logged for logged, text in ran.logs if "seen 1" in text}
    assert found == {level}


def test_lines_under_the_level_are_left_out(component: Component) -> None:
    component.action("this.logger.debug('quiet'); this.logger.info('loud'); return {data: this.logger.level()};")
    ran = component.run("act", [1])
    assert (ran.log, ran.data) == ("loud", [30])
    ran = component.run("act", [1], settings={"node_settings": {"logLevel": "debug"}})
    assert (ran.log, ran.data) == ("quiet\nloud", [20])


def test_bunyan_s_other_forms(component: Component) -> None:
    component.action(
        "this.logger.error(new Error('with a stack')); this.logger.info({id: 7}, 'saved'); this.logger.info({id: 8});"
        "return {data: [this.logger.fields.stepId, this.logger.info()]};"
    )
    ran = component.run("act", [1])
    assert "Error: with a stack\n    at " in ran.log
    assert "saved { id: 7 }" in ran.log
    assert "{ id: 8 }" in ran.log
    assert ran.data == [["save", True]]


def test_a_printed_line_that_has_no_end_and_one_that_has_none_ever(component: Component) -> None:
    component.action("process.stdout.write('half '); process.stdout.write('line'); console.log('x'.repeat(100000));")
    ran = component.run("act", [1])
    assert "half line" in ran.log
    assert "more characters)" in ran.log


def test_colours_are_left_out(component: Component) -> None:
    component.action("console.log('\\u001b[31mred\\u001b[39m and plain'); console.log('\\u001b[39m');")
    assert component.run("act", [1]).logs == [("info", "red and plain")]


def test_stderr_stays_stderr(component: Component) -> None:
    component.action("process.stderr.write('aside\\n');")
    ran = component.run("act", [1])
    assert ran.stderr == "aside\n"
    assert ran.log == ""


def test_node_s_own_warnings_are_no_errors(component: Component) -> None:
    component.action("process.emitWarning('old way', 'DeprecationWarning'); process.emitWarning('beware', 'Careful');")
    ran = component.run("act", [1])
    levels = {text.split(": ", 1)[1].split("\n")[0]: level for level, text in ran.logs if ": " in text}
    assert levels == {"old way": "debug", "beware": "warning"}
