"""`flowmate run`, on the runtime `process`."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_harness import Flowmate, WriteFlow

SECRET = "s3cr3t-key-of-the-shop"
THREE_STEPS = """\
- id: items
  use: shop/items
  with: {limit: "{{ params.limit }}", label: "run of {{ ds }}"}
- id: even
  when: data.number % 2 = 0
  map: '{"number": data.number + 100, "label": data.label}'
- id: saved
  use: shop/save
  with: {prefix: "no "}
"""
LIMIT = "params: {limit: {type: integer, minimum: 0, default: 3}}"


def data_of(text: str) -> list[Any]:
    return [json.loads(line)["data"] for line in text.splitlines()]


def test_a_flow_runs_from_start_to_end(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    result = flowmate("run", write_flow(THREE_STEPS, head=LIMIT))
    assert result.code == 0
    assert data_of(result.out) == [{"saved": "no 100"}, {"saved": "no 102"}]
    assert "step `saved` made 2 messages" in result.err


def test_the_first_five_messages_are_shown_unless_all_are_asked_for(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    flow = write_flow("- {id: items, use: shop/items, with: {limit: 8}}")
    assert len(data_of(flowmate("run", flow).out)) == 5
    assert len(data_of(flowmate("run", flow, "--full").out)) == 8


def test_params_come_from_the_command_line_or_a_file(flowmate: Flowmate, write_flow: WriteFlow, home: Path) -> None:
    flow = write_flow(THREE_STEPS, head=LIMIT)
    assert len(data_of(flowmate("run", flow, "--params", '{"limit": 9}').out)) == 5
    (home / "params.json").write_text('{"limit": 1}')
    assert data_of(flowmate("run", flow, "--params", "@params.json").out) == [{"saved": "no 100"}]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ('{"limt": 1}', "did you mean `limit`?"),
        ('{"limit": "many"}', "`limit`"),
        ('{"limit": -1}', "`limit`"),
        ("[1]", "not a JSON object"),
        ("{limit}", "not JSON"),
        ("@missing.json", "missing.json cannot be read"),
    ],
)
def test_wrong_params_are_told_before_anything_runs(
    flowmate: Flowmate, write_flow: WriteFlow, given: str, told: str
) -> None:
    result = flowmate("run", write_flow(THREE_STEPS, head=LIMIT), "--params", given)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert "running" not in result.err


def test_a_param_without_a_default_must_be_given(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    flow = write_flow("- {id: items, use: shop/items}", head="params: {since: {type: string}}")
    result = flowmate("run", flow)
    assert result.code == 2
    assert "`since` has no default" in result.err
    assert flowmate("run", flow, "--params", '{"since": "2026"}').code == 0


def test_steps_without_messages_are_skipped_and_the_run_succeeds(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    flow = write_flow(
        """
        - {id: items, use: shop/items}
        - {id: none, when: data.number > 5, map: data}
        - {id: follower, use: shop/save, with: {prefix: a}}
        - {id: both, needs: [follower, items], map: data.number}
        """
    )
    result = flowmate("run", flow)
    assert result.code == 0
    assert "none: skipped" in result.err
    assert "follower: skipped" in result.err
    assert data_of(result.out) == [0, 1]


def test_a_trigger_without_news_is_a_success(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    flow = write_flow("- {id: items, use: shop/items, with: {limit: 0}}\n- {id: next, map: data}")
    result = flowmate("run", flow)
    assert result.code == 0
    assert result.out == ""
    assert "next: skipped" in result.err


def test_one_step_takes_messages_or_plain_data(flowmate: Flowmate, write_flow: WriteFlow, home: Path) -> None:
    flow = write_flow(THREE_STEPS, head=LIMIT)
    (home / "in.jsonl").write_text('{"id": "a", "data": {"number": 4}}\n\n{"number": 6}\n')
    result = flowmate("run", flow, "--step", "saved", "--input", "in.jsonl")
    assert [json.loads(line) for line in result.out.splitlines()] == [
        {"id": "a", "data": {"saved": "no 4"}},
        {"id": "input-3", "data": {"saved": "no 6"}},
    ]


def test_one_step_reads_standard_input(write_flow: WriteFlow, home: Path) -> None:
    flow = write_flow(THREE_STEPS, head=LIMIT)
    done = subprocess.run(
        [sys.executable, "-m", "flowmate_airflow.cli.main", "run", flow, "--step", "even", "--input", "-"],
        input='{"number": 2}\n{"number": 3}\n',
        capture_output=True,
        text=True,
        cwd=home,
    )
    assert done.returncode == 0
    assert data_of(done.stdout) == [{"number": 102}]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--step", "savd"], "did you mean `saved`?"),
        (["--step", "saved"], "needs messages"),
        (["--step", "items", "--input", "in.jsonl"], "takes no messages"),
        (["--input", "in.jsonl"], "--step"),
        (["--step", "saved", "--input", "missing.jsonl"], "missing.jsonl cannot be read"),
        (["--step", "saved", "--input", "in.jsonl"], "in.jsonl:2 is not JSON"),
        (["--runtime", "rocket"], "cannot be `rocket`"),
    ],
)
def test_wrong_usage_is_one_clear_line(
    flowmate: Flowmate, write_flow: WriteFlow, home: Path, arguments: list[str], told: str
) -> None:
    (home / "in.jsonl").write_text('{"number": 1}\n{"number": \n')
    result = flowmate("run", write_flow(THREE_STEPS, head=LIMIT), *arguments)
    assert result.code == 2
    assert told in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def test_the_messages_of_each_step_are_kept(flowmate: Flowmate, write_flow: WriteFlow, home: Path) -> None:
    flowmate("run", write_flow(THREE_STEPS, head=LIMIT), "--output", "kept")
    assert sorted(path.name for path in (home / "kept").iterdir()) == ["even.jsonl", "items.jsonl", "saved.jsonl"]
    assert [data["number"] for data in data_of((home / "kept" / "items.jsonl").read_text())] == [0, 1, 2]


def test_nothing_is_left_in_the_temporary_folder(
    flowmate: Flowmate, write_flow: WriteFlow, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = home / "tmp"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__INLINE_LIMIT", "10")
    result = flowmate("run", write_flow(THREE_STEPS, head=LIMIT))
    assert data_of(result.out) == [{"saved": "no 100"}, {"saved": "no 102"}]
    assert list(temporary.iterdir()) == []


def test_a_failed_step_ends_the_run_with_one_message(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    flow = write_flow(
        "- {id: items, use: shop/items, with: {limit: 14}}\n- {id: saved, use: shop/save, with: {prefix: a}}"
    )
    result = flowmate("run", flow)
    assert (result.code, result.out) == (1, "")
    assert "step `saved` (shop/save) failed: message items-14: 13 is not saved" in result.err.splitlines()[-1]
    assert "Traceback" not in result.err


def test_on_error_skip_goes_on_with_the_rest(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    flow = write_flow(
        """
        - {id: items, use: shop/items, with: {limit: 15}}
        - {id: saved, use: shop/save, with: {prefix: a}, on_error: skip}
        """
    )
    result = flowmate("run", flow, "--full")
    assert result.code == 0
    assert len(data_of(result.out)) == 14
    assert "1 failed" in result.err


def test_what_only_airflow_knows_is_said_so(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    result = flowmate("run", write_flow('- {id: items, use: shop/items, with: {label: "{{ var.value.x }}"}}'))
    assert result.code == 1
    assert "`var` is known in Airflow only" in result.err


def test_rendered_fields_are_checked(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    flow = write_flow(
        '- {id: items, use: shop/items, with: {limit: "{{ params.limit }}"}}',
        head="params: {limit: {type: [integer, string], default: 3}}",
    )
    result = flowmate("run", flow, "--params", '{"limit": "many"}')
    assert result.code == 1
    assert "after rendering" in result.err


def test_airflows_run_names_are_there(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    names = ("ds", "ts_nodash", "run_id", "dag_run.conf.a", "data_interval_end | ds", "macros.ds_add(ds, 0)")
    label = "|".join(f"{{{{ {name} }}}}" for name in names)
    flow = write_flow(
        f"- {{id: items, use: shop/items, with: {{limit: 1, label: '{label}'}}}}",
        head="params: {a: {type: string, default: b}}",
    )
    result = flowmate("run", flow)
    assert result.code == 0, result.err
    day, moment, run_id, conf, until, added = data_of(result.out)[0]["label"].split("|")
    assert day == until == added
    assert moment.startswith(day.replace("-", "") + "T")
    assert run_id.startswith("local__")
    assert conf == "b"


@pytest.mark.parametrize(
    "connection",
    [
        json.dumps({"conn_type": "generic", "password": SECRET, "host": "shop.example", "port": "8443"}),
        f"generic://:{SECRET}@shop.example:8443",
    ],
)
def test_a_connection_of_the_environment_needs_no_airflow_and_its_secrets_are_masked(
    write_flow: WriteFlow, home: Path, connection: str
) -> None:
    flow = write_flow("- {id: items, use: shop/items, connection: shop_main, with: {limit: 1}}")
    code = (
        "import sys; from flowmate_airflow.cli.main import main; code = main(sys.argv[1:]);"
        "print('airflow' in sys.modules, file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "run", flow],
        cwd=home,
        env={**os.environ, "AIRFLOW_CONN_SHOP_MAIN": connection},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert data_of(done.stdout)[0]["url"] == "https://shop.example:8443"
    assert "the key is ***" in done.stderr
    assert SECRET not in done.stderr
    assert done.stderr.endswith("False\n")


def test_secrets_are_masked_in_the_error_too(
    flowmate: Flowmate, write_flow: WriteFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_MAIN", json.dumps({"password": SECRET}))
    result = flowmate("run", write_flow("- {id: items, use: shop/broken, connection: shop_main}"))
    assert result.code == 1
    assert "no entry with ***" in result.err
    assert SECRET not in result.err


@pytest.mark.parametrize(
    "text", ["no uri", "{", "generic://h:port", '{"port": "x"}', '{"extra": [1]}', "a://h/?__extra__={"]
)
def test_a_connection_that_cannot_be_read_is_not_shown(
    flowmate: Flowmate, write_flow: WriteFlow, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_MAIN", text)
    result = flowmate("run", write_flow("- {id: items, use: shop/items, connection: shop_main}"))
    assert result.code == 1
    assert "AIRFLOW_CONN_SHOP_MAIN is no Connection: " in result.err


def test_a_connection_that_lacks_something_is_told(
    flowmate: Flowmate, write_flow: WriteFlow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SHOP_MAIN", json.dumps({"login": "me", "extra": {"auth": "key"}}))
    result = flowmate("run", write_flow("- {id: items, use: shop/items, connection: shop_main}"))
    assert result.code == 1
    assert "lacks what `shop` needs" in result.err


def test_a_missing_connection_says_how_to_add_it(write_flow: WriteFlow, home: Path) -> None:
    flow = write_flow("- {id: items, use: shop/items, connection: shop_main}")
    done = subprocess.run(
        [sys.executable, "-m", "flowmate_airflow.cli.main", "run", flow], cwd=home, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "step `items` (shop/items) names the Connection `shop_main`, which does not exist" in done.stderr
    assert "airflow connections add shop_main" in done.stderr


def test_without_an_engine_it_says_what_to_do(
    flowmate: Flowmate, write_flow: WriteFlow, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{home}/none.sock")
    result = flowmate("run", write_flow("- {id: items, use: shop/items}"), "--runtime", "docker")
    assert result.code == 1
    assert "no container engine answers" in result.err
    assert "--runtime process" in result.err


@pytest.mark.parametrize("name", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_ends_the_component_and_the_run(
    write_flow: WriteFlow, home: Path, monkeypatch: pytest.MonkeyPatch, name: signal.Signals
) -> None:
    temporary = home / "tmp"
    temporary.mkdir()
    flow = write_flow("- {id: items, use: shop/wait}")
    with subprocess.Popen(
        [sys.executable, "-m", "flowmate_airflow.cli.main", "run", flow],
        cwd=home,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stderr is not None
        while "waiting" not in (line := run.stderr.readline()):
            assert line, "it ended before its component was up"
        run.send_signal(name)
        _, err = run.communicate()
    assert run.returncode == 130
    assert err.splitlines()[-1] == "interrupted"
    assert list(temporary.iterdir()) == []


def test_a_broken_flow_is_reported_whole(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    result = flowmate("run", write_flow("- {id: items, use: shop/itmes}\n- {id: x, use: nothing/y}"))
    assert result.code == 1
    assert "did you mean `items`?" in result.err
    assert "2 problems in orders.yaml" in result.err


def test_files_that_are_no_flows(flowmate: Flowmate, home: Path) -> None:
    (home / "other.yaml").write_text("a: 1\n")
    assert "is not a flow" in flowmate("run", "other.yaml").err
    assert flowmate("run", "none.yaml").code == 2
    assert flowmate("run", ".").code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="has no pseudo-terminals")
def test_in_a_terminal_a_table_shows_each_step(write_flow: WriteFlow, home: Path) -> None:
    flow = write_flow(
        """
        - {id: items, use: shop/items}
        - {id: none, when: data.number > 5, map: data}
        - {id: wrong, needs: [items], map: $number("x")}
        - {id: last, map: data}
        """
    )
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-m", "flowmate_airflow.cli.main", "run", flow],
        cwd=home,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "100"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as run:
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # how a pseudo-terminal says that the other end is closed
            while chunk := os.read(ours, 4096):
                shown += chunk
    os.close(ours)
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n").splitlines()
    last = [line.split() for line in lines if line.strip()][-5:]
    assert [words[:2] for words in last[:4]] == [
        ["items", "done"],
        ["none", "skipped"],
        ["wrong", "failed"],
        ["last", "not"],
    ]
    assert last[0][2:4] == ["0", "2"]
    assert " ".join(last[4]).startswith("step `wrong`: `map` failed for message items-1")
    assert run.returncode == 1
