"""Records that a tap puts into files of its own (Singer's BATCH), instead of its output."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from played import Played, manifest

from flowmate_airflow.batches.batch import BatchWriter, read_batch
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.inputs import NOTHING
from flowmate_airflow.steps.memory import NoMemory
from flowmate_airflow.steps.session import Place, Session

TAP = manifest(
    protocol="singer",
    auth={},
    triggers={"read": {"title": "Read"}},
    actions={},
    singer={"discover": False, "catalog": "none"},
)
RECORDS = b"".join(json.dumps({"id": n}).encode() + b"\n" for n in range(1000))


def run(folder: Path, files: dict[str, bytes], compression: str) -> list[dict[str, Any]]:
    def tap(lines: Iterator[Any]) -> Iterator[Any]:
        encoding = {"format": "jsonl", "compression": compression}
        yield {"type": "SCHEMA", "stream": "t", "schema": {"properties": {"id": {}}}, "key_properties": ["id"]}
        yield {"type": "RECORD", "stream": "t", "record": {"id": -1}}
        yield {"type": "BATCH", "stream": "t", "encoding": encoding, "manifest": [f"file://{name}" for name in files]}
        yield {"type": "RECORD", "stream": "t", "record": {"id": 1000}}

    played = Played(tap)
    played.files = {name: content for name, content in files.items() if content is not None}
    call = StepCall(TAP, "acme/read", StepRun("f", "r", "s"), {})
    session = Session(call, Place(played, "process"), NoMemory(), lambda level, text: None)
    writer = BatchWriter(Storage(str(folder), ("f",), 1), 65536)
    return list(read_batch(session.run(NOTHING, writer)))


@pytest.mark.parametrize(("compression", "content"), [("gzip", gzip.compress(RECORDS)), ("none", RECORDS)])
def test_records_of_files_come_where_the_tap_named_the_files(tmp_path: Path, compression: str, content: bytes) -> None:
    messages = run(tmp_path, {"/tmp/a": content}, compression)
    assert [each["data"]["id"] for each in messages] == list(range(-1, 1001))
    assert {each["metadata"]["stream"] for each in messages} == {"t"}


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"/tmp/a": gzip.compress(RECORDS)[:-20]}, "/tmp/a cannot be read"),
        ({"/tmp/a": b"no gzip"}, "/tmp/a cannot be read"),
        ({"/tmp/a": gzip.compress(b'{"id":1}\n{"id":')}, "broken JSON"),
        ({"/tmp/a": gzip.compress(b'{"id":"' + b"x" * 40_000_000 + b'"}')}, "a line of more than 32m"),
        ({"/tmp/none": None}, "no file /tmp/none"),
    ],
    ids=["cut", "not gzip", "half a record", "one long line", "gone"],
)
def test_a_file_that_is_not_what_it_should_be_fails_the_step(tmp_path: Path, files: Any, told: str) -> None:
    with pytest.raises(ConfigFailure, match=told):
        run(tmp_path, files, "gzip")
