"""`flowmate lint`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_harness import Flowmate, WriteFlow

GOOD = "- {id: items, use: shop/items}"
BAD = """\
- {id: items, use: shop/itmes}
- {id: saved, use: shop/save, with: {prefix: 1}, nonsense: 1}
"""


def test_right_flows_are_counted(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    write_flow(GOOD, "a.yaml")
    write_flow(GOOD, "deep/b.yml")
    result = flowmate("lint")
    assert (result.code, result.out) == (0, "2 flows, no problems\n")


def test_every_problem_is_told_with_its_place_and_what_to_do(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    write_flow(GOOD, "good.yaml")
    write_flow(BAD, "flows/bad.yaml")
    result = flowmate("lint", "flows", "good.yaml")
    assert result.code == 1
    assert "flows/bad.yaml:3:" in result.out
    assert "did you mean `items`?" in result.out
    assert "nonsense" in result.out
    last = result.out.splitlines()[-1]
    assert last.startswith("2 flows, ")
    assert last.endswith(" problems in 1 file")


def test_the_report_for_programs(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    write_flow(GOOD, "good.yaml")
    write_flow(BAD, "bad.yaml")
    result = flowmate("lint", "--format", "json")
    report = json.loads(result.out)
    assert result.code == 1
    assert (report["flows"], report["files"]) == (2, ["bad.yaml", "good.yaml"])
    assert {problem["file"] for problem in report["problems"]} == {"bad.yaml"}
    assert all(set(problem) == {"file", "line", "column", "message", "hint"} for problem in report["problems"])


def test_one_id_in_two_files_is_an_error_in_both(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    write_flow(GOOD, "a/orders.yaml")
    write_flow(GOOD, "b/orders.yaml")
    result = flowmate("lint", "a", "b")
    assert result.code == 1
    assert "a/orders.yaml:" in result.out
    assert "also in b/orders.yaml" in result.out
    assert "also in a/orders.yaml" in result.out


def test_a_file_named_twice_is_one_flow(flowmate: Flowmate, write_flow: WriteFlow, home: Path) -> None:
    name = write_flow(GOOD, "flows/orders.yaml")
    assert flowmate("lint", "flows", name, str(home / name)).out == "1 flow, no problems\n"


def test_files_are_named_as_they_were_given(flowmate: Flowmate, write_flow: WriteFlow, home: Path) -> None:
    write_flow(BAD, "flows/bad.yaml")
    assert f"{home}/flows/bad.yaml:3:" in flowmate("lint", str(home / "flows")).out


def test_airflowignore_is_honoured(flowmate: Flowmate, write_flow: WriteFlow, home: Path) -> None:
    write_flow(GOOD, "good.yaml")
    write_flow(BAD, "drafts/bad.yaml")
    (home / ".airflowignore").write_text("drafts/\n")
    assert flowmate("lint").out == "1 flow, no problems\n"


def test_airflowignore_may_hold_regular_expressions(
    flowmate: Flowmate, write_flow: WriteFlow, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__DAG_IGNORE_FILE_SYNTAX", "regexp")
    write_flow(GOOD, "good.yaml")
    write_flow(BAD, "draft_1.yaml")
    (home / ".airflowignore").write_text("draft_[0-9]\n")
    assert flowmate("lint").out == "1 flow, no problems\n"


def test_other_yaml_is_left_alone(flowmate: Flowmate, home: Path) -> None:
    (home / "compose.yaml").write_text("services: {}\n")
    result = flowmate("lint", "compose.yaml")
    assert result.code == 0
    assert result.out.startswith("0 flows, no problems")


def test_a_missing_path_is_wrong_usage(flowmate: Flowmate) -> None:
    result = flowmate("lint", "nowhere")
    assert (result.code, result.out) == (2, "")
    assert result.err == "there is no file or folder nowhere\n"


def test_connectors_of_another_folder(flowmate: Flowmate, write_flow: WriteFlow, home: Path) -> None:
    (home / "airflow" / "connectors").rename(home / "mine")
    write_flow(GOOD)
    assert flowmate("lint").code == 1
    assert flowmate("lint", "--connectors", "mine").code == 0
    assert flowmate("lint", "--connectors", "none").code == 2


@pytest.mark.parametrize("arguments", [["lint"], ["show", "orders.yaml"], ["connectors", "list"], ["schema"]])
def test_no_command_that_only_looks_imports_airflow(write_flow: WriteFlow, home: Path, arguments: list[str]) -> None:
    write_flow(
        """
        - id: items
          use: shop/items
          with: {label: "{{ params.label }}"}
        - {id: saved, use: shop/save, with: {prefix: x}}
        """,
        head="schedule: '*/15 * * * *'\nparams: {label: {type: string, default: a}}",
    )
    code = (
        "import sys; from flowmate_airflow.cli.main import main; code = main(sys.argv[1:]);"
        "print(sorted({'airflow', 'jsonschema', 'rich', 'docker'} & {name.split('.')[0] for name in sys.modules}),"
        " file=sys.stderr); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], cwd=home, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "[]\n")
