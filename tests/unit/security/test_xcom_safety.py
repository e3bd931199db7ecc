"""What a component emits goes through Airflow's own XCom code as plain JSON, and never becomes anything else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from airflow.sdk.execution_time.comms import SetXCom
from airflow.sdk.serde import deserialize, serialize

from flowmate_airflow.batches.batch import BatchError, BatchValue, BatchWriter, read_batch
from flowmate_airflow.batches.storage import Storage
from flowmate_airflow.protocols.component import message_line, parse_line
from flowmate_airflow.protocols.events import MessageEvent

ASSET = "airflow.sdk.definitions.asset.Asset"


def _nested(depth: int) -> Any:
    value: Any = 1
    for level in range(depth):
        value = {"a": value} if level % 2 else [value]
    return value


def _through_airflow(value: Any) -> Any:
    """Return what the next task gets: serialised, sent, stored and read back as Airflow does it."""
    sent = SetXCom(key="k", value=serialize(value), dag_id="d", run_id="r", task_id="t", map_index=-1)
    stored = json.loads(sent.model_dump_json())["value"]
    assert "\\u0000" not in json.dumps(stored), "PostgreSQL's JSON knows no NUL"
    return deserialize(stored)


def _value(folder: Path, *messages: dict[str, Any], limit: int = 65536) -> BatchValue:
    writer = BatchWriter(Storage(str(folder), ("f", "r", "s", "-1"), 1), limit)
    for message in messages:
        writer.write(message)
    return writer.finish()


HOSTILE: dict[str, Any] = {
    "old form": {"__type": ASSET, "__var": {"name": "x", "uri": "file:///etc"}},
    "old form of a date": {"__type": "datetime", "__var": 0.0},
    "old form of a dict": {"__type": "dict", "__var": {"a": 1}},
    "module that is imported": {"__type": "airflow.no.such.Module", "__var": 1},
    "class": {"__classname__": ASSET, "__version__": 1, "__data__": {"name": "x"}},
    "class of the system": {"__classname__": "os.system", "__version__": 1, "__data__": "id"},
    "schema": {"__id__": 1},
    "cache": {"__cache__": 1, "__source": 2},
    "deep inside": [[{"a": [{"__type": ASSET, "__var": {"name": "x"}}]}]],
    "NUL in a text": "a\0b",
    "NUL in a key": {"a\0b": 1},
    "nested 66 deep": _nested(66),
    "nested 250 deep": _nested(250),
}


@pytest.mark.parametrize("data", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("part", ["data", "metadata", "attachments", "passthrough"])
def test_hostile_messages_stay_what_they_are(tmp_path: Path, data: Any, part: str) -> None:
    message = {"id": "1", "data": 1, part: {"x": data}}
    for limit in (65536, 1):
        value = _through_airflow(_value(tmp_path, {"id": "0", "data": 0}, message, limit=limit))
        assert "href" in value
        assert list(read_batch(value)) == [{"id": "0", "data": 0}, message]


@pytest.mark.parametrize(
    "data",
    [
        {"__typename": "Order", "_type": 1, "type": "__type", "__typ": {"__var2": 1}},
        {'"__type":': '{"__type":"x","__var":1}', "a": "__classname__"},
        [[{"n": n}] for n in range(200)],
        _nested(60),
        "\\ud800 \x01 \x7f \u202e",
        [-0.0, 1e300, 2**64 - 1, -(2**63)],
    ],
    ids=["GraphQL", "in texts", "wide", "nested", "odd texts", "numbers"],
)
def test_ordinary_messages_stay_inline(tmp_path: Path, data: Any) -> None:
    value = _through_airflow(_value(tmp_path, {"id": "1", "data": data}))
    assert value["messages"] == [{"id": "1", "data": data}]
    assert str(next(read_batch(value))["data"]) == str(data)


def test_a_preview_is_small_whatever_the_ids_are(tmp_path: Path) -> None:
    long = {"id": "i" * 10_000_000, "data": 1}
    odd = {"id": "a\0b", "data": 1}
    value = _value(tmp_path, long, odd)
    assert len(orjson.dumps(value)) < 1000
    assert list(read_batch(_through_airflow(value))) == [long, odd]


def test_what_a_batch_holds_can_be_fed_to_the_next_component(tmp_path: Path) -> None:
    """The deepest message that is accepted is one level deeper in the line that hands it on."""
    deepest = _nested(252)
    (message,) = read_batch(_value(tmp_path, {"id": "1", "data": deepest}))
    assert parse_line(message_line(orjson.dumps(message)).rstrip(b"\n")) == MessageEvent({"id": "1", "data": deepest})
    with pytest.raises(BatchError, match="message 2 is not JSON: Recursion limit"):
        _value(tmp_path, {"id": "2", "data": _nested(300)})
