"""The connector step against components that misbehave, on a runtime that only plays back lines."""

from __future__ import annotations

import json
import logging
import random
import resource
import tracemalloc
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flowmate_airflow.batches.batch import BatchError, BatchWriter, StorageFailure, read_batch
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.component import ComponentConversation
from flowmate_airflow.runtimes.base import Job, Running, Runtime, RuntimeFailure, Stream
from flowmate_airflow.steps.connector import Call, ConnectorRun, OnError
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure
from flowmate_airflow.steps.sinks import BatchSink
from flowmate_airflow.steps.steplog import MAX_FAILURE, MAX_LINE, Progress


class Script(Runtime, Running):
    """Plays a component: takes in all its input, then writes given lines and ends."""

    def __init__(self, *output: bytes | Iterable[bytes], code: int = 0, reason: str | None = None) -> None:
        self.fed: list[Any] = []
        self.left = False
        self.feeding_stopped = 0
        self._output = output
        self._code = code
        self._reason = reason
        self._feed: Iterable[bytes] = ()

    @contextmanager
    def start(self, job: Job, feed: Iterable[bytes]) -> Iterator[Running]:
        self._feed = feed
        try:
            yield self
        finally:
            self.left = True

    def lines(self) -> Iterator[tuple[Stream, bytes]]:
        self.fed += map(json.loads, self._feed)
        for part in self._output:
            for line in [part] if isinstance(part, bytes) else part:
                yield "stdout", line

    def wait(self) -> int:
        return self._code

    def explain_exit(self) -> str | None:
        return self._reason

    def send(self, line: bytes) -> None:
        raise AssertionError("nothing was asked for")

    def stop_feeding(self) -> None:
        self.feeding_stopped += 1

    def read_back(self) -> dict[str, bytes]:
        return {}

    def open_file(self, path: str) -> Any:
        raise AssertionError(path)

    def stop(self) -> None:
        pass


def json_line(message: dict[str, Any]) -> bytes:
    return json.dumps(message).encode()


class Step:
    """One step, with what it logged and wrote."""

    def __init__(self, folder: Path, limit: int = 65536) -> None:
        self.log: list[tuple[int, str]] = []
        self.writer = BatchWriter(Storage(str(folder), ("f", "r", "s", "-1"), 1), limit)

    def run(self, runtime: Runtime, *messages: dict[str, Any], on_error: OnError = "fail") -> Progress:
        call = Call("s", "acme/get", Request(), on_error=on_error)
        log = lambda level, text: self.log.append((level, text))  # noqa: E731
        run = ConnectorRun(ComponentConversation(call.request), call, BatchSink(self.writer), log, Job("acme:1", ()))
        return run.run(runtime, map(json_line, messages)).progress

    def run_whole(self, runtime: Runtime) -> None:
        self.run(runtime)
        self.writer.finish()

    def messages(self) -> list[Any]:
        return list(read_batch(self.writer.finish()))


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


def _event(type_: str, **parts: Any) -> bytes:
    return json.dumps({"type": type_, **parts}).encode()


FLOODS = {
    "errors with ids": _event("ERROR", id="7", message="x" * 100),
    "progress": _event("PROGRESS", done=1, total=2),
    "empty lines": b"",
    "logs": _event("LOG", message="x" * 1000),
    "text": b"hello",
}


@pytest.mark.parametrize("line", FLOODS.values(), ids=FLOODS.keys())
def test_a_flood_of_events_takes_no_memory_and_little_log(step: Step, line: bytes) -> None:
    step.run(Script(line for _ in range(1000)), on_error="skip")  # what is made once is made
    step.log.clear()
    tracemalloc.start()
    try:
        step.run(Script(line for _ in range(20_000)), on_error="skip")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most - sum(len(text) + 200 for _, text in step.log) < 2_000_000


def test_a_log_of_short_lines_ends(step: Step, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flowmate_airflow.steps.steplog.MAX_LINES", 100)
    step.run(Script(b"x" for _ in range(1000)))
    assert sum(text == "x" for _, text in step.log) == 100
    assert (logging.WARNING, "900 lines of log were dropped: the component logs too much") in step.log


def test_one_log_event_cannot_be_the_whole_log(step: Step) -> None:
    step.run(Script(_event("LOG", message="ab\n" * 2_000_000), _event("LOG", message="y" * 3_000_000)))
    assert len(step.log) < 100_000
    assert max(len(text) for _, text in step.log) < MAX_LINE + 50


@pytest.mark.parametrize("size", [30_000_000])
def test_an_event_of_the_largest_size_makes_no_such_text(step: Step, size: int) -> None:
    """Ids, reasons and texts of progress are a component's, and end in logs, in the database and on terminals."""
    huge = "i" * size
    progress = step.run(
        Script(
            _event("ERROR", id=huge, message=huge), _event("PROGRESS", done=1, text=huge), _event("STATE", state=huge)
        ),
        on_error="skip",
    )
    assert len(str(progress)) < 1000
    assert max(len(text) for _, text in step.log) < 2 * MAX_LINE
    for lines in (
        [_event("ERROR", id=huge, message=huge)],
        [_event("ERROR", message=huge)],
        [b'{"type":"' + b"x" * size],
    ):
        with pytest.raises(StepError) as caught:
            step.run(Script(lines))
        assert len(str(caught.value)) < 2 * MAX_FAILURE


def test_a_components_words_cannot_steer_the_log(step: Step) -> None:
    evil = "::group::hidden\x1b[2J\u202egnp.exe\u2066 ::endgroup::\r\n\x9b31m"
    with pytest.raises(StepError) as caught:
        step.run(
            Script(
                _event("LOG", message=evil),
                evil.replace("\n", "").encode(),
                _event("PROGRESS", done=1, text=evil),
                _event("ERROR", id=evil, message=evil),
            )
        )
    for text in [*(text for _, text in step.log), str(caught.value).replace("\n", "")]:
        assert text.isprintable(), ascii(text)
        assert "group::" not in text or "\\x3a" in text
    assert not any("::group::" in text or "::endgroup::" in text for _, text in step.log)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        (b'{"type":"MESSAGE","message":{"id":"1"}}', "`data`"),
        (b'{"type":"MESSAGE","message":null}', "`data`"),
        (b'{"type":"MESSAGE"}', "`data`"),
        (b'{"type":"MESSAGE","message":{"id":{"a":1},"data":1}}', "`id`"),
        (b'{"type":"MESSAGE","message":{"id":[1],"data":1}}', "`id`"),
        (b'{"type":"MESSAGE","message":{"id":true,"data":1}}', "`id`"),
        (b'{"type":"MESSAGE","message":{"data":"\\ud800"}}', "broken JSON"),
        (b'{"type":"MESSAGE","message":{"data":1e400}}', "broken JSON"),
        (b'{"type":"MESSAGE","message":{"data":NaN}}', "broken JSON"),
        (b'{"type":"MESSAGE","message":{"data":"\xff"}}', "broken JSON"),
        (b'{"type":"MESSAGE","message":{"data":' + b"[" * 2000 + b"]" * 2000 + b"}}", "broken JSON"),
        (b'{"type":"MESSAGE","message":{"data":' + b"[" * 900 + b"]" * 900 + b"}}", "not JSON"),
        (b'{"type":"PROGRESS","done":"1"}', "whole numbers"),
        (b'{"type":"ERROR","failure_type":"x"}', "failure_type"),
    ],
)
def test_what_is_no_event_fails_at_once_and_for_good(step: Step, line: bytes, told: str) -> None:
    script = Script(line, code=0)
    with pytest.raises(ConfigFailure, match=told):
        step.run(script)
    assert script.left


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ({"data": None}, {"id": "m-1", "data": None}),
        ({"id": None, "data": 1}, {"id": "m-1", "data": 1}),
        ({"id": "", "data": 1}, {"id": "m-1", "data": 1}),
        ({"id": 0, "data": 1}, {"id": "0", "data": 1}),
        ({"id": -5, "data": 1, "evil": 1}, {"id": "-5", "data": 1}),
        ({"id": "a\0b", "data": {"__type": "x", "__var": 1}}, {"id": "a\0b", "data": {"__type": "x", "__var": 1}}),
    ],
)
def test_odd_messages_are_messages(step: Step, message: dict[str, Any], expected: dict[str, Any]) -> None:
    step.run(Script(_event("MESSAGE", message=message)))
    assert step.messages() == [expected]


def test_an_error_without_an_id_fails_a_step_that_ends_well(step: Step) -> None:
    with pytest.raises(TransientFailure, match="all is lost"):
        step.run(
            Script(_event("ERROR", message="all is lost"), _event("MESSAGE", message={"data": 1})), on_error="skip"
        )


@pytest.mark.parametrize("code", [0, 143])
def test_a_component_that_was_stopped_has_failed_whatever_its_code(step: Step, code: int) -> None:
    with pytest.raises(TransientFailure, match=rf"exit code {code} \(it was stopped\)"):
        step.run(Script(_event("MESSAGE", message={"data": 1}), code=code, reason="it was stopped"))


def test_feeding_stops_at_the_first_error_that_counts(step: Step) -> None:
    script = Script(_event("ERROR", id="1", message="bad", failure_type="config"))
    with pytest.raises(ConfigFailure, match="message 1: bad"):
        step.run(script, {"id": "1", "data": 1})
    assert script.feeding_stopped == 1
    assert [line["type"] for line in script.fed] == ["CONFIG", "MESSAGE"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file of this process may become larger than 100 kB, as on a disk that is almost full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("size", [40_000, 1_000_000], ids=["at the end", "in the middle"])
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path, small_files: None, size: int) -> None:
    step = Step(tmp_path, limit=10)
    noise = random.Random(1)
    lines = (_event("MESSAGE", message={"data": noise.randbytes(size).hex()}) for _ in range(3))
    with pytest.raises((TransientFailure, StorageFailure), match=r"cannot be written: File too large.*batch_url"):
        step.run_whole(Script(lines))
    step.writer.abort()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_batch_that_breaks_off_is_told_as_such(step: Step, tmp_path: Path) -> None:
    upstream = Step(tmp_path / "up", limit=10)
    upstream.run(Script(_event("MESSAGE", message={"data": n}) for n in range(100)))
    value = upstream.writer.finish()
    Path(value["href"]).write_bytes(Path(value["href"]).read_bytes()[:-20])
    with pytest.raises(BatchError, match="cannot be read"):
        step.run(Script(), *read_batch(value))


def test_a_runtime_that_fails_says_for_which_step(step: Step) -> None:
    class Dead(Script):
        @contextmanager
        def start(self, job: Job, feed: Iterable[bytes]) -> Iterator[Running]:
            raise RuntimeFailure("no engine", retry=True)
            yield

    with pytest.raises(TransientFailure, match=r"step `s` \(acme/get\): no engine"):
        step.run(Dead())
