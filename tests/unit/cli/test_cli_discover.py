"""`flowmate discover`: what a source has, what a step reads of it, and what changed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml
from cli_harness import Flowmate, WriteFlow

MANIFEST = """
connector: 1
name: desk
version: 1.0.0
title: Test desk
image: example/desk:1.0.0
process: {module: connector}
auth:
  token: {title: A token, required: {token: password}}
  none: {title: None}
triggers:
  read:
    title: Read
    fields: {account: {type: string}}
actions:
  write: {title: Write}
"""

CODE = """
import json, pathlib, sys

here = pathlib.Path(__file__).parent
line = json.loads(sys.stdin.readline())
said = json.loads((here / "said.json").read_text())
with (here / "asked.jsonl").open("a") as file:
    file.write(json.dumps({"verb": sys.argv[1], **line}) + "\\n")
for each in said.get("lines", []):
    print(json.dumps(each) if isinstance(each, dict) else each.replace("TOKEN", line["credentials"].get("token", "")))
sys.exit(said.get("code", 0))
"""

TEXT = {"type": "string"}
ORDERS = {
    "name": "orders",
    "primary_key": ["id"],
    "cursor": "changed",
    "schema": {
        "type": "object",
        "properties": {
            "id": {"type": "integer"},
            "changed": {"type": "string", "format": "date-time"},
            "customer": {"type": ["object", "null"], "properties": {"email": TEXT, "name": TEXT}},
            "note": {"type": ["string", "null"]},
        },
    },
}
PEOPLE = {"name": "people", "schema": {"type": "object", "properties": {"uid": TEXT, "yes": TEXT}}}
STEP = "- {id: orders, use: desk/read, select: {orders: [customer.email]}}"

Say: TypeAlias = Callable[..., None]


@pytest.fixture
def desk(home: Path) -> Path:
    folder = home / "airflow" / "connectors" / "desk"
    folder.mkdir(parents=True)
    (folder / "connector.yaml").write_text(MANIFEST)
    (folder / "connector.py").write_text(CODE)
    return folder


@pytest.fixture
def says(desk: Path) -> Say:
    """Sets the streams that the connector has, or else the lines that it prints."""

    def say(*streams: dict[str, Any], **said: Any) -> None:
        lines = [{"type": "CATALOG", "streams": streams}]
        (desk / "said.json").write_text(json.dumps({"lines": lines, **said}))

    say(ORDERS, PEOPLE)
    return say


def _asked(desk: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (desk / "asked.jsonl").read_text().splitlines()]


def _squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_it_shows_tables_and_fields_and_what_is_read(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    result = flowmate("discover", write_flow(STEP), "orders")
    assert result.code == 0, result.err
    lines = _squeezed(result.out)
    assert "desk/read, asked now" in lines
    assert "orders 4 3 full id changed" in lines
    assert "people 2 no full only - -" in lines
    assert "id integer always key" in lines
    assert "changed string (date-time) always cursor" in lines
    assert "customer object or null partly" in lines
    assert "customer.email string read" in lines
    assert "note string or null -" in lines


def test_the_rendered_step_and_its_connection_go_to_the_connector(
    flowmate: Flowmate, write_flow: WriteFlow, says: Say, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DESK_MAIN", json.dumps({"conn_type": "generic", "password": "hunter22"}))
    step = "- {id: orders, use: desk/read, connection: desk_main, with: {account: '{{ params.account }}'}}"
    flow = write_flow(step, head="params: {account: {type: string}}")
    result = flowmate("discover", flow, "orders", "--params", '{"account": "a7"}')
    assert result.code == 0, result.err
    assert "with the Connection `desk_main`" in result.out
    (asked,) = _asked(desk)
    assert asked["verb"] == "discover"
    assert asked["config"] == {"account": "a7"}
    assert asked["credentials"]["token"] == "hunter22"


def test_it_remembers_until_it_is_told_to_ask_again(
    flowmate: Flowmate, write_flow: WriteFlow, says: Say, desk: Path
) -> None:
    flow = write_flow(STEP)
    flowmate("discover", flow, "orders")
    says(ORDERS)
    remembered = flowmate("discover", flow, "orders")
    assert "--refresh asks again" in remembered.out
    assert "people" in remembered.out
    assert len(_asked(desk)) == 1
    assert "people" not in flowmate("discover", flow, "orders", "--refresh").out.rpartition("gone")[2]
    assert len(_asked(desk)) == 2


def test_it_tells_what_changed_and_what_select_has_lost(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    flow = write_flow(STEP)
    flowmate("discover", flow, "orders")
    properties = {**ORDERS["schema"]["properties"], "customer": TEXT, "tax": {"type": "number"}}  # type: ignore[index]
    says({**ORDERS, "schema": {"type": "object", "properties": properties}}, {"name": "news"})
    result = flowmate("discover", flow, "orders", "--refresh")
    assert result.code == 1
    told = [line for line in _squeezed(result.out) if "`" in line]
    assert told == [
        "! field `customer` of `orders`: its type was object, is string",
        "! table `people` is gone",
        "table `news` is new",
        "field `customer` of `orders` is never null now",
        "field `tax` of `orders` is new: number",
        "- the table `orders` has no field `customer.email`; `customer` is string, which has no fields",
    ]
    assert "5 changes since" in result.out
    assert "2 of them breaking" in result.out


def test_for_programs(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    flow = write_flow(STEP)
    flowmate("discover", flow, "orders")
    says(ORDERS)
    result = flowmate("discover", flow, "orders", "--refresh", "--format", "json")
    told = json.loads(result.out)
    (orders,) = told["tables"]
    assert (orders["name"], orders["selected"], orders["key"], orders["cursor"]) == ("orders", True, ["id"], "changed")
    read = {field["name"]: field["read"] for field in orders["fields"]}
    assert read == {
        "id": "always",
        "changed": "always",
        "customer": "partly",
        "customer.email": "yes",
        "customer.name": "no",
        "note": "no",
    }
    assert [(change["kind"], change["table"]) for change in told["changes"]] == [("table removed", "people")]
    assert told["compared_with"]
    assert told["problems"] == []


def test_one_table(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    flow = write_flow(STEP)
    result = flowmate("discover", flow, "orders", "--table", "people")
    assert "uid" in result.out
    assert "customer" not in result.out
    wrong = flowmate("discover", flow, "orders", "--table", "peple")
    assert (wrong.code, wrong.out) == (2, "")
    assert "--table: there is no table `peple`; did you mean `people`?" in wrong.err


def test_thousands_of_fields_stay_readable(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    fields = {f"field_{number}": TEXT for number in range(1000)}
    says(*({"name": f"t{number}", "schema": {"type": "object", "properties": fields}} for number in range(3)))
    flow = write_flow("- {id: orders, use: desk/read}")
    result = flowmate("discover", flow, "orders")
    assert "3 tables with 3,000 fields, 3 read" in result.out
    assert len(result.out.splitlines()) < 12
    assert "--table NAME" in result.out
    assert "field_999" in flowmate("discover", flow, "orders", "--table", "t1").out


def test_the_select_it_writes_can_be_pasted(flowmate: Flowmate, write_flow: WriteFlow, says: Say, home: Path) -> None:
    says(ORDERS, PEOPLE, {"name": "any thing"}, {"name": "odd", "schema": {"properties": {"!a": TEXT, "b": TEXT}}})
    flow = write_flow("- {id: orders, use: desk/read}")
    result = flowmate("discover", flow, "orders", "--write-select", "-")
    block = yaml.safe_load(result.out)
    assert block["select"] == {
        "orders": ["id", "changed", "customer", "note"],
        "people": ["uid", "yes"],
        "any thing": "*",
        "odd": "*",
    }
    pasted = write_flow(f"- id: orders\n  use: desk/read\n{_indented(result.out)}", name="pasted.yaml")
    assert flowmate("lint", pasted).code == 0
    assert flowmate("discover", pasted, "orders").code == 0

    assert flowmate("discover", flow, "orders", "--write-select", "select.yaml").code == 0
    assert (home / "select.yaml").read_text() == result.out
    again = flowmate("discover", flow, "orders", "--write-select", "select.yaml")
    assert again.code == 2
    assert "is there already" in again.err


def _indented(text: str) -> str:
    return "".join(f"  {line}\n" for line in text.splitlines())


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("ordrs", "the flow has no step `ordrs`; did you mean `orders`?"),
        ("mapped", "step `mapped` uses no connector, so there is nothing to discover"),
        ("saved", "step `saved`: `desk/write` is an action; only what reads has tables to discover"),
    ],
)
def test_steps_that_read_nothing(flowmate: Flowmate, write_flow: WriteFlow, says: Say, step: str, told: str) -> None:
    flow = write_flow(f"{STEP}\n- {{id: mapped, map: data}}\n- {{id: saved, use: desk/write}}")
    result = flowmate("discover", flow, step)
    assert result.code == 2
    assert told in result.err


def test_wrong_credentials_are_one_line_without_the_secret(
    flowmate: Flowmate, write_flow: WriteFlow, says: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DESK_MAIN", json.dumps({"conn_type": "generic", "password": "hunter22"}))
    says(lines=['{"type": "ERROR", "message": "the token TOKEN is unknown", "failure_type": "config"}'], code=78)
    result = flowmate("discover", write_flow("- {id: orders, use: desk/read, connection: desk_main}"), "orders")
    assert result.code == 1
    assert "the token *** is unknown" in result.err
    assert "hunter22" not in result.err + result.out


def test_the_other_system_is_down(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    says(lines=[{"type": "ERROR", "message": "no route to desk", "failure_type": "transient"}], code=75)
    result = flowmate("discover", write_flow(STEP), "orders")
    assert result.code == 1
    told = result.err.splitlines()[-1]
    assert told.startswith("step `orders`: ")
    assert "no route to desk" in told
    assert "it may work when it is tried again" in told


def test_a_missing_connection(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    result = flowmate("discover", write_flow("- {id: orders, use: desk/read, connection: nowhere}"), "orders")
    assert result.code == 1
    assert "`nowhere`" in result.err
    assert "Traceback" not in result.err


def test_no_catalog_says_what_to_do(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    says(lines=["what is discover?"], code=2)
    result = flowmate("discover", write_flow(STEP), "orders")
    assert result.code == 1
    assert "exit code 2" in result.err
    assert "write `select` by hand" in result.err


def test_a_connector_of_the_sdk_without_discovery(flowmate: Flowmate, write_flow: WriteFlow) -> None:
    result = flowmate("discover", write_flow("- {id: items, use: shop/items}"), "items")
    assert result.code == 1
    assert "write `select` by hand" in result.err


def test_a_tap_without_discovery_is_not_started(flowmate: Flowmate, write_flow: WriteFlow, desk: Path) -> None:
    (desk / "connector.yaml").write_text(
        "{connector: 1, name: desk, version: 1.0.0, title: Desk, image: 'desk:1', protocol: singer,"
        " singer: {discover: false}, triggers: {read: {title: Read}}, process: {module: connector}}"
    )
    result = flowmate("discover", write_flow("- {id: orders, use: desk/read}"), "orders")
    assert result.code == 1
    assert "cannot tell its tables" in result.err
    assert not (desk / "asked.jsonl").exists()


def test_without_a_store_it_works_all_the_same(
    flowmate: Flowmate, write_flow: WriteFlow, says: Say, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", "sqlite:////proc/none/store.db")
    for _ in range(2):
        result = flowmate("discover", write_flow(STEP), "orders")
        assert result.code == 0
        assert "neither compared nor kept" in result.err
        assert "asked now" in result.out
    assert len(_asked(desk)) == 2


def test_credentials_that_the_source_changes_are_kept_even_when_it_fails(
    flowmate: Flowmate, write_flow: WriteFlow, says: Say, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_DESK_MAIN", json.dumps({"conn_type": "generic", "password": "hunter22"}))
    flow = write_flow("- {id: orders, use: desk/read, connection: desk_main}")
    says(lines=[{"type": "CREDENTIALS", "credentials": {"token": "rotated99"}}], code=1)
    assert flowmate("discover", flow, "orders").code == 1
    says(ORDERS)
    assert flowmate("discover", flow, "orders").code == 0
    assert [asked["credentials"]["token"] for asked in _asked(desk)] == ["hunter22", "rotated99"]


def test_names_cannot_steer_the_terminal(flowmate: Flowmate, write_flow: WriteFlow, says: Say) -> None:
    says({"name": "a\x1b[2Jb", "schema": {"properties": {"c\x1b]0;x\x07": {"type": "te\x1bxt"}, "line\nbreak": TEXT}}})
    flow = write_flow("- {id: orders, use: desk/read}")
    shown = flowmate("discover", flow, "orders").out
    block = flowmate("discover", flow, "orders", "--write-select", "-").out
    assert not {"\x1b", "\x07"} & {*shown, *block}
    assert yaml.safe_load(block) == {"select": {"a\x1b[2Jb": ["c\x1b]0;x\x07", "line\nbreak"]}}
