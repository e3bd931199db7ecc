"""The SDK, seen from the host's side of the pipes."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from connector_process import PYTHON, Outcome, environment, feed, run_process

from flowmate_airflow.protocols.component import parse_line
from flowmate_airflow.protocols.events import LogEvent, MessageEvent, ResultEvent

Author = Callable[[str], Path]

ECHO = """
@connector.action('echo')
def echo(ctx, message):
    return message.data
"""
NOT_JSON = "the message to emit is not valid JSON: "
PICKY = """
@connector.action('picky')
def picky(ctx, message):
    kind = message.data
    if kind == 'config': raise ConfigError('no such table')
    if kind == 'transient': raise TransientError('busy')
    if kind == 'message': raise MessageError('too long', 'config')
    if kind == 'bug': raise KeyError('oops')
    if kind == 'nan': return float('nan')
    if kind == 'date': import datetime; return datetime.date(2024, 1, 1)
    if kind == 'half': return '\\ud800'
    return kind
"""


def run(path: Path, *arguments: str, **options: object) -> Outcome:
    return run_process([path.name, *arguments], feed(**options), path.parent)  # type: ignore[arg-type]


def started(path: Path, function: str) -> Any:
    """Start a function without feeding it. Not a typed Popen: its pipes would have to be asserted each time."""
    return subprocess.Popen(
        [*PYTHON, path.name, "run", function],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=path.parent,
        env=environment(),
    )


def test_a_trigger_yields_data_and_messages(author: Author) -> None:
    path = author("""
@connector.trigger('read')
def read(ctx):
    yield {'a': 1}
    yield [1, 2]
    yield None
    yield Message('text', id='own', metadata={'stream': 'x'})
""")
    done = run(path, "run", "read")
    assert done.code == 0
    assert done.messages == [
        {"data": {"a": 1}},
        {"data": [1, 2]},
        {"data": "text", "id": "own", "metadata": {"stream": "x"}},
    ]


def test_a_function_sees_the_config_line(author: Author) -> None:
    path = author("""
@connector.trigger('read')
def read(ctx):
    return [ctx.config, ctx.credentials, ctx.state, ctx.context['flow'], ctx.on_error]
""")
    done = run(path, "run", "read", config={"a": 1}, credentials={"key": "k"}, state={"since": 3})
    assert done.data == [[{"a": 1}, {"key": "k"}, {"since": 3}, "f", "fail"]]


def test_an_actions_data_keeps_id_metadata_and_passthrough(author: Author) -> None:
    path = author(ECHO)
    message = {"id": "7", "data": 1, "metadata": {"m": 1}, "passthrough": {"p": 2}, "attachments": {"a": 3}}
    stdin = feed() + json.dumps({"type": "MESSAGE", "message": message}).encode() + b"\n"
    done = run_process([path.name, "run", "echo"], stdin, path.parent)
    assert done.messages == [{"id": "7", "data": 1, "metadata": {"m": 1}, "passthrough": {"p": 2}}]


def test_an_action_may_yield_several_messages_or_none(author: Author) -> None:
    path = author("""
@connector.action('times')
def times(ctx, message):
    for number in range(message.data):
        yield Message(number)
""")
    assert run(path, "run", "times", messages=[2, 0, 1]).messages == [{"data": 0}, {"data": 1}, {"data": 0}]


def test_a_batch_action_reads_while_it_writes(author: Author) -> None:
    path = author("""
@connector.action('double', batch=True)
def double(ctx, messages):
    for message in messages:
        yield message.reply(message.data * 2)
""")
    with started(path, "double") as process:
        first, second = feed(messages=[1, 2]).splitlines(keepends=True)[1:]
        process.stdin.write(feed() + first)
        process.stdin.flush()
        # The answer comes while the connector waits for the next message.
        assert parse_line(process.stdout.readline().rstrip()) == MessageEvent({"data": 2, "id": "1"})
        process.stdin.write(second)
        process.stdin.close()
        assert parse_line(process.stdout.readline().rstrip()) == MessageEvent({"data": 4, "id": "2"})
        assert process.wait() == 0


def test_a_slow_triggers_message_comes_before_the_next_one(author: Author, tmp_path: Path) -> None:
    path = author("""
import os
@connector.trigger('read')
def read(ctx):
    yield 'first'
    os.open('gate', os.O_RDONLY)
    yield 'second'
""")
    os.mkfifo(tmp_path / "gate")
    with started(path, "read") as process:
        process.stdin.write(feed())
        process.stdin.close()
        assert b"first" in process.stdout.readline()
        os.close(os.open(tmp_path / "gate", os.O_WRONLY))
        assert b"second" in process.stdout.read()


def test_printing_cannot_break_the_protocol(author: Author) -> None:
    path = author("""
import ctypes, os, subprocess
print('while importing')
@connector.action('noisy')
def noisy(ctx, message):
    print('{"type":"MESSAGE","message":')
    os.write(1, b'raw bytes\\n')
    subprocess.run(['echo', 'child'])
    libc = ctypes.CDLL(None); libc.puts(b'from C'); libc.fflush(None)
    assert subprocess.run(['cat'], capture_output=True).stdout == b''
    return message.data
""")
    done = run(path, "run", "noisy", messages=[1, 2])
    assert [event for event in done.events if not isinstance(event, LogEvent | ResultEvent)] == [
        MessageEvent({"data": 1, "id": "1"}),
        MessageEvent({"data": 2, "id": "2"}),
    ]
    for text in ('{"type":"MESSAGE","message":', "raw bytes", "child", "from C"):
        assert done.stderr.count(text) == 2


def test_state_log_and_progress(author: Author) -> None:
    path = author("""
import logging
@connector.trigger('read')
def read(ctx):
    ctx.log('warning', 'careful')
    ctx.logger.error('bad %s', 'thing')
    ctx.logger.debug('detail')
    logging.getLogger('some.library').warning('lib')
    logging.getLogger('some.library').debug('GET /?key=secret')
    for number in range(1, 1001):
        ctx.progress(number, 1000, 'rows')
    ctx.save_state({'n': ctx.state['n'] + 1})
    yield 1
""")
    done = run(path, "run", "read", state={"n": 4})
    assert [(log.level, log.text) for log in done.logs] == [
        (logging.WARNING, "careful"),
        (logging.ERROR, "bad thing"),
        (logging.DEBUG, "detail"),
        (logging.WARNING, "lib"),
    ]
    assert done.states == [{"n": 5}]
    assert done.progress[0].done == 1
    assert (done.progress[-1].done, done.progress[-1].total, done.progress[-1].text) == (1000, 1000, "rows")
    assert len(done.progress) < 100


@pytest.mark.parametrize(
    ("kind", "failure_type", "code", "text"),
    [
        ("config", "config", 78, "no such table"),
        ("transient", "transient", 75, "busy"),
        ("message", "config", 78, "too long"),
        ("bug", "system", 1, "KeyError: 'oops'"),
        (
            "nan",
            "system",
            1,
            "the message to emit is not valid JSON: Out of range float values are not JSON compliant",
        ),
        (
            "date",
            "system",
            1,
            "the message to emit is not valid JSON: Object of type date is not JSON serializable",
        ),
        ("half", "system", 1, "the message to emit is not valid JSON: a text has half a surrogate pair"),
    ],
)
def test_a_failing_message_ends_the_run_by_default(
    author: Author, kind: str, failure_type: str, code: int, text: str
) -> None:
    done = run(author(PICKY), "run", "picky", messages=["a", kind, "b"])
    assert done.code == code
    assert done.data == ["a"]
    (error,) = done.errors
    assert (error.message_id, error.failure_type) == ("2", failure_type)
    assert error.text.startswith(text)


@pytest.mark.parametrize("on_error", ["skip", "dead_letter"])
def test_the_others_go_on_where_the_step_says_so(author: Author, on_error: str) -> None:
    messages = ["transient", "a", "bug", "message", "b", "nan"]
    done = run(author(PICKY), "run", "picky", messages=messages, on_error=on_error)
    assert done.code == 0
    assert done.data == ["a", "b"]
    assert [(error.message_id, error.failure_type) for error in done.errors] == [
        ("1", "transient"),
        ("3", "system"),
        ("4", "config"),
        ("6", "system"),
    ]


def test_a_wrong_configuration_ends_the_run_whatever_the_step_says(author: Author) -> None:
    done = run(author(PICKY), "run", "picky", messages=["a", "config", "b"], on_error="skip")
    assert (done.code, done.data, done.errors[0].message_id) == (78, ["a"], "2")


def test_a_batch_action_reports_single_messages(author: Author) -> None:
    path = author("""
@connector.action('write', batch=True)
def write(ctx, messages):
    try:
        for message in messages:
            if message.data < 0:
                ctx.error(message, 'negative', 'config')
                continue
            yield message
    finally:
        print('closed')
""")
    done = run(path, "run", "write", messages=[1, -1, 2], on_error="skip")
    assert (done.code, done.data, [error.message_id for error in done.errors]) == (0, [1, 2], ["2"])
    done = run(path, "run", "write", messages=[1, -1, 2])
    assert (done.code, done.data, [error.message_id for error in done.errors]) == (78, [1], ["2"])
    assert "closed" in done.stderr


@pytest.mark.parametrize(
    ("raised", "code", "failure_type", "text"),
    [
        ("ConfigError('wrong')", 78, "config", "wrong"),
        ("TransientError('down')", 75, "transient", "down"),
        ("ValueError('odd')", 1, "system", "ValueError: odd"),
    ],
)
def test_a_failing_trigger_fails_the_run(author: Author, raised: str, code: int, failure_type: str, text: str) -> None:
    path = author(f"@connector.trigger('read')\ndef read(ctx):\n    yield 1\n    raise {raised}\n")
    done = run(path, "run", "read", credentials={"password": "hunter2hunter2"})
    assert (done.code, done.data) == (code, [1])
    (error,) = done.errors
    assert (error.message_id, error.failure_type, error.text) == (None, failure_type, text)
    assert ("Traceback" in done.stderr) == (failure_type == "system")
    assert "hunter2" not in done.stderr + done.stdout.decode()


@pytest.mark.parametrize(
    "stdin",
    [
        b"",
        b"\n",
        b'{"type":"MESSAGE","message":{"data":1}}\n',
        b'{"type":"CONFIG","credentials":{"key":"hunter2"\n',
        b"\xff\xfe\n",
        b'{"type":"CONFIG","config":["hunter2"]}\n',
    ],
)
def test_a_bad_config_line_is_a_config_error(author: Author, stdin: bytes) -> None:
    path = author(ECHO)
    done = run_process([path.name, "run", "echo"], stdin, path.parent)
    assert (done.code, [error.failure_type for error in done.errors]) == (78, ["config"])
    assert "CONFIG line" in done.errors[0].text
    assert b"hunter2" not in done.stdout
    assert "hunter2" not in done.stderr


def test_a_broken_message_line_fails_the_run(author: Author) -> None:
    path = author(ECHO)
    stdin = feed(messages=[1]) + b'{"type":"MESS'
    done = run_process([path.name, "run", "echo"], stdin, path.parent)
    assert (done.code, done.data, done.errors[0].message_id) == (1, [1], None)


@pytest.mark.parametrize("arguments", [[], ["run"], ["run", "nothing"], ["discover"], ["run", "echo", "more"]])
def test_an_unknown_command_says_what_there_is(author: Author, arguments: list[str]) -> None:
    done = run(author(ECHO), *arguments)
    assert (done.code, done.errors[0].failure_type) == (78, "config")
    assert "run FUNCTION" in done.errors[0].text or "its functions: echo" in done.errors[0].text


def test_check_tries_the_credentials(author: Author) -> None:
    path = author("""
@connector.check
def check(ctx):
    if ctx.credentials.get('key') == 'down': raise TransientError('no answer')
    if ctx.credentials.get('key') != 'good': raise ConfigError('the key is refused')
""")
    good = run(path, "check", credentials={"key": "good"})
    assert (good.code, good.errors, len(good.logs)) == (0, [], 1)
    bad = run(path, "check", credentials={"key": "bad"})
    assert (bad.code, bad.errors[0].failure_type) == (78, "config")
    assert run(path, "check", credentials={"key": "down"}).code == 75


def test_describe_prints_the_manifest(author: Author) -> None:
    path = author(ECHO)
    missing = run(path, "describe")
    assert missing.code == 78
    assert "connector.json" in missing.errors[0].text
    (path.parent / "connector.yaml").write_text("connector: 1\nname: sample\n")
    assert json.loads(run(path, "describe").stdout)["name"] == "sample"
    (path.parent / "connector.json").write_text('{"name": "json wins"}')
    assert json.loads(run(path, "describe").stdout) == {"name": "json wins"}


def test_describe_without_pyyaml_says_what_to_do(author: Author) -> None:
    path = author("import sys\nsys.modules['yaml'] = None\n" + ECHO)
    (path.parent / "connector.yaml").write_text("name: sample\n")
    done = run(path, "describe")
    assert done.code == 78
    assert "PyYAML is not installed" in done.errors[0].text


def test_sigterm_ends_the_run_and_lets_it_clean_up(author: Author) -> None:
    path = author("""
import time
@connector.trigger('read')
def read(ctx):
    try:
        ctx.log('info', 'started')
        while True:
            try:
                time.sleep(60)
            except Exception:
                pass
        yield
    finally:
        print('cleaned up')
""")
    with started(path, "read") as process:
        process.stdin.write(feed())
        process.stdin.close()
        assert b"started" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert b"cleaned up" in process.stderr.read()
        assert process.wait() == 143


def test_a_host_that_goes_away_is_no_traceback(author: Author) -> None:
    path = author("@connector.trigger('read')\ndef read(ctx):\n    while True:\n        yield 'x' * 1000\n")
    with started(path, "read") as process:
        process.stdin.write(feed())
        process.stdin.close()
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() != 0


def test_a_hundred_thousand_messages_and_a_large_one(author: Author) -> None:
    done = run(author(ECHO), "run", "echo", messages=[*range(100_000), "ü" * 5_000_000])
    assert done.code == 0
    assert done.data[:100_000] == list(range(100_000))
    assert done.data[-1] == "ü" * 5_000_000


def test_two_functions_of_one_name_are_refused(author: Author) -> None:
    done = run(author(ECHO + ECHO), "run", "echo")
    assert done.code == 1
    assert "two functions named echo" in done.stderr
