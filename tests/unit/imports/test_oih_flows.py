"""Flows of OIH as flow files: what each part of them becomes."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from imports_harness import ImportOih, chain, flow, loaded, node

CONTACTS = {
    "name": "Contacts to Newsletter",
    "description": "Brings new contacts to the newsletter.",
    "graph": {
        "nodes": [
            {
                "id": "step_1",
                "componentId": "60ab5f333ef679001b094900",
                "name": "Address Book",
                "function": "getContacts",
                "credentials_id": "5cb87489df763a001a54c700",
            },
            {
                "id": "step_2",
                "componentId": "5f64afabdf73fe001b4e3300",
                "name": "Newsletter",
                "function": "upsertReader",
                "credentials_id": "5f7ef9da20f27900113b1300",
                "fields": {"list": "news"},
            },
        ],
        "edges": [{"source": "step_1", "target": "step_2"}],
    },
    "cron": "*/5 * * * *",
}


def test_a_flow_becomes_a_file_that_loads(import_oih: ImportOih, tmp_path: Path) -> None:
    result = import_oih(CONTACTS)
    assert result.code == 0
    assert list(result.files) == ["contacts_to_newsletter.yaml"]
    assert result.flow() == {
        "flowmate": 1,
        "id": "contacts_to_newsletter",
        "title": "Contacts to Newsletter",
        "description": "Brings new contacts to the newsletter.",
        "schedule": "*/5 * * * *",
        "timezone": "UTC",
        "steps": [
            {
                "id": "step_1",
                "title": "Address Book",
                "use": "address_book/getContacts",
                "connection": "5cb87489df763a001a54c700",
            },
            {
                "id": "step_2",
                "title": "Newsletter",
                "use": "newsletter/upsertReader",
                "connection": "5f7ef9da20f27900113b1300",
                "with": {"list": "news"},
            },
        ],
    }
    assert loaded(result.text(), tmp_path / "catalog").id == "contacts_to_newsletter"


def test_the_file_says_on_top_what_is_to_do(import_oih: ImportOih) -> None:
    comment = import_oih(CONTACTS).text().partition("flowmate:")[0]
    assert all(line.startswith("#") for line in comment.splitlines())
    assert "# To do by hand:\n" in comment
    assert "step_1 /graph/nodes/0/credentials_id" in comment


def test_connectors_go_by_the_names_of_the_map(import_oih: ImportOih) -> None:
    Path("map.yaml").write_text("60ab5f333ef679001b094900: google\n5f64afabdf73fe001b4e3300: mail-chimp\n")
    result = import_oih(CONTACTS, "--connectors", "map.yaml")
    assert [step["use"] for step in result.steps().values()] == ["google/getContacts", "mail-chimp/upsertReader"]
    assert "guess" not in result.err


@pytest.mark.parametrize("wrapping", ["list", "data_list", "data", "attributes"])
def test_every_wrapping_of_an_export(import_oih: ImportOih, wrapping: str) -> None:
    entry = {"id": "5f00", "type": "flow", "attributes": CONTACTS, "links": {"self": "/flows/5f00"}}
    source = {
        "list": [CONTACTS],
        "data_list": {"data": [CONTACTS], "meta": {"page": 1}},
        "data": {"data": CONTACTS},
        "attributes": {"data": [entry]},
    }[wrapping]
    result = import_oih(source)
    assert list(result.steps()) == ["step_1", "step_2"]
    if wrapping == "data_list":
        assert '/meta = {"page": 1}' in result.err
    if wrapping == "attributes":
        assert "/data/0/links" in result.err


def test_flows_of_the_same_name_get_ids_of_their_own(import_oih: ImportOih) -> None:
    first, second, third = chain(), chain(), chain()
    third["name"] = "Заказы"
    third["_id"] = {"$oid": "5F64"}
    assert list(import_oih([first, second, third]).files) == ["5f64.yaml", "orders.yaml", "orders_2.yaml"]


def test_files_are_written_over_only_when_asked(import_oih: ImportOih) -> None:
    assert import_oih(chain()).code == 0
    Path("flows/orders.yaml").write_text("mine")
    refused = import_oih([chain(), {**chain(), "name": "Other"}])
    assert refused.code == 1
    assert "orders.yaml is there already; nothing was written" in refused.err
    assert refused.files == {"orders.yaml": "mine"}
    assert import_oih(chain(), "--force").text() != "mine"


def test_an_order_in_which_each_step_comes_after_its_sources(import_oih: ImportOih, tmp_path: Path) -> None:
    nodes = [node("last"), node("right"), node("left"), node("start", "pull")]
    result = import_oih(flow(nodes, "right last", "start left", "start right", "left last"))
    steps = result.steps()
    assert list(steps) == ["start", "right", "left", "last"]
    assert steps["left"]["needs"] == ["start"]
    assert steps["last"]["needs"] == ["right", "left"]
    assert "needs" not in steps["right"], "the step above is the default"
    loaded(result.text(), tmp_path / "catalog")


def test_a_second_beginning_is_told(import_oih: ImportOih) -> None:
    result = import_oih(flow([node("one", "pull"), node("two", "pull2"), node("end")], "one end", "two end"))
    assert result.steps()["two"]["needs"] == []
    assert "two /graph/nodes/1/id" in result.err
    assert "no edge leads to it" in result.err


def test_ids_that_no_step_may_have(import_oih: ImportOih, tmp_path: Path) -> None:
    nodes = [node("1 lesen", "pull"), node("größe!"), node("große?"), node("日本")]
    source = flow(nodes)
    names = [each["id"] for each in nodes]
    source["graph"]["edges"] = [{"source": a, "target": b} for a, b in pairwise(names)]
    result = import_oih(source)
    assert list(result.steps()) == ["step_1_lesen", "groe", "groe_2", "step"]
    assert "node 1 lesen: step_1_lesen" in result.err
    loaded(result.text(), tmp_path / "catalog")


@pytest.mark.parametrize(
    ("cron", "schedule"),
    [
        ("0 6 * * MON-FRI", "0 6 * * MON-FRI"),
        ("0 */10 * * * *", "*/10 * * * *"),
        ("@daily", "@daily"),
        ("*/30 */10 * * * *", None),
        ("every day", None),
        ("15m", None),
        ("none", None),
        ("61 * * * *", None),
        (7, None),
        ("", None),
    ],
)
def test_cron(import_oih: ImportOih, tmp_path: Path, cron: Any, schedule: str | None) -> None:
    result = import_oih({**chain(), "cron": cron})
    found = result.flow()
    assert found.get("schedule") == schedule
    assert found.get("timezone") == ("UTC" if schedule else None)
    assert "/cron = " in result.err
    loaded(result.text(), tmp_path / "catalog")


def test_owner_and_tenant(import_oih: ImportOih) -> None:
    result = import_oih({**chain(), "owners": [{"id": "ann", "type": "user"}], "tenant": "acme"})
    assert (result.flow()["owner"], result.flow()["tags"]) == ("ann", ["tenant:acme"])


def test_settings_that_a_connector_reads_are_handed_to_it(import_oih: ImportOih) -> None:
    settings = {"snapshotKey": "updated_at", "initialSnapshot": "2024-01-01", "rateLimit": 250, "ofItsOwn": ["x"]}
    result = import_oih(chain(fields={"a": 1}, nodeSettings=settings))
    assert result.steps()["pushed"]["with"] == {"a": 1, "nodeSettings": settings}
    assert "/graph/nodes/1/nodeSettings/ofItsOwn" in result.err


def test_what_the_platform_reads_is_told(import_oih: ImportOih) -> None:
    settings = {"idLinking": True, "applicationUid": "shop", "governance": True, "storeRawRecord": True}
    result = import_oih(chain(nodeSettings={**settings, "devMode": False}))
    assert result.steps()["pushed"]["with"] == {"nodeSettings": {"idLinking": True, "applicationUid": "shop"}}
    for key in [*settings, "devMode"]:
        assert f"pushed /graph/nodes/1/nodeSettings/{key} = " in result.err


def test_a_step_passes_its_messages_through(import_oih: ImportOih) -> None:
    transform = {"applyTransform": "after", "transformFunction": '{"data": {}}'}
    nodes = [
        node("pulled", "pull", nodeSettings={"passthrough": True}),
        node("step 2", nodeSettings={"passthrough": True, **transform}),
        node("off", nodeSettings={"passthrough": False}),
    ]
    source = flow(nodes)
    source["graph"]["edges"] = [{"source": "pulled", "target": "step 2"}, {"source": "step 2", "target": "off"}]
    result = import_oih(source)
    assert result.steps()["pulled"]["with"] == {"nodeSettings": {"passthrough": True}}
    to_do, _, to_know = result.err.partition("to know:")
    assert "later steps find its messages under `passthrough.pulled`\n" in to_know
    assert (
        "under `passthrough.step_2`, in OIH it was `passthrough.step 2`, as they are before the `map` after the step"
        in to_do
    )
    assert "off /graph/nodes/2/nodeSettings/passthrough = false: it is off" in to_know


def test_continue_on_error(import_oih: ImportOih) -> None:
    assert import_oih(chain(nodeSettings={"continueOnError": True})).steps()["pushed"]["on_error"] == "skip"
    off = import_oih(chain(nodeSettings={"continueOnError": False}), "--force")
    assert "on_error" not in off.steps()["pushed"]


def test_secrets_are_left_out(import_oih: ImportOih, tmp_path: Path) -> None:
    fields = {
        "url": "https://ann:hunter22@example.com/",
        "auth": {"basic": {"username": "ann", "password": "hunter22"}},
        "headers": [{"key": "X-Api-Key", "value": "hunter22"}, {"key": "Accept", "value": "text/plain"}],
        "apiKey": "{{hunter22}}",
        "tokens": [{"access_token": "hunter22"}],
    }
    result = import_oih(chain(fields=fields, nodeSettings={"clientSecret": "hunter22"}), "--format", "json")
    assert "hunter22" not in result.out + result.err + result.text()
    assert result.steps()["pushed"]["with"] == {
        "auth": {"basic": {"username": "ann"}},
        "headers": [{"key": "X-Api-Key"}, {"key": "Accept", "value": "text/plain"}],
        "tokens": [{}],
    }
    masked = {finding["pointer"] for finding in result.report["flows"][0]["findings"] if finding["value"] == "***"}
    assert masked == {
        "/graph/nodes/1/fields/url",
        "/graph/nodes/1/fields/auth/basic/password",
        "/graph/nodes/1/fields/headers/0/value",
        "/graph/nodes/1/fields/apiKey",
        "/graph/nodes/1/fields/tokens/0/access_token",
        "/graph/nodes/1/nodeSettings/clientSecret",
    }
    loaded(result.text(), tmp_path / "catalog")


def test_transforms_become_steps_around_the_step(import_oih: ImportOih, tmp_path: Path) -> None:
    settings = {
        "applyTransform": "both",
        "transformFunction": '{"data": {"name": data.title}, "metadata": metadata}',
        "secondTransformFunction": '{"data": {"id": data.key}, "metadata": metadata}',
    }
    nodes = [node("pulled", "pull"), node("pushed", nodeSettings=settings), node("told")]
    result = import_oih(flow(nodes, "pulled pushed", "pushed told"))
    steps = result.steps()
    assert list(steps) == ["pulled", "pushed_before", "pushed", "pushed_after", "told"]
    assert steps["pushed_before"]["map"] == '{"name": data.title}'
    assert steps["pushed_after"]["map"] == '{"id": data.key}'
    loaded(result.text(), tmp_path / "catalog")


def test_a_transform_after_the_first_of_two(import_oih: ImportOih, tmp_path: Path) -> None:
    settings = {"applyTransform": "after", "transformFunction": '{"data": {"a": data.b}, "metadata": metadata}'}
    nodes = [node("pulled", "pull", nodeSettings=settings), node("one"), node("two")]
    result = import_oih(flow(nodes, "pulled one", "pulled two"))
    assert result.steps()["two"]["needs"] == ["pulled_after"]
    loaded(result.text(), tmp_path / "catalog")


@pytest.mark.parametrize(
    ("function", "use"),
    [
        ("getPersons", "getPersons"),
        ("get-persons", "get_persons"),
        ("größe", "groe"),
        ("2nd", "f_2nd"),
        ("日", "function"),
    ],
)
def test_names_of_functions(import_oih: ImportOih, tmp_path: Path, function: str, use: str) -> None:
    result = import_oih(chain(function=function))
    assert result.steps()["pushed"]["use"] == f"c_shop/{use}"
    assert ("it cannot be a function's name" in result.err) == (function != use)
    loaded(result.text(), tmp_path / "catalog")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"applyTransform": "after", "transformFunction": "{"}, "OIH let messages through unchanged"),
        ({"applyTransform": "after", "transformFunction": 5}, "it is no text"),
        ({"applyTransform": "sideways", "transformFunction": "data"}, "it is not before, after or both"),
        ({"transformFunction": "data"}, "applyTransform does not ask for it"),
        ({"applyTransform": "after", "transformFunction": ""}, "it is empty"),
        (
            {"applyTransform": "after", "transformFunction": '{"data": data, "metadata": metadata}'},
            "it changes nothing, so no step was made",
        ),
    ],
)
def test_transforms_that_make_no_step(import_oih: ImportOih, settings: dict[str, Any], told: str) -> None:
    result = import_oih(chain(nodeSettings=settings))
    assert list(result.steps()) == ["pulled", "pushed"]
    assert told in result.err


def test_a_transform_before_the_first_step_is_told(import_oih: ImportOih) -> None:
    settings = {"applyTransform": "before", "transformFunction": '{"data": {}}'}
    result = import_oih(flow([node("pulled", "pull", nodeSettings=settings), node("pushed")], "pulled pushed"))
    assert list(result.steps()) == ["pulled", "pushed"]
    assert "no messages come to the first step" in result.err


def test_a_secret_in_a_transform(import_oih: ImportOih, tmp_path: Path) -> None:
    transform = '{"data": $merge([data, {"api_key": "hunter22", "x": 1}]), "metadata": metadata}'
    settings = {"applyTransform": "after", "transformFunction": transform}
    result = import_oih(chain(nodeSettings=settings), "--format", "json")
    assert "hunter22" not in result.out + result.err + result.text()
    assert result.steps()["pushed_after"]["map"].startswith("$error(")
    loaded(result.text(), tmp_path / "catalog")


def test_mappers_and_conditions_of_edges_are_told(import_oih: ImportOih) -> None:
    source = chain()
    source["graph"]["edges"][0] |= {"id": "e1", "config": {"mapper": {"to": "body.mail"}, "condition": "x"}}
    result = import_oih(source)
    assert '/graph/edges/0/config/mapper = {"to": "body.mail"}' in result.err
    assert '/graph/edges/0/config/condition = "x"' in result.err
    assert "body.mail" not in json.dumps(result.flow())


def test_nodes_of_elastic_io(import_oih: ImportOih) -> None:
    nodes = [
        {"id": "step_1", "command": "acme/petstore-api:listPets@1.2", "fields": {}, "selected_credentials_id": "c1"},
        {"id": "step_2", "command": "acme/mailer:send@latest", "name": "Post"},
    ]
    result = import_oih(flow(nodes, "step_1 step_2"))
    steps = result.steps()
    assert (steps["step_1"]["use"], steps["step_1"]["connection"]) == ("petstore_api/listPets", "c1")
    assert steps["step_2"]["use"] == "post/send"


def test_a_template(import_oih: ImportOih) -> None:
    template = {
        **chain(authorization={"authType": "OA2_AUTHORIZATION_CODE", "authClientId": "client-7"}),
        "status": "published",
        "sourceTemplate": "5f11",
        "inputs": [{"name": "list"}],
    }
    result = import_oih(template)
    for told in ("authorization", "client-7", "/status", "/sourceTemplate", "/inputs"):
        assert told in result.err


def test_the_report_for_programs(import_oih: ImportOih) -> None:
    result = import_oih([CONTACTS, {"name": "none"}], "--format", "json")
    assert result.code == 1
    (entry,) = result.report["flows"]
    assert entry["nodes"] == {"step_1": ["step_1"], "step_2": ["step_2"]}
    assert entry["file"] == "flows/contacts_to_newsletter.yaml"
    assert {"level", "node", "pointer", "value", "message"} == set(entry["findings"][0])
    assert result.report["problems"] == ["flows.json at /1: it has no `graph`, so it is not a flow"]


def test_text_of_any_kind_comes_through(import_oih: ImportOih, tmp_path: Path) -> None:
    fields = {
        "no": "no",
        "number": "1e3",
        "octal": "0o17",
        "<<": "~",
        "time": "12:30",
        "long": "word " * 400,
        "lines": "one\n  two \n\tthree\n",
        "signs": "\x07\u2028\u0085 # : - 'x' \"y\" 😀",
        "big": 2**63,
        "half": 0.1,
        "on": True,
        "nothing": None,
    }
    result = import_oih(chain(fields=fields))
    step = loaded(result.text(), tmp_path / "catalog").steps[1]
    assert step.with_ == fields  # type: ignore[union-attr]
    elsewhere = yaml.safe_load(result.text())["steps"][1]["with"]
    assert elsewhere == fields, "readers of YAML 1.1 see the same"
    assert not any(char in result.err for char in "\x07\u2028\u0085")


def test_the_comment_stays_a_comment(import_oih: ImportOih) -> None:
    evil = "x\nsteps: []\r\u2028id: evil\x85"
    result = import_oih({**chain(), "strange": {evil: evil}})
    assert yaml.safe_load(result.text())["id"] == "orders"
    assert "\nid: evil" not in result.text()
    assert "\\nsteps: []" in result.text()
