"""Batches: inline or as a file, the same messages come out as went in."""

from __future__ import annotations

import gzip
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flowmate_airflow.batches.batch import PREVIEW, PREVIEW_BYTES, BatchError, BatchValue, BatchWriter, read_batch
from flowmate_airflow.batches.message import derived, envelope
from flowmate_airflow.batches.storage import Storage

PARTS = ("flow", "run", "step", "-1")


def _write(base: str, messages: list[dict[str, Any]], limit: int, parts: tuple[str, ...] = PARTS) -> BatchValue:
    writer = BatchWriter(Storage(base, parts, 1), limit)
    for message in messages:
        writer.write(message)
    return writer.finish()


def _files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_a_batch_of_exactly_the_limit_stays_inline_and_one_byte_more_spills(tmp_path: Path) -> None:
    message = {"id": "1", "data": "x"}
    size = len(orjson.dumps(message)) + 1
    inline = _write(str(tmp_path), [message, message], 2 * size)
    assert inline == {"count": 2, "errors": 0, "bytes": 2 * size, "messages": [message, message]}
    assert not _files(tmp_path)
    spilled = _write(str(tmp_path), [message, message], 2 * size - 1)
    assert spilled["href"].startswith(str(tmp_path))
    assert spilled["preview"] == [message, message]
    assert "messages" not in spilled
    assert list(read_batch(spilled)) == [message, message]


_JSON: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.fixed_dictionaries({"id": st.text("ab1"), "data": _JSON}), max_size=12), st.integers(0, 400))
@example([{"id": "", "data": {"\0": None}}], 33)
def test_what_goes_in_comes_out(tmp_path_factory: pytest.TempPathFactory, messages: list[Any], limit: int) -> None:
    value = _write(str(tmp_path_factory.mktemp("b")), messages, limit)
    assert list(read_batch(orjson.loads(orjson.dumps(value)))) == messages
    assert value["count"] == len(messages)
    # PostgreSQL's JSON has no NUL: a batch with one goes to the file, however small.
    assert ("messages" in value) == (value["bytes"] <= limit and rb"\u0000" not in orjson.dumps(messages))


def test_the_preview_is_short(tmp_path: Path) -> None:
    messages = [{"id": str(n), "data": "x" * (PREVIEW_BYTES if n == 1 else 1)} for n in range(100)]
    value = _write(str(tmp_path), messages, 10)
    assert len(value["preview"]) == PREVIEW
    assert value["preview"][0] == messages[0]
    assert value["preview"][1] == {"id": "1", "bytes": len(orjson.dumps(messages[1])) + 1}


def test_equal_batches_are_equal_files(tmp_path: Path) -> None:
    for name in ("a", "b"):
        _write(f"{tmp_path}/{name}", [{"id": "1", "data": "x" * 100}], 10)
    first, second = sorted(_files(tmp_path))
    assert first.read_bytes() == second.read_bytes()


def _spilled(folder: Path) -> BatchValue:
    return _write(str(folder), [{"id": str(n), "data": uuid.UUID(int=n * 7919).hex} for n in range(500)], 10)


def test_a_damaged_file_is_told(tmp_path: Path) -> None:
    value = _spilled(tmp_path)
    (path,) = _files(tmp_path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 0xFF
    damaged = {
        "cut": whole[: len(whole) // 2],
        "empty": b"",
        "flipped": bytes(flipped),
        "no gzip": b"hello",
        "header only": whole[:10],
        "not JSON": gzip.compress(b"{\n" * 500),
        "not UTF-8": gzip.compress(b'"\xff"\n' * 500),
        "bad deflate": whole[:10] + b"\xff" * 50,
    }
    for name, raw in damaged.items():
        path.write_bytes(raw)
        try:
            read = list(read_batch(value))
        except BatchError:
            continue
        pytest.fail(f"{name}: {len(read)} messages were read")


def test_a_wrong_count_and_a_missing_file_are_told(tmp_path: Path) -> None:
    value = _spilled(tmp_path)
    with pytest.raises(BatchError, match="500 messages, not 501"):
        list(read_batch({**value, "count": 501}))
    (path,) = _files(tmp_path)
    path.unlink()
    with pytest.raises(BatchError, match="is gone"):
        list(read_batch(value))


@pytest.mark.parametrize("value", [{}, {"href": 1}, {"href": "x"}, {"href": "x", "count": "many"}, [], "x", 5, {1: 2}])
def test_what_is_no_batch_is_told(value: Any) -> None:
    with pytest.raises(BatchError, match="not a batch"):
        list(read_batch(value))


def test_an_aborted_batch_leaves_no_file(tmp_path: Path) -> None:
    writer = BatchWriter(Storage(str(tmp_path), PARTS, 1), 1)
    writer.write({"id": "1", "data": "x"})
    assert _files(tmp_path)
    writer.abort()
    assert not _files(tmp_path)


def test_a_message_that_is_no_json_is_told(tmp_path: Path) -> None:
    with pytest.raises(BatchError, match="message 7"):
        _write(str(tmp_path), [{"id": "7", "data": {1, 2}}], 10)
    with pytest.raises(BatchError, match="message 8"):
        _write(str(tmp_path), [{"id": "8", "data": 2**70}], 10)


NAMES = [
    "../../x",
    "..",
    ".",
    "",
    "/etc/passwd",
    "a/b",
    "ü日本😀" * 40,
    "r" * 250,
    ":" * 250,
    "a b\n\0c",
    "\ud800",
    "~",
    "%2E",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_any_name_stays_inside_the_folder(tmp_path: Path, name: str) -> None:
    base = tmp_path / "base"
    value = _write(str(base), [{"id": "1", "data": 1}], 1, ("flow", name, "step", "-1"))
    (path,) = _files(tmp_path)
    assert path.resolve().is_relative_to(base.resolve())
    assert len(path.relative_to(base).parts) == 5
    assert list(read_batch(value)) == [{"id": "1", "data": 1}]


def test_other_names_are_other_places() -> None:
    hrefs = {Storage("/b", ("f", name, "s", "-1"), 1).href for name in [*NAMES, "r" * 249, "r" * 249 + "s", ":" * 249]}
    assert len(hrefs) == len(NAMES) + 3


def test_a_url_is_an_object_storage(tmp_path: Path) -> None:
    base = f"file://{tmp_path}/b"
    messages = [{"id": str(n), "data": n} for n in range(50)]
    value = _write(base, messages, 10)
    assert value["href"].startswith("file://")
    assert list(read_batch(value)) == messages
    with pytest.raises(BatchError, match="is gone"):
        list(read_batch({**value, "href": f"{base}/nowhere.jsonl.gz"}))


def test_an_envelope_has_its_parts_and_no_others() -> None:
    whole = {"id": 5, "data": None, "metadata": {"a": 1}, "attachments": {}, "passthrough": None, "other": 1}
    assert envelope(whole, "d") == {"id": "5", "data": None, "metadata": {"a": 1}}
    assert envelope({"data": 1}, "d") == {"id": "d", "data": 1}
    assert derived({"id": "1", "data": 1, "metadata": {"a": 1}}, 2, ".0") == {
        "id": "1.0",
        "data": 2,
        "metadata": {"a": 1},
    }


@pytest.mark.parametrize("id_", [{}, {"id": None}, {"id": "own"}, {"id": 7}])
@pytest.mark.parametrize("part", ["metadata", "attachments", "passthrough"])
def test_an_envelope_keeps_every_part_whether_or_not_it_came_with_an_id(id_: dict[str, Any], part: str) -> None:
    made = envelope({**id_, "data": 1, part: {"a": 1}, "other": 2}, "given")
    assert made == {"id": str(id_.get("id") or "given"), "data": 1, part: {"a": 1}}
    assert envelope({**id_, "data": 1, part: {"a": 1}}, "given") == made


def test_an_envelope_without_more_is_id_and_data() -> None:
    assert envelope({"data": None}, "given") == {"id": "given", "data": None}
