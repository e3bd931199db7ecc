"""A step that outlives its token gets another one while it runs: by itself, and both halves of a streamed pair."""

from __future__ import annotations

import shutil
import time
from typing import Any

import pytest
from harness import ROOT, Client, LocalAirflow, build_image
from nasty import Nasty
from stored import store_connections

LATER = 4_000_000_000
FLOW = """
flowmate: 1
id: outliving
defaults: {retries: 0}
steps:
  - {id: read, use: lasting/read, connection: flowmate.lasting.one}
  - {id: looked, use: lasting/look, connection: flowmate.lasting.two}
"""
PAIR = """
flowmate: 1
id: outliving_pair
defaults: {retries: 0}
steps:
  - {id: read, use: lasting/read, connection: flowmate.lasting.three, with: {times: 50}}
  - {id: looked, use: lasting/look, connection: flowmate.lasting.four, stream: true}
"""
FOR_GOOD = """
flowmate: 1
id: outlived
defaults: {retries: 3, retry_delay: 1s}
steps:
  - {id: read, use: lasting/read, connection: flowmate.lasting.five}
"""


@pytest.fixture(scope="module")
def lasting(engine: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    context = tmp_path_factory.mktemp("lasting") / "context"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tests" / "e2e" / "connectors" / "lasting", context, ignore=ignored)
    sdk = ROOT / "connectors" / "sdk" / "flowmate_connector"
    shutil.copytree(sdk, context / sdk.name, ignore=ignored)
    build_image(context, "flowmate-test/lasting:1.0.0")


@pytest.fixture
def connections(airflow: Client, local_airflow: LocalAirflow, lasting: None, nasty: Nasty) -> Nasty:
    """The provider. It knows none of the tokens that the Connections have, and all but one of those that renew them."""
    app = {"login": nasty.client_id, "password": nasty.client_secret}
    rows = [{"conn_id": "flowmate.lasting", "extra": {}, **app}]
    for tenant in ("one", "two", "three", "four", "five"):
        if tenant != "five":
            nasty._refresh[f"refresh-{tenant}"] = {"family": tenant, "scope": "", "used": False}
        # Old enough that nobody takes it for a new one that is refused as well, and good for years by the clock.
        grant = {"access_token": f"revoked-{tenant}", "refresh_token": f"refresh-{tenant}", "expires_at": LATER}
        mark: dict[str, Any] = {"connector": "lasting", "method": "consent", "tenant": tenant}
        extra = {"server": nasty.url, "flowmate": mark, "flowmate_token": {**grant, "obtained_at": time.time() - 3600}}
        rows.append({"conn_id": f"flowmate.lasting.{tenant}", "extra": extra})
    store_connections(local_airflow, rows)
    return nasty


def renewed(nasty: Nasty) -> list[str]:
    return sorted(call.form["refresh_token"] for call in nasty.called("/token"))


@pytest.mark.usefixtures("no_container_left")
def test_steps_and_pairs_go_on_with_another_token(airflow: Client, flow, connections: Nasty) -> None:
    flow.add("outliving", FLOW)
    flow.add("outliving_pair", PAIR)
    runs = {dag: airflow.trigger(dag) for dag in ("outliving", "outliving_pair")}
    assert {airflow.wait_for_run(dag, run) for dag, run in runs.items()} == {"success"}
    assert renewed(connections) == ["refresh-four", "refresh-one", "refresh-three", "refresh-two"]
    value = airflow.xcom("outliving", runs["outliving"], "looked")
    assert [message["data"]["looked"] for message in value["messages"]] == [2, 2, 2]
    assert airflow.xcom("outliving_pair", runs["outliving_pair"], "looked")["count"] == 50


@pytest.mark.usefixtures("no_container_left")
def test_a_login_that_is_over_ends_the_step_at_once(airflow: Client, flow, connections: Nasty) -> None:
    flow.add("outlived", FOR_GOOD)
    run, state = airflow.run("outlived")
    assert state == "failed"
    assert airflow.task_instances("outlived", run)["read"]["try_number"] == 1
    assert "needs a new login" in airflow.logs("outlived", run, "read")
    assert renewed(connections) == ["refresh-five"]
