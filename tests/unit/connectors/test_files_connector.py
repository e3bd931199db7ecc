"""The connector `files`, run as a process on a folder of its own."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from connector_process import CONNECTORS, PYTHON, Run, environment, feed, run_process
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flowmate_airflow.catalog.manifest import Manifest

ROWS = [{"id": 1, "name": "Ada"}, {"id": 2, "name": 'O"Neil, ü\nnew line'}]
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
# The module `csv` reads NUL characters from Python 3.11 on; before, the line is an error that says so.
CSV_TEXTS = TEXTS if sys.version_info >= (3, 11) else TEXTS.filter(lambda text: "\0" not in text)
SCALARS = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    SCALARS | TEXTS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3), max_leaves=8
)
PROPERTY = settings(
    max_examples=12, deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def root(run_files: Run, tmp_path: Path) -> Path:
    """The folder for files."""
    return tmp_path / "root"


def test_the_manifest_names_the_functions_of_the_code(run_files: Run) -> None:
    manifest = Manifest.model_validate(yaml.safe_load((CONNECTORS / "files" / "connector.yaml").read_text()))
    assert (list(manifest.triggers), list(manifest.actions)) == (["read"], ["write"])
    assert "its functions: read, write" in run_files("nothing").errors[0].text


@pytest.mark.parametrize("path", ["rows.csv", "rows.tsv", "deep/er/rows.jsonl", "rows.ndjson", "rows.json", "r.csv.gz"])
def test_what_is_written_is_read_again(run_files: Run, root: Path, path: str) -> None:
    written = run_files("write", {"path": path}, *ROWS)
    assert (written.code, written.errors) == (0, [])
    assert written.data == [{"path": path, "records": 2, "bytes": (root / path).stat().st_size}]
    config = {"path": path, **({"types": {"id": "integer"}} if "sv" in path else {})}
    read = run_files("read", config)
    assert (read.code, read.data) == (0, ROWS)
    assert read.progress[-1].done == 2


@PROPERTY
@given(
    records=st.integers(1, 4).flatmap(
        lambda width: st.lists(st.lists(CSV_TEXTS, min_size=width, max_size=width), min_size=1, max_size=8)
    ),
    delimiter=st.sampled_from(",;\t|"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32-be"]),
)
def test_any_text_survives_csv(run_files: Run, records: list[list[str]], delimiter: str, encoding: str) -> None:
    rows = [{f"c{index}": text for index, text in enumerate(record)} for record in records]
    config = {"path": "any.csv", "csv": {"delimiter": delimiter, "encoding": encoding}}
    assert run_files("write", config, *rows).data[0]["records"] == len(rows)
    assert run_files("read", config).data == rows


@PROPERTY
@given(path=st.sampled_from(["any.jsonl", "any.json"]), records=st.lists(JSON, min_size=1, max_size=8))
def test_any_value_survives_json(run_files: Run, path: str, records: list[Any]) -> None:
    assert run_files("write", {"path": path}, *records).data[0]["records"] == len(records)
    assert run_files("read", {"path": path}).data == records


def test_typed_columns(run_files: Run, root: Path) -> None:
    (root / "t.csv").write_text("n;i;b;s\n1.5;-3;TRUE;007\n;;;\n2;12345678901234567890;no;x\n")
    config = {
        "path": "t.csv",
        "csv": {"delimiter": ";"},
        "types": {"n": "number", "i": "integer", "b": "boolean", "s": "string"},
    }
    assert run_files("read", config).data == [
        {"n": 1.5, "i": -3, "b": True, "s": "007"},
        {"n": None, "i": None, "b": None, "s": ""},
        {"n": 2, "i": 12345678901234567890, "b": False, "s": "x"},
    ]


def test_a_csv_file_without_a_header(run_files: Run, root: Path) -> None:
    (root / "t.txt").write_bytes(codecs.BOM_UTF8 + b"a,b\r\n\r\nc,d")
    config = {"path": "t.txt", "format": "csv", "csv": {"header": False}}
    assert run_files("read", config).data == [{"column_1": "a", "column_2": "b"}, {"column_1": "c", "column_2": "d"}]
    assert run_files("read", {**config, "columns": ["x", "y"]}).data[1] == {"x": "c", "y": "d"}


@pytest.mark.parametrize(
    ("path", "content", "text"),
    [
        ("a.csv", b"a,b\n1,2\n1,2,3\n", "a.csv, line 3: 3 values for 2 columns"),
        ("a.csv", b'a,b\n1,"2\n\n', "a.csv, line 3: unexpected end of data"),
        ("a.csv", b"a,a\n1,2\n", "a.csv, line 1: the column 'a' is there twice"),
        ("a.csv", b"a,b\n1,2\n" + b"1,2\n" * 5000 + b"\xfc,2\n", "a.csv, line 5003: not utf-8; set `csv.encoding`"),
        ("a.jsonl", b'{"a":1}\n\n{"a":\n', "a.jsonl, line 3: not JSON"),
        ("a.jsonl", b'1\n"\xfc"\n', "a.jsonl, line 2: not UTF-8"),
        ("a.jsonl", b"1\nNaN\n", "a.jsonl, line 2: not JSON: NaN"),
        ("a.json", b'[1,\n2,\n{"a": }]', "a.json, line 3: not JSON"),
        ("a.json", b"[1,\n2", "a.json, line 2: the file ends inside the array"),
        ("a.json", b"[1,\n2]\n]", "a.json, line 3: there is more text"),
        ("a.json", b"[1\n2]", "a.json, line 2: ',' or ']' expected"),
        ("a.json", b"[1,\n-Infinity]", "a.json, line 2: not JSON: -Infinity"),
        ("a.json", b" \n", "a.json, line 2: the file is empty"),
        ("a.json.gz", gzip.compress(b"[1,2,3]" + b" " * 999, mtime=0)[:-9], "a.json.gz is no whole gzip file"),
        ("a.csv.gz", b"a,b\n", "a.csv.gz is no whole gzip file"),
    ],
)
def test_a_broken_file_is_named_with_its_line(run_files: Run, root: Path, path: str, content: bytes, text: str) -> None:
    (root / path).write_bytes(content)
    done = run_files("read", {"path": path})
    assert (done.code, [error.failure_type for error in done.errors]) == (78, ["config"])
    assert done.errors[0].text.startswith(text)
    assert done.stderr == ""


def test_a_value_of_another_type_is_named(run_files: Run, root: Path) -> None:
    (root / "a.csv").write_text("a,b\n1,2\n3,nan\n")
    done = run_files("read", {"path": "a.csv", "types": {"b": "number"}})
    assert (done.code, done.data) == (78, [{"a": "1", "b": 2}])
    assert done.errors[0].text == "a.csv, line 3: 'nan' in the column 'b' is no number"


def test_a_json_array_is_read_across_chunks(run_files: Run, root: Path) -> None:
    # Long values and numbers lie across the ends of the parts that are read.
    values = [number * 10**12 for number in range(60_000)] + ["ü" * 700_000, {"a": [1, {"b": "]"}]}, 7]
    (root / "a.json").write_text(" " + json.dumps(values, ensure_ascii=False, indent=0) + "\n\n")
    assert run_files("read", {"path": "a.json"}).data == values
    (root / "a.json").write_text('{"only": "one"}')
    assert run_files("read", {"path": "a.json"}).data == [{"only": "one"}]
    (root / "a.json").write_text("[ ]")
    assert run_files("read", {"path": "a.json"}).data == []


def test_a_large_file_streams(run_files: Run, root: Path) -> None:
    done = run_files("write", {"path": "big.csv"}, *({"n": number, "text": "x" * 1000} for number in range(30_000)))
    assert done.data[0]["records"] == 30_000
    # Less memory than the file's records need, enough for Python.
    (root / "limited.py").write_text(
        "import resource, runpy, sys\n"
        "resource.setrlimit(resource.RLIMIT_DATA, (60_000_000, 60_000_000))\n"
        f"sys.path.insert(0, {str(CONNECTORS / 'files')!r})\n"
        "runpy.run_module('connector', run_name='__main__', alter_sys=True)\n"
    )
    stdin = feed({"path": "big.csv"})
    done = run_process(["limited.py", "run", "read"], stdin, root, FLOWMATE_FILES_ROOT=str(root))
    assert (done.code, len(done.messages)) == (0, 30_000)
    assert done.progress[-1].done == 30_000


@pytest.mark.parametrize(
    "path", ["../out.csv", "a/../../out.csv", "/etc/passwd", "link/out.csv", "direct.csv", ".", "a\0b"]
)
@pytest.mark.parametrize("function", ["read", "write"])
def test_no_path_leaves_the_folder(run_files: Run, root: Path, path: str, function: str) -> None:
    outside = root.parent / "outside"
    outside.mkdir()
    (root.parent / "out.csv").write_text("a\nsecret\n")
    (outside / "out.csv").write_text("a\nsecret\n")
    (root / "link").symlink_to(outside)
    (root / "direct.csv").symlink_to(outside / "out.csv")
    done = run_files(function, {"path": path, "format": "csv"}, *([{"a": 1}] if function == "write" else []))
    assert (done.code, done.messages, done.errors[0].failure_type) == (78, [], "config")
    assert (outside / "out.csv").read_text() == "a\nsecret\n"


def test_a_link_within_the_folder_is_followed(run_files: Run, root: Path) -> None:
    (root / "real.jsonl").write_text("1\n")
    (root / "alias.jsonl").symlink_to("real.jsonl")
    assert run_files("read", {"path": "alias.jsonl"}).data == [1]
    assert run_files("write", {"path": "alias.jsonl"}, 2).code == 0
    assert (root / "alias.jsonl").is_symlink()
    assert (root / "real.jsonl").read_text() == "2\n"


def test_what_is_no_file_is_a_clear_error(run_files: Run, root: Path) -> None:
    (root / "folder.csv").mkdir()
    os.mkfifo(root / "pipe.csv")
    assert "there is no file 'missing.csv'" in run_files("read", {"path": "missing.csv"}).errors[0].text
    assert "is a folder" in run_files("read", {"path": "folder.csv"}).errors[0].text
    assert "no regular file" in run_files("read", {"path": "pipe.csv"}).errors[0].text
    assert "no regular file" in run_files("write", {"path": "folder.csv"}, {}).errors[0].text


def test_columns_come_from_the_first_record_or_the_step(run_files: Run, root: Path) -> None:
    rows = [{"b": 1, "a": True}, {"a": [1, "ü"]}, {"b": 2, "new": 3}, "text", {"a": None, "b": 0.5}]
    done = run_files("write", {"path": "c.csv"}, *rows, on_error="skip")
    assert (done.code, done.data[0]["records"]) == (0, 3)
    assert (root / "c.csv").read_bytes() == 'b,a\r\n1,true\r\n,"[1,""ü""]"\r\n0.5,\r\n'.encode()
    assert [error.message_id for error in done.errors] == ["3", "4"]
    assert done.errors[0].text.startswith("the file has no column 'new'; its columns are b, a; list it in `columns`")
    done = run_files("write", {"path": "c.csv", "columns": ["a", "new"]}, {"new": 1}, {"a": 2})
    assert (root / "c.csv").read_text() == "a,new\n,1\n2,\n"


def test_a_letter_the_encoding_lacks_is_the_messages_error(run_files: Run, root: Path) -> None:
    config = {"path": "l.csv", "csv": {"encoding": "latin-1"}}
    done = run_files("write", config, {"a": "ü"}, {"a": "€"}, {"a": "é"}, on_error="dead_letter")
    assert (done.code, [error.message_id for error in done.errors]) == (0, ["2"])
    assert (root / "l.csv").read_bytes() == "a\r\nü\r\né\r\n".encode("latin-1")


def test_append_goes_on_with_the_files_columns(run_files: Run, root: Path) -> None:
    config = {"path": "a.csv", "mode": "append"}
    (root / "a.csv").write_text("x,y\n1,2")
    assert run_files("write", config, {"y": 4, "x": 3}).data == [{"path": "a.csv", "records": 1, "bytes": 7}]
    assert run_files("write", config, {"x": 5}).code == 0
    assert (root / "a.csv").read_text() == "x,y\n1,2\n3,4\n5,\n"
    assert "no column 'z'" in run_files("write", config, {"z": 1}).errors[0].text
    done = run_files("write", {**config, "columns": ["y", "x"]}, {"x": 1})
    assert (done.code, (root / "a.csv").read_text()) == (78, "x,y\n1,2\n3,4\n5,\n")


@pytest.mark.parametrize(
    ("path", "csv_options"),
    [("new.csv", {"encoding": "utf-16"}), ("new.csv.gz", {}), ("new.jsonl", {}), ("n.jsonl.gz", {})],
)
def test_append_makes_the_file_and_goes_on(run_files: Run, path: str, csv_options: dict[str, Any]) -> None:
    config: dict[str, Any] = {"path": path, "csv": csv_options}
    for number in (1, 2, 3):
        assert run_files("write", {**config, "mode": "append"}, {"n": str(number)}).code == 0
    assert run_files("read", config).data == [{"n": "1"}, {"n": "2"}, {"n": "3"}]


def test_json_is_not_appended_to(run_files: Run, root: Path) -> None:
    (root / "a.json").write_text("[1]")
    done = run_files("write", {"path": "a.json", "mode": "append"}, 2)
    assert (done.code, (root / "a.json").read_text()) == (78, "[1]")
    assert "use JSON Lines" in done.errors[0].text


@pytest.mark.parametrize("mode", ["overwrite", "append"])
def test_a_failed_run_leaves_the_file_as_it_was(run_files: Run, root: Path, mode: str) -> None:
    (root / "a.csv").write_text("a\nold\n")
    rows = [{"a": "x" * 10_000}] * 100
    done = run_files("write", {"path": "a.csv", "mode": mode}, *rows, {"b": 1}, *rows)
    assert (done.code, done.messages, done.errors[0].message_id) == (78, [], "101")
    assert (root / "a.csv").read_text() == "a\nold\n"
    assert [path.name for path in root.iterdir()] == ["a.csv"]


def test_a_stopped_run_leaves_the_file_as_it_was(run_files: Run, root: Path) -> None:
    (root / "a.csv").write_text("a\nold\n")
    process: Any = subprocess.Popen(
        [*PYTHON, "-m", "connector", "run", "write"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=CONNECTORS / "files",
        env=environment(FLOWMATE_FILES_ROOT=str(root)),
    )
    with process:
        process.stdin.write(feed({"path": "a.csv"}, [{"a": "new"}] * 1000))
        process.stdin.flush()
        assert b"PROGRESS" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    assert (root / "a.csv").read_text() == "a\nold\n"
    assert [path.name for path in root.iterdir()] == ["a.csv"]


def test_overwriting_keeps_the_mode_of_the_file(run_files: Run, root: Path) -> None:
    (root / "a.jsonl").write_text("")
    (root / "a.jsonl").chmod(0o640)
    assert run_files("write", {"path": "a.jsonl"}, 1).code == 0
    assert (root / "a.jsonl").stat().st_mode & 0o777 == 0o640


def test_the_same_records_make_the_same_compressed_file(run_files: Run, root: Path) -> None:
    contents = set()
    for _ in range(2):
        run_files("write", {"path": "a.csv.gz"}, *ROWS)
        contents.add((root / "a.csv.gz").read_bytes())
    assert len(contents) == 1
    text = gzip.decompress(contents.pop()).decode()
    assert next(csv.reader(io.StringIO(text, newline=""))) == ["id", "name"]


@pytest.mark.parametrize(
    ("config", "part"),
    [
        ({}, "`path` is missing"),
        ({"path": "a.xlsx"}, "the ending of `path` says no format"),
        ({"path": "a.csv", "pth": 1}, "unknown field `pth`"),
        ({"path": "a.csv", "csv": {"delimiter": "ab"}}, "`csv.delimiter` must be one character"),
        ({"path": "a.csv", "csv": {"encoding": "rot13"}}, "`csv.encoding` is 'rot13'"),
        ({"path": "a.csv", "types": {"a": "date"}}, "`types.a` is 'date'"),
        ({"path": "a.csv", "mode": "replace"}, "`mode` is 'replace'"),
        ({"path": "a.csv", "columns": ["a", "a"]}, "`columns` has a name twice"),
    ],
)
def test_wrong_fields_are_config_errors(run_files: Run, config: dict[str, Any], part: str) -> None:
    done = run_files("write", config, {"a": 1})
    assert (done.code, done.errors[0].failure_type) == (78, "config")
    assert part in done.errors[0].text


def test_check_wants_the_folder(run_files: Run, root: Path) -> None:
    assert run_files("check").code == 0
    root.rmdir()
    assert run_files("check").code == 78
    assert "does not exist" in run_files("read", {"path": "a.csv"}).errors[0].text
