"""Flows of OIH that a webhook starts: who is let in, and which step gets the events."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from imports_harness import ImportOih, chain, flow, loaded, node

HMAC = {"scheme": "hmac", "options": {"header": "x-hmac", "encoding": "base64"}, "connection": "orders"}
GUARD = {"requireWebhookAuth": True, "hmacAuthSecret": "s3cr3t-value"}


def guarded(settings: Any, **more: Any) -> dict[str, Any]:
    return {**chain(), "flowSettings": {"webhooks": settings}, **more}


def posted(*nodes: dict[str, Any], **first: Any) -> dict[str, Any]:
    """A flow whose first node is elastic.io's webhook component."""
    hook = {"id": "hook", "command": "elasticio/webhook:receive@latest", **first}
    return flow([hook, *nodes], *(f"hook {each['id']}" for each in nodes))


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a connector whose manifest is known."""
    folder = tmp_path / "known"
    (folder / "c_shop").mkdir(parents=True)
    manifest = {
        "connector": 1,
        "name": "c_shop",
        "version": "1.0",
        "title": "A shop",
        "image": "c_shop:1",
        "triggers": {
            "pull": {"title": "Asks"},
            "told": {"title": "Is told", "webhook": {"scheme": "github", "subscribes": False}},
            "subscribed": {"title": "Has itself told", "webhook": {"scheme": "github"}},
        },
        "actions": {"push": {"title": "Writes"}},
    }
    (folder / "c_shop" / "connector.yaml").write_text(yaml.safe_dump(manifest))
    monkeypatch.setenv("AIRFLOW__FLOWMATE__CONNECTORS_FOLDER", str(folder))
    return folder


def test_an_hmac_as_oih_wanted_it(import_oih: ImportOih, tmp_path: Path) -> None:
    result = import_oih(guarded(GUARD))
    assert result.flow()["webhook"] == HMAC
    assert list(result.steps()) == ["pulled", "pushed"]
    assert "make an Airflow Connection `orders` whose password is the secret that the sender signs with" in result.err
    assert "`c_shop/pull` gets the events: its manifest is not known" in result.err
    assert "OIH let in everybody" not in result.err
    assert "s3cr3t-value" not in result.err + result.text()
    assert loaded(result.text(), tmp_path / "catalog").webhook is not None


def test_an_hmac_of_its_own_header_and_hash(import_oih: ImportOih, tmp_path: Path) -> None:
    result = import_oih(guarded({**GUARD, "hmacHeaderKey": "X-Sign", "hmacAlgorithm": "sha512"}))
    assert result.flow()["webhook"]["options"] == {"header": "X-Sign", "encoding": "base64", "algorithm": "sha512"}
    loaded(result.text(), tmp_path / "catalog")


@pytest.mark.parametrize(
    ("key", "value"), [("hmacHeaderKey", "x hmac\n"), ("hmacAlgorithm", "md5"), ("hmacAlgorithm", 7)]
)
def test_an_hmac_that_no_flow_can_say(import_oih: ImportOih, tmp_path: Path, key: str, value: Any) -> None:
    result = import_oih(guarded({**GUARD, key: value}))
    assert result.flow()["webhook"] == HMAC
    assert f"/flowSettings/webhooks/{key}" in result.err
    loaded(result.text(), tmp_path / "catalog")


def test_oihs_own_users_become_a_bearer_token(import_oih: ImportOih, tmp_path: Path) -> None:
    result = import_oih(guarded({"requireWebhookAuth": True, "allTenantUsers": True}))
    assert result.flow()["webhook"] == {"scheme": "bearer", "connection": "orders"}
    assert "for the latter write `scheme: basic`" in result.err
    assert "every user of the tenant was let in" in result.err
    loaded(result.text(), tmp_path / "catalog")


@pytest.mark.parametrize("settings", [{"requireWebhookAuth": False}, {"hmacAuthSecret": "s3cr3t-value"}])
def test_who_let_in_everybody_is_told_that_it_is_so_no_more(import_oih: ImportOih, settings: dict[str, Any]) -> None:
    result = import_oih(guarded(settings))
    assert result.flow()["webhook"] == HMAC
    assert "OIH let in everybody" in result.err


@pytest.mark.parametrize("settings", [None, {}, "on", [GUARD]])
def test_nothing_says_that_a_webhook_starts_it(import_oih: ImportOih, settings: Any) -> None:
    result = import_oih(guarded(settings))
    assert "webhook" not in result.flow()
    assert "nothing in it says which" in result.err


def test_a_cron_wins_over_settings_of_webhooks(import_oih: ImportOih) -> None:
    result = import_oih(guarded(GUARD, cron="0 * * * *"))
    assert result.flow()["schedule"] == "0 * * * *"
    assert "webhook" not in result.flow()
    assert "OIH serves no webhook of a flow with a cron" in result.err


def test_the_webhook_component_is_no_step(import_oih: ImportOih, tmp_path: Path) -> None:
    source = posted(node("saved"), node("told", "tell"), credentials_id="c9", fields={"x": 1}, name="Webhook")
    result = import_oih({**source, "cron": "*/3 * * * *"})
    made = result.flow()
    assert made["webhook"] == HMAC
    assert "schedule" not in made
    assert list(result.steps()) == ["saved", "told"]
    assert "needs" not in result.steps()["saved"]
    assert result.steps()["told"]["needs"] == ["webhook"]
    assert "/cron" in result.err
    assert "it said who may call" in result.err
    assert "node hook: webhook" in result.err
    loaded(result.text(), tmp_path / "catalog")


def test_the_map_names_the_webhook_component(import_oih: ImportOih) -> None:
    Path("map.yaml").write_text("c-hooks: webhook\n")
    first = {"id": "hook", "componentId": "c-hooks", "name": "Our orders", "function": "receive"}
    result = import_oih(flow([first, node("saved")], "hook saved"), "--connectors", "map.yaml")
    assert list(result.steps()) == ["saved"]


def test_what_transforms_the_events_stays_a_step(import_oih: ImportOih, tmp_path: Path) -> None:
    settings = {"applyTransform": "after", "transformFunction": '{"data": {"a": data.b}}', "passthrough": True}
    result = import_oih(posted(node("saved"), nodeSettings=settings))
    assert result.steps()["hook_after"]["map"] == '{"a": data.b}'
    assert "needs" not in result.steps()["saved"]
    assert "the events do not stand under `passthrough`" in result.err
    loaded(result.text(), tmp_path / "catalog")


def test_a_webhook_and_nothing_else(import_oih: ImportOih, tmp_path: Path) -> None:
    result = import_oih(posted())
    assert list(result.steps()) == ["hook"]
    assert "map" in result.steps()["hook"]
    loaded(result.text(), tmp_path / "catalog")


def test_a_gateway_looks_at_the_events(import_oih: ImportOih, tmp_path: Path) -> None:
    operand = {
        "type": "operation",
        "operation": "EQUALS",
        "key": {"type": "ref", "data": {"stepId": "hook", "field": "kind"}},
        "value": {"type": "string", "data": "new"},
    }
    actions = {"positive": {"command": "run-next-steps", "parameters": ["saved"]}, "negative": {"command": "void"}}
    rule = {"type": "CONDITION", "subtype": "AND", "operands": [operand], "actions": actions}
    gate = {"id": "gate", "componentId": "logicGateway-global", "function": "exec", "fields": {"rule": rule}}
    source = posted(gate, node("saved"))
    source["graph"]["edges"] = [{"source": "hook", "target": "gate"}, {"source": "gate", "target": "saved"}]
    result = import_oih(source)
    (saved,) = result.steps().values()
    assert "new" in saved["when"]
    assert "needs" not in saved
    loaded(result.text(), tmp_path / "catalog")


def test_a_step_that_has_the_id_of_the_events(import_oih: ImportOih, tmp_path: Path) -> None:
    result = import_oih(posted(node("webhook")))
    assert list(result.steps()) == ["webhook_2"]
    loaded(result.text(), tmp_path / "catalog")


def test_the_webhook_component_in_the_middle_is_a_step(import_oih: ImportOih) -> None:
    later = {"id": "later", "command": "elasticio/webhook:receive@latest"}
    result = import_oih(flow([node("pulled", "pull"), later], "pulled later", cron="@daily"))
    assert list(result.steps()) == ["pulled", "later"]
    assert "webhook" not in result.flow()


@pytest.mark.parametrize(
    ("function", "webhook"),
    [("told", {"connection": "orders"}), ("subscribed", {}), ("push", HMAC), ("pull", None), ("other", None)],
)
def test_a_manifest_says_that_a_webhook_starts_it(
    import_oih: ImportOih, known: Path, function: str, webhook: dict[str, Any] | None
) -> None:
    result = import_oih(flow([node("first", function), node("pushed")], "first pushed"))
    assert result.flow().get("webhook") == webhook
    if webhook is not None:
        assert "needs" not in result.steps()["first"]
    assert ("nothing in it says which" in result.err) == (webhook is None)
    assert known.is_dir()


def test_the_flow_knows_better_than_the_manifest(import_oih: ImportOih, known: Path) -> None:
    source = flow([node("first", "told"), node("pushed")], "first pushed", flowSettings={"webhooks": GUARD})
    assert import_oih(source).flow()["webhook"] == HMAC
    assert known.is_dir()


def test_a_trigger_that_takes_no_events(import_oih: ImportOih, known: Path) -> None:
    settings = {"applyTransform": "before", "transformFunction": '{"data": {}}'}
    source = guarded(GUARD)
    source["graph"]["nodes"][0]["nodeSettings"] = settings
    result = import_oih(source)
    assert "`c_shop/pull` should get the events, but its manifest has no `webhook` for this trigger" in result.err
    assert "nothing can transform them before it" in result.err
    assert known.is_dir()


def test_an_action_comes_first_and_is_transformed_before(import_oih: ImportOih, known: Path) -> None:
    settings = {"applyTransform": "before", "transformFunction": '{"data": {"a": data.b}}'}
    result = import_oih(flow([node("first", "push", nodeSettings=settings)]))
    assert list(result.steps()) == ["first_before", "first"]
    assert loaded(result.text(), known).webhook is not None
