"""The other commands, and how all are called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cli_harness import Flowmate, WriteFlow

from flowmate_airflow import __version__

BRANCHES = """\
- {id: items, use: shop/items, title: All "items"}
- {id: large, when: data.number > 5, map: data, group: sorted_out}
- {id: small, needs: [items], map: data, group: sorted_out}
- {id: saved, needs: [large, small], use: shop/save, with: {prefix: a}}
"""


def test_the_version(flowmate: Flowmate) -> None:
    assert flowmate("--version").out == f"flowmate {__version__}\n"


@pytest.mark.parametrize(
    "command", [[], ["lint"], ["run"], ["show"], ["connectors", "show"], ["new", "flow"], ["schema"]]
)
def test_help_has_examples(flowmate: Flowmate, command: list[str]) -> None:
    result = flowmate(*command, "-h")
    assert result.code == 0
    assert f"examples:\n  flowmate {' '.join(command)}".rstrip() in result.out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["lnt"], "there is no command `lnt`; did you mean `lint`?"),
        (["connectors", "lst"], "did you mean `list`?"),
        (["show"], "missing: FLOW.yaml"),
        (["lint", "--format", "xml"], "--format cannot be `xml`"),
        ([], "missing: COMMAND"),
        (["connectors", "show", "htp"], "did you mean `http`?"),
        (["new", "flow", "../evil"], "cannot be a flow's id"),
        (["new", "connector", "Shop"], "cannot be a connector's name"),
    ],
)
def test_wrong_usage_is_one_line(flowmate: Flowmate, arguments: list[str], told: str) -> None:
    result = flowmate(*arguments)
    assert (result.code, result.out) == (2, "")
    assert told in result.err
    assert len(result.err.splitlines()) == 1


def test_a_reader_that_has_seen_enough_is_no_error(home: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "flowmate_airflow.cli.main", "schema"], stdout=write, stderr=subprocess.PIPE, text=True
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (0, "")


def test_show_lists_the_steps_with_what_they_need(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    result = flowmate("show", write_flow(BRANCHES, head="title: Orders\nschedule: '@daily'"))
    assert result.code == 0
    lines = [" ".join(line.split()) for line in result.out.splitlines()]
    assert lines[0] == "orders: Orders"
    assert "schedule @daily, 4 steps" in lines[1]
    assert '1. items shop/items All "items"' in lines
    assert "2. large map <- items when data.number > 5" in lines
    assert "4. saved shop/save <- large, small" in lines


def test_show_draws_a_mermaid_chart(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    lines = [line.strip() for line in flowmate("show", write_flow(BRANCHES), "--format", "mermaid").out.splitlines()]
    assert lines[0] == "flowchart LR"
    assert 's1["<b>items</b><br>All #quot;items#quot;<br><i>shop/items</i>"]' in lines
    assert {"s1 --> s3", "s2 --> s4", "s3 --> s4", 's1 -- "data.number #gt; 5" --> s2'} <= set(lines)
    box = lines.index('subgraph g1["sorted_out"]')
    assert [line[:2] for line in lines[box + 1 : box + 4]] == ["s2", "s3", "en"]


def test_connectors_are_listed_with_the_users_own(flowmate: Flowmate) -> None:
    result = flowmate("connectors", "list")
    assert result.code == 0
    assert [line.split()[0] for line in result.out.splitlines()] == ["files", "http", "shop"]
    listed = {each["name"]: each for each in json.loads(flowmate("connectors", "list", "--format", "json").out)}
    assert listed["shop"]["triggers"] == ["items", "wait", "broken"]


def test_a_broken_manifest_is_told_and_the_others_are_listed(flowmate: Flowmate, home: Path) -> None:
    folder = home / "airflow" / "connectors" / "bad"
    folder.mkdir()
    (folder / "connector.yaml").write_text("connector: 1\nname: bad\n")
    result = flowmate("connectors", "list")
    assert result.code == 1
    assert "shop" in result.out
    assert "bad/connector.yaml" in result.err


def test_a_connector_is_shown_with_its_credentials_and_fields(flowmate: Flowmate) -> None:
    text = flowmate("connectors", "show", "shop").out
    assert "password  required  as key" in text
    assert (
        "airflow connections add my_shop --conn-type generic --conn-password PASSWORD "
        '--conn-host https://api.example.com --conn-extra \'{"auth": "key"}\'' in text
    )
    assert "limit  integer. How many. Default: 2." in text
    assert "prefix  string (required)" in text


def test_every_example_of_every_connector_lints(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    for name in ("files", "http", "shop"):
        shown = json.loads(flowmate("connectors", "show", name, "--format", "json").out)
        for function, step in shown["examples"]["steps"].items():
            first = "" if function in shown["triggers"] else "- {id: first, use: shop/items}\n"
            result = flowmate("lint", write_flow(first + step, f"{name}_{function}.yaml"))
            assert result.code == 0, result.out


def test_a_new_flow_lints_and_runs(flowmate: Flowmate, home: Path) -> None:
    assert flowmate("new", "flow", "hello", "--folder", "flows").code == 0
    assert flowmate("lint", "flows").out == "1 flow, no problems\n"
    assert flowmate("run", "flows/hello.yaml").code == 0
    written = (home / "airflow/flowmate/files/hello_large.jsonl").read_text().splitlines()
    assert json.loads(written[0]) == {"order": "1001", "buyer": "Ada Lovelace", "cents": 12050}
    assert len(written) == 3


def test_a_new_connector_passes_its_test_and_works_in_a_flow(
    flowmate: Flowmate, write_flow: WriteFlow, home: Path
) -> None:
    assert flowmate("new", "connector", "garden").code == 0
    folder = home / "airflow" / "connectors" / "garden"
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)]
    done = subprocess.run(tests, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    flow = write_flow("- {id: a, use: garden/list_items}\n- {id: b, use: garden/save_item, with: {name_field: name}}")
    result = flowmate("run", flow)
    assert result.code == 0
    assert json.loads(result.out.splitlines()[0])["data"] == {"saved": "Item 1"}


@pytest.mark.parametrize("what", [["flow", "mine"], ["connector", "mine"]])
def test_new_never_overwrites(flowmate: Flowmate, home: Path, what: list[str]) -> None:
    assert flowmate("new", *what).code == 0
    before = {path: path.read_bytes() for path in home.rglob("*") if path.is_file()}
    result = flowmate("new", *what)
    assert result.code == 1
    assert "there already" in result.err
    assert {path: path.read_bytes() for path in home.rglob("*") if path.is_file()} == before


def test_the_schemas(flowmate: Flowmate, home: Path) -> None:
    from jsonschema import Draft202012Validator

    for arguments, required in (([], {"flowmate", "steps"}), (["--connector"], {"connector", "name", "image"})):
        schema = json.loads(flowmate("schema", *arguments).out)
        Draft202012Validator.check_schema(schema)
        assert required <= set(schema["required"])


def test_airflow_flowmate_is_the_same(write_flow: WriteFlow, home: Path) -> None:
    write_flow("- {id: items, use: shop/itmes}")
    airflow = Path(sys.executable).with_name("airflow")
    done = subprocess.run([airflow, "flowmate", "lint", "."], cwd=home, capture_output=True, text=True)
    assert done.returncode == 1
    assert "did you mean `items`?" in done.stdout
    assert done.stdout.splitlines()[-1] == "1 flow, 1 problem in 1 file"


def test_both_programs_have_the_same_arguments(home: Path) -> None:
    code = """
import argparse, json, sys
from flowmate_airflow.cli.main import make_parser
from airflow.cli.cli_parser import get_parser

def tree(parser):
    found = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            found |= {name: tree(child) for name, child in action.choices.items()}
        elif not isinstance(action, (argparse._HelpAction, argparse._VersionAction)):
            found[action.dest] = [action.option_strings, str(action.default), action.nargs, action.help]
    return found

ours = tree(make_parser())
theirs = tree(next(a for a in get_parser()._actions if a.choices).choices["flowmate"])
print(json.dumps([ours == theirs, sorted(ours)]))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=home, capture_output=True, text=True)
    same, names = json.loads(done.stdout.splitlines()[-1])
    wanted = "connectors dead-letters discover import links lint new run schema show state tenants webhooks"
    assert names == wanted.split()
    assert same
