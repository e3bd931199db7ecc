"""Nothing is dropped in silence: every value of a source is in the flow file or in the report."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from imports_harness import Import, ImportOih, loaded

from flowmate_airflow.catalog.catalog import Catalog
from flowmate_airflow.flows.expressions import leaves
from flowmate_airflow.imports.oih import import_flow
from flowmate_airflow.imports.source import SourceFlow

Path_ = tuple[str | int, ...]


def pointer(path: Path_) -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in path)


def all_leaves(value: Any, path: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Yield each leaf, and each empty mapping and list."""
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    found = False
    for key, child in children:
        found = True
        yield from all_leaves(child, (*path, key))
    if not found:
        yield path, value


def unaccounted(source: dict[str, Any], flow: dict[str, Any], findings: list[dict[str, Any]]) -> list[str]:
    """Return the pointers of what is neither in the flow nor in the report; edges are looked at by other tests."""
    told = {finding["pointer"] for finding in findings}
    written = [value for _, value in leaves(flow)]
    texts = "\n".join(str(value) for value in written)
    missing = []
    for path, value in all_leaves(source):
        if path[:2] == ("graph", "edges") and path[-1] in ("source", "target"):
            continue  # they are in `needs`, or in the `when` of a gateway
        above = {pointer(path[:length]) for length in range(1, len(path) + 1)}
        if above & told:
            continue
        is_written = str(value) in texts if isinstance(value, str) else any(value == one for one in written)
        if not is_written and value not in ({}, []):
            missing.append(pointer(path))
    return missing


def big_flow() -> dict[str, Any]:
    """A flow that uses every key that is known, each leaf with a value that stands nowhere else."""
    count = iter(range(1000))

    def text(name: str) -> str:
        return f"{name}-v{next(count)}"

    def any_node(id_: str, **more: Any) -> dict[str, Any]:
        return {
            "_id": text("nid"),
            "id": id_,
            "componentId": text("component"),
            "name": text("Node"),
            "description": text("about"),
            "function": f"call{next(count)}",
            "credentials_id": text("secret"),
            "fields": {
                "server": 7100 + next(count),
                "triggerParams": {"q": text("q"), "deep": [[{"x": text("x")}], {}]},
            },
            "authorization": {"authType": text("type"), "authClientId": text("client")},
            "position": {"x": 7200 + next(count)},
            "createdAt": text("at"),
            **more,
        }

    everything = {
        "applyTransform": "both",
        "transformFunction": '{"data": {"a": data.first}, "metadata": {"recordUid": data.id}, "body": 1}',
        "secondTransformFunction": "$merge([data, metadata])",
        "passthrough": True,
        "idLinking": True,
        "applicationUid": text("app"),
        "alternateAppUid": text("app"),
        "storeRawRecord": True,
        "autoSaveSnapshots": True,
        "governance": True,
        "applyPolicy": True,
        "flowPolicy": {"duty": [text("duty")]},
        "policyAction": text("action"),
        "devMode": True,
        "snapshotKey": text("key"),
        "arraySplittingKey": text("split"),
        "syncParam": text("sync"),
        "syncParamFormat": text("format"),
        "initialSnapshot": text("since"),
        "skipSnapshot": True,
        "continueOnError": True,
        "rateLimit": 7300,
        "injectFlowData": True,
        "logLevel": text("level"),
        "basaasFlows": {"stepName": text("step")},
        "{{template}}": text("{{value}}"),
    }
    rule = {
        "type": "CONDITION",
        "subtype": "AND",
        "operands": [
            {
                "type": "operation",
                "operation": "EQUALS",
                "key": {"type": "ref", "data": {"stepId": "a", "field": "kind"}},
                "value": {"type": "string", "data": text("kind")},
            }
        ],
        "actions": {
            "positive": {"command": "run-next-steps", "parameters": ["f:c"]},
            "negative": {"command": "void", "parameters": []},
        },
    }
    nodes = [
        any_node("a", nodeSettings={**everything, "applyTransform": "after"}),
        any_node("b", nodeSettings=everything),
        any_node("gate", fields={"rule": rule, "else": text("else")}, nodeSettings={"devMode": True}),
        any_node("c", fields={"apiKey": text("hush"), "url": text("u{% x %}")}, nodeSettings={}),
        any_node("d", fields=[text("list")], nodeSettings=text("settings"), name=7400, description={"x": text("d")}),
    ]
    edges = [
        {"id": text("e"), "source": "a", "target": "b", "config": {"mapper": {"m": text("m")}, "condition": text("c")}},
        {"source": "a", "target": "gate", "config": {"other": text("o")}, "label": text("l")},
        {"source": "gate", "target": "c"},
        {"source": "c", "target": "d", "config": {}},
    ]
    return {
        "_id": {"$oid": text("oid")},
        "name": text("Flow"),
        "description": text("what"),
        "graph": {"nodes": nodes, "edges": edges, "layout": {"zoom": 7500}},
        "type": "realtime",
        "tenant": text("tenant"),
        "owners": [{"id": text("owner"), "type": "user"}, {"id": text("owner"), "type": "group"}],
        "status": text("active"),
        "cron": "7 7 7 7 *",
        "fromTemplate": text("t"),
        "sourceTemplate": text("t"),
        "flowSettings": {"webhooks": {"hmacHeaderKey": text("h"), "allTenantUsers": True}, "more": {"x": text("x")}},
        "createdAt": text("c"),
        "updatedAt": text("u"),
        "__v": 7600,
        "somethingNew": {"deep": [{"er": text("new")}, [], {}]},
    }


def test_every_value_is_in_the_file_or_in_the_report(import_oih: ImportOih, tmp_path: Path) -> None:
    source = big_flow()
    result: Import = import_oih([source], "--format", "json")
    assert result.code == 0, result.err
    findings = result.report["flows"][0]["findings"]
    for finding in findings:
        assert finding["pointer"].startswith("/0/"), "places are told from the top of the file"
        finding["pointer"] = finding["pointer"].removeprefix("/0")
    assert unaccounted(source, result.flow(), findings) == []
    loaded(result.text(), tmp_path / "catalog")


def test_every_value_of_a_flow_that_a_webhook_starts_is_there_too(import_oih: ImportOih, tmp_path: Path) -> None:
    source = big_flow()
    del source["cron"]
    source["flowSettings"]["webhooks"] |= {"requireWebhookAuth": True, "hmacAuthSecret": "5f00", "new": {"x": "w-v1"}}
    source["graph"]["nodes"][0] |= {"componentId": "hooks", "name": "Webhook", "function": "receive"}
    result: Import = import_oih(source, "--format", "json")
    assert unaccounted(source, result.flow(), result.report["flows"][0]["findings"]) == []
    assert next(iter(result.steps())) == "a_after"
    loaded(result.text(), tmp_path / "catalog")


def test_the_account_notices_what_is_missing() -> None:
    source = {"name": "a", "graph": {"nodes": [{"id": "x"}]}, "lost": {"y": "z"}}
    assert unaccounted(source, {"title": "a", "id": "x"}, []) == ["/lost/y"]
    assert unaccounted(source, {"title": "a", "id": "x"}, [{"pointer": "/lost"}]) == []


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(7000, 7999) | st.text("abc{%}é\n\0", min_size=4, max_size=9),
    lambda children: (
        st.lists(children, max_size=3) | st.dictionaries(st.text("kv/~ ", max_size=4), children, max_size=3)
    ),
    max_leaves=8,
)
NODE_KEYS = st.sampled_from(
    ["name", "description", "function", "fields", "nodeSettings", "credentials_id", "componentId", "command", "other"]
)
SETTING_KEYS = st.sampled_from(
    [
        *("applyTransform", "transformFunction", "secondTransformFunction", "passthrough", "continueOnError"),
        *("snapshotKey", "idLinking", "devMode", "basaasFlows", "other"),
    ]
)
HOOK_KEYS = st.sampled_from(
    ["requireWebhookAuth", "hmacAuthSecret", "hmacHeaderKey", "hmacAlgorithm", "allTenantUsers", "other"]
)
WEBHOOKS = JSON | st.dictionaries(HOOK_KEYS, JSON, max_size=4)
FLOW_KEYS = st.sampled_from(["name", "description", "owners", "tenant", "type", "flowSettings", "status", "_id", "new"])
NODE = st.dictionaries(NODE_KEYS, JSON, max_size=5) | st.fixed_dictionaries(
    {"nodeSettings": st.dictionaries(SETTING_KEYS, JSON | st.sampled_from(["before", "after", "both"]), max_size=5)}
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    first=NODE, second=NODE, head=st.dictionaries(FLOW_KEYS, JSON, max_size=4), hooks=WEBHOOKS, is_hook=st.booleans()
)
def test_whatever_stands_in_a_flow_is_accounted_for(
    first: dict[str, Any], second: dict[str, Any], head: dict[str, Any], hooks: Any, is_hook: bool
) -> None:
    receives = {"command": "elasticio/webhook:receive", "componentId": None, "name": None, "function": None}
    nodes = [{**first, **(receives if is_hook else {}), "id": "n1"}, {**second, "id": "n2"}]
    head = {"flowSettings": {"webhooks": hooks}, **head}
    source = {**head, "graph": {"nodes": nodes, "edges": [{"source": "n1", "target": "n2"}]}}
    made = import_flow(SourceFlow(source, ()), {}, Catalog(), set())
    result = Import(0, "", "", {"flow.yaml": made.text})
    assert unaccounted(source, result.flow(), [finding.as_dict() for finding in made.findings]) == []
