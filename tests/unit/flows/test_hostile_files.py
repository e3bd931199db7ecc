"""Hostile and broken files: a report, no flow, or the flow; never a crash, a hang or a full memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.errors import FlowFileError
from flowmate_airflow.flows.folder import find_yaml_files
from flowmate_airflow.flows.load import LoadedFlow, load_flow, read_flow

H = "flowmate: 1\nid: x\n"
S = H + "steps:\n- id: a\n  use: http/get\n  with: {url: u}\n"


def _value(text: str) -> str:
    return H + f"steps:\n- id: a\n  use: http/get\n  with:\n    url: {text}\n"


def _map(text: str) -> str:
    return S + f"- id: b\n  map: {json.dumps(text)}\n"


def _param(text: str) -> str:
    return S + f"params:\n  p: {text}\n"


def _nine_fold(first: str, item: str) -> str:
    return first + "".join(f"a{n}: &a{n} {item.format(','.join([f'*a{n - 1}'] * 9))}\n" for n in range(1, 9))


_CHAIN = "a0: &a0 " + "[" * 50 + "]" * 50 + "\n"
_CHAIN += "".join(f"a{n}: &a{n} {'[' * 50}*a{n - 1}{']' * 50}\n" for n in range(1, 2000))

# What the report must say; None: the file is a flow that loads or no flow at all.
CASES: dict[str, tuple[str | bytes, str | None]] = {
    "five megabytes": (H + "title: '" + "x" * 5_000_000 + "'\n", "a flow may have"),
    "100,000 steps": (H + "steps:\n" + "- {id: a}\n" * 100_000, "more than 50,000 values"),
    "brackets": (H + "steps: " + "[" * 100_000, "64 levels"),
    "closed brackets": (H + "steps: " + "[" * 100_000 + "]" * 100_000, "64 levels"),
    "braces": (H + "steps: " + "{a: " * 100_000, "64 levels"),
    "dashes": (H + "steps:\n  " + "- " * 100_000, "64 levels"),
    "question marks": (H + "steps:\n  " + "? " * 50_000, "64 levels"),
    "question marks and dashes": (H + "steps:\n  " + "? - " * 50_000, "64 levels"),
    "question marks in brackets": (H + "steps: [" + "? " * 50_000, "not valid YAML"),
    "dashes with tabs": (H + "steps:\n  " + "-\t" * 100_000, "tab"),
    "indentation": (H + "steps:\n" + "".join(" " * n + "-\n" for n in range(1, 1300)), "64 levels"),
    "tagged brackets": (H + "steps: " + "!!seq [" * 50_000, "64 levels"),
    "laughs": (H + _nine_fold("a0: &a0 [x]\n", "[{}]"), "aliases"),
    "merged laughs": (H + _nine_fold("a0: &a0 {k: 1}\n", "{{<<: [{}]}}"), "merges"),
    "wide merges": (
        H + "a: &a {" + ",".join(f"k{n}: 1" for n in range(3000)) + "}\nb: {<<: [" + ",".join(["*a"] * 9000) + "]}\n",
        "merges",
    ),
    "merged into itself": (H + "a: &a {<<: *a}\n", "itself"),
    "alias in itself": (H + "steps: &a [*a]\n", "never ends"),
    "deep by aliases": (H + "z: 1\n" + _CHAIN + "z: *a1999\n", "values"),
    "UTF-16": ((H + "steps: []\n").encode("utf-16"), "UTF-16"),
    "latin-1": (b"flowmate: 1\ntitle: M\xfcller\n", "not UTF-8"),
    "byte order mark": (b"\xef\xbb\xbf" + S.encode(), None),
    "NUL": (b"flowmate: 1\nid: a\0b\n", "U+0000"),
    "number of 5,000 digits": (_value("1" * 5000), "too large"),
    "hexadecimal number of 50,000 digits": (_value("0x" + "f" * 50_000), "too large"),
    "number beyond floats": (_value("1e999"), "too large"),
    "tag of an empty number": (H + 'title: !!int ""\n', "not a whole number"),
    "tag of an empty float": (H + 'title: !!float ""\n', "not a number"),
    "tag of a wrong time": (H + "title: !!timestamp x\n", "not allowed"),
    "a megabyte of JSONata": (_map("a" + "+a" * 400_000), "not valid JSONata"),
    "JSONata in parentheses": (_map("(" * 200_000 + "1" + ")" * 200_000), "not valid JSONata"),
    "JSONata in minus signs": (_map("-" * 200_000 + "1"), "not valid JSONata"),
    "JSONata functions in functions": (_map("function($x){" * 20_000), "not valid JSONata"),
    "JSONata objects in objects": (_map('{"a":' * 50_000), "not valid JSONata"),
    "Jinja that would be huge": (_value("\"{{ 'a' * 10**10 }}\""), None),
    "Jinja that would be long": (_value('"{{ 9**9**9 }}"'), None),
    "Jinja that would loop": (_value('"{% for i in range(10**9) %}x{% endfor %}"'), None),
    "Jinja in parentheses": (_value('"{{ ' + "(" * 20_000 + "1" + ")" * 20_000 + ' }}"'), "not valid Jinja"),
    "Jinja sum": (_value('"{{ 1' + "+1" * 20_000 + ' }}"'), "not valid Jinja"),
    "Jinja number": (_value('"{{ ' + "1" * 5000 + ' }}"'), "not valid Jinja"),
    "schema in itself": (_param('{$ref: "#", default: 1}'), "without end"),
    "schema by file": (_param('{$ref: "file:///etc/passwd", default: 1}'), "`$ref` leads to"),
    "schema with its own id": (_param('{$id: "http://127.0.0.1:9/", $ref: y, default: 1}'), "`$id` is not allowed"),
    "schema with a number for an id": (_param("{$id: 1, default: 1}"), "must be of type string"),
    "pattern without end": (_param(f'{{pattern: "^(a+)+$", default: "{"a" * 40}!"}}'), "forever"),
    "pattern of alternatives": (_param(f'{{pattern: "^(a|aa)+$", default: "{"a" * 99}!"}}'), "forever"),
    "pattern of a property": (
        _param(f'{{patternProperties: {{"^(a+)+$": {{}}}}, default: {{{"a" * 40}: 1}}}}'),
        "forever",
    ),
    "a megabyte of blank lines": (S + "\n" * 900_000 + "title: x\n", None),
    "a megabyte of blanks": (H + "title: '" + " " * 900_000 + "'\n", "steps"),
    "time zone by path": (S + "timezone: ../../etc/passwd\n", "no time zone"),
    "time zone of 5,000 letters": (S + f"timezone: {'a' * 5000}\n", "no time zone"),
    "cron of 100,000 minutes": (S + 'schedule: "' + "1," * 100_000 + '1 * * * *"\n', "neither cron"),
}

_CHILD = """
import json, resource, sys
from pathlib import Path
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
sys.path.insert(0, sys.argv[1])
from flowmate_airflow.build.graph import build_graph
from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.errors import FlowFileError
from flowmate_airflow.flows.load import load_flow
import socket
def refuse(*args, **kwargs): raise SystemExit("the network was asked")
socket.socket.connect = refuse
for path in map(Path, sys.argv[2:]):
    try:
        loaded = load_flow(path, Catalog(), name=path.name)
        if loaded is not None:
            build_graph(loaded, Catalog())
        told = None
    except FlowFileError as error:
        told = error.report()
    print(json.dumps([path.stem, told]), flush=True)
"""


@pytest.fixture(scope="module")
def reports() -> dict[str, str | None]:
    """All cases in one process with a gigabyte of address space; the one it dies of is the first that is missing."""
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, (content, _) in CASES.items():
            path = Path(folder) / f"{name}.yaml"
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
            paths.append(str(path))
        root = str(Path(__file__).resolve().parents[3])
        done = subprocess.run(
            [sys.executable, "-c", _CHILD, root, *paths], capture_output=True, text=True, timeout=120, check=False
        )
    told: dict[str, str | None] = dict(json.loads(line) for line in done.stdout.splitlines())
    assert done.returncode == 0, f"died after {list(told)[-1:]}: {done.stderr[-2000:]}"
    return told


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_gets_a_report_or_loads(name: str, reports: dict[str, str | None]) -> None:
    wanted = CASES[name][1]
    report = reports[name]
    if wanted is None:
        assert report is None
    else:
        assert report is not None
        assert wanted in report
        assert len(report) < 3000


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"# flowmate: 1\n",
        b"services:\n  flowmate:\n    image: x\n",
        b"apiVersion: v1\nmetadata: {name: flowmate}\n---\napiVersion: v1\n",
        b"- flowmate: 1\n",
        b"{{ .Values.flowmate }}\n",
        b"a: flowmate\nb: '" + b"x" * 2_000_000 + b"'\n",
        b"a: flowmate\nb: M\xfcller\n",
        "a: flowmate\n".encode("utf-16"),
        b"a: !Ref flowmate\n",
        b"flowmate\n",
    ],
    ids=lambda text: text[:20].decode("latin-1"),
)
def test_other_tools_yaml_is_left_alone(text: bytes) -> None:
    assert read_flow(text, Path("x.yaml"), Catalog()) is None


def _outcome(raw: bytes) -> LoadedFlow | FlowFileError | None:
    try:
        return read_flow(raw, Path("x.yaml"), Catalog())
    except FlowFileError as error:
        return error


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_give_a_flow_a_report_or_nothing(raw: bytes) -> None:
    for text in (b"flowmate: 1\n" + raw, raw + b"\nflowmate: 1"):
        outcome = _outcome(text)
        assert not isinstance(outcome, FlowFileError) or outcome.report()


_WORDS = "flowmate id schedule timezone params defaults steps use map when needs with url retries timeout start_date"
_KEYS = st.sampled_from([*_WORDS.split(), "default", "type", "pattern", "$ref", "enum", "group", "connection"])
_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=12),
    st.sampled_from(
        ["http/get", "http/post", "a", "b", "{{ params.a }}", "{{", "data.a", "1h", "@daily", "#", "0 0 * * *"]
    ),
)
_VALUES: st.SearchStrategy[Any] = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(_KEYS | st.text(max_size=5), inner, max_size=6)
    ),
    max_leaves=25,
)
_STEPS = st.lists(st.one_of(_VALUES, st.dictionaries(_KEYS, _VALUES, max_size=6)), max_size=4)


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(_KEYS, _VALUES, max_size=8), _STEPS, st.booleans())
def test_any_structure_gives_a_flow_or_a_report(value: dict[str, Any], steps: list[Any], plain: bool) -> None:
    value = {"flowmate": 1, **value} if plain else {**value, "flowmate": 1, "steps": steps}
    assert _outcome(yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "replace")) is not None


def test_what_is_no_file_is_left_out(tmp_path: Path) -> None:
    import os

    (tmp_path / "folder.yaml").mkdir()
    (tmp_path / "folder.yaml" / "inner.yaml").write_text(S)
    (tmp_path / "dangling.yaml").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.yaml")
    (tmp_path / ".hidden.yaml").write_text(S)
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "good.yaml").write_text(S)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "good.yml").write_text(S)
    (tmp_path / "a.txt").write_text(S)
    assert find_yaml_files(tmp_path) == [tmp_path / "b" / "good.yml", tmp_path / "good.yaml"]


def test_ignore_files_of_both_syntaxes(tmp_path: Path) -> None:
    for name in ("a.yaml", "b/a.yaml", "b/c/x.yaml", "b/c/y.yaml", "old/z.yaml", "old_2/z.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(S)

    def found(syntax: str) -> list[str]:
        return [path.relative_to(tmp_path).as_posix() for path in find_yaml_files(tmp_path, syntax=syntax)]

    (tmp_path / ".airflowignore").write_text("# comment\n/a.yaml\nold/\n")
    (tmp_path / "b" / ".airflowignore").write_text("x.yaml\n")
    assert found("glob") == ["b/a.yaml", "b/c/y.yaml", "old_2/z.yaml"]
    (tmp_path / ".airflowignore").write_text("^old  # both\n[\n")
    (tmp_path / "b" / ".airflowignore").write_text("c/x\n")
    assert found("regexp") == ["a.yaml", "b/a.yaml", "b/c/y.yaml"]
    (tmp_path / ".airflowignore").write_bytes(b"!\n\xff\nold*\n")
    assert "old/z.yaml" not in found("glob")


def test_a_folder_that_may_not_be_read_hides_no_others(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir(mode=0o000)
    (tmp_path / "good.yaml").write_text(S)
    tmp_path.chmod(0o755)
    child = (
        "import os, sys; sys.path.insert(0, sys.argv[1])\n"
        "from flowmate_airflow.flows.folder import find_yaml_files\nfrom pathlib import Path\n"
        "if os.geteuid() == 0: os.chdir(sys.argv[2]); os.setegid(65534); os.seteuid(65534)\n"
        "else: os.chdir(sys.argv[2])\n"
        "print([p.name for p in find_yaml_files(Path('.'))])\n"
    )
    root = str(Path(__file__).resolve().parents[3])
    command = [sys.executable, "-c", child, root, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.stdout.strip() == "['good.yaml']", done.stderr


def test_a_file_of_any_size_is_read_only_as_far_as_it_can_be_a_flow(tmp_path: Path) -> None:
    path = tmp_path / "huge.yaml"
    path.write_text("flowmate: 1\nsteps: []\n")
    os.truncate(path, 20 * 1024**3)  # sparse: nothing is written
    with pytest.raises(FlowFileError, match="a flow may have 1,048,576"):
        load_flow(path, Catalog())


@pytest.mark.parametrize(
    "text", ["{% include 'other.txt' %}", "{% import 'x' as x %}", "{% from 'x' import y %}", "{% extends 'x' %}"]
)
def test_a_text_that_takes_in_other_files_is_a_problem(tmp_path: Path, text: str) -> None:
    path = tmp_path / "taking.yaml"
    path.write_text(f'flowmate: 1\nsteps:\n  - {{id: a, use: files/read, with: {{path: "{text}"}}}}\n')
    with pytest.raises(FlowFileError, match="cannot take in other files"):
        load_flow(path, Catalog())
