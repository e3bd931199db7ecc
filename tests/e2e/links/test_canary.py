"""Secrets are found nowhere but, encrypted, in Airflow's Connections: whoever fails, tells them, or is asked.

The connector `leaky` tells its credentials in every form wherever it can; the provider answers with what it was sent.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
import requests
from canary import PASSWORD, TOKEN, Canary, Hunt, written
from harness import ROOT, Client, LocalAirflow, build_image, containers, docker, wait_until
from nasty import Nasty, echo
from sqlalchemy import MetaData, create_engine, select
from stored import store_connections

CANARIES = {
    name: Canary(name, inside)
    for name, inside in {
        "client secret": PASSWORD,
        "password of a user": PASSWORD,
        "key": PASSWORD,
        "password in a form": PASSWORD,
        "access token": TOKEN,
        "refresh token": TOKEN,
        "session token": TOKEN,
        "refresh token that the provider repeats": TOKEN,
        "refresh token that is spent": TOKEN,
        "new access token": TOKEN,
        "new refresh token": TOKEN,
        "code in an address": TOKEN,
        "state in an address": TOKEN,
        "token of a magic link": "",
    }.items()
}
HUNT = Hunt(CANARIES.values())
LISTS = (
    *("connections", "dags", "dagStats", "importErrors", "eventLogs"),
    *("variables", "pools", "assets", "plugins", "config"),
)
LATER = 4_000_000_000
FORMS = len(written("anything"))

QUIET = """
flowmate: 1
id: canary_quiet
defaults: {retries: 0}
steps:
  - {id: consent, use: leaky/read, connection: flowmate.leaky.acme}
  - {id: session, use: leaky/read, needs: [], connection: flowmate.leaky.beta}
  - {id: key, use: leaky/read, needs: [], connection: canary_key}
  - {id: renewed, use: leaky/read, needs: [], connection: flowmate.leaky.delta}
"""
TELLING = """
flowmate: 1
id: canary_telling
defaults: {retries: 0}
steps:
  - {id: consent, use: leaky/tell, connection: flowmate.leaky.acme}
  - {id: refused, use: leaky/refuse, connection: flowmate.leaky.acme, on_error: dead_letter}
  - {id: session, use: leaky/tell, needs: [], connection: flowmate.leaky.beta}
  - {id: key, use: leaky/tell, needs: [], connection: canary_key}
  - {id: error, use: leaky/tell, needs: [], connection: flowmate.leaky.acme, with: {then: error}}
  - {id: crash, use: leaky/tell, needs: [], connection: flowmate.leaky.beta, with: {then: crash}}
  - {id: broken, use: leaky/tell, needs: [], connection: flowmate.leaky.acme, with: {then: break}}
  - {id: repeated, use: leaky/read, needs: [], connection: flowmate.leaky.gamma}
  - {id: renewed, use: leaky/tell, needs: [], connection: flowmate.leaky.epsilon}
"""
HANGING = """
flowmate: 1
id: canary_hanging
defaults: {retries: 0}
steps:
  - {id: hangs, use: leaky/tell, connection: flowmate.leaky.acme, with: {then: hang}}
"""


def secret(name: str) -> str:
    return CANARIES[name].secret


@pytest.fixture(scope="module")
def leaky(engine: None, tmp_path_factory: pytest.TempPathFactory) -> None:
    context = tmp_path_factory.mktemp("leaky") / "context"
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "tests" / "e2e" / "connectors" / "leaky", context, ignore=ignored)
    shutil.copy(ROOT / "tests" / "providers" / "canary.py", context)
    build_image(context, "flowmate-test/leaky:1.0.0")


@pytest.fixture(scope="module")
def provider() -> Iterator[Nasty]:
    """Knows the client by the canary, renews one refresh token to others, and repeats what it is sent with another."""

    def shape(tokens: dict[str, Any]) -> dict[str, Any]:
        new = {"access_token": secret("new access token"), "refresh_token": secret("new refresh token")}
        return {**tokens, **new}

    with Nasty(client_id="leaky-app", client_secret=secret("client secret"), shape=shape) as nasty:
        for tenant in ("delta", "epsilon"):
            token = secret("refresh token that is spent") + tenant
            nasty._refresh[token] = {"family": tenant, "scope": "read", "used": False}
        respond = nasty.respond

        def answer(exchange: Any) -> None:
            if exchange.form.get("refresh_token") == secret("refresh token that the provider repeats"):
                return echo(exchange)
            if exchange.path == "/session":
                return echo(exchange)
            return respond(exchange)

        nasty.respond = answer  # type: ignore[method-assign]
        yield nasty


def stored(provider: Nasty, tenant: str, method: str, grant: dict[str, Any], **parts: Any) -> dict[str, Any]:
    mark = {"connector": "leaky", "method": method, "tenant": tenant}
    extra = {"server": provider.url, "flowmate": mark, "flowmate_token": {"token_type": "bearer", **grant}}
    return {"conn_id": f"flowmate.leaky.{tenant}", "extra": extra, **parts}


@pytest.fixture(scope="module")
def linked(airflow: Client, local_airflow: LocalAirflow, leaky: None, provider: Nasty) -> None:
    """The Connections: those that people make by Airflow's API, and those that links make."""
    airflow.add_connection("flowmate.leaky", "flowmate", login="leaky-app", password=secret("client secret"))
    airflow.add_connection("canary_key", "generic", password=secret("key"), extra='{"auth": "key"}')
    good = {"access_token": secret("access token"), "refresh_token": secret("refresh token"), "expires_at": LATER}
    over = {"access_token": secret("access token"), "expires_at": time.time() - 60, "obtained_at": time.time() - 3660}
    spent, repeated = secret("refresh token that is spent"), secret("refresh token that the provider repeats")
    session = {"access_token": secret("session token"), "expires_at": LATER}
    person = {"login": "ann", "password": secret("password of a user")}
    rows = [
        stored(provider, "acme", "consent", good),
        stored(provider, "beta", "session", session, **person),
        stored(provider, "gamma", "consent", {**over, "refresh_token": repeated}),
        stored(provider, "delta", "consent", {**over, "refresh_token": spent + "delta"}),
        stored(provider, "epsilon", "consent", {**over, "refresh_token": spent + "epsilon"}),
    ]
    store_connections(local_airflow, rows)


def rest(airflow: Client) -> Iterator[tuple[str, str]]:
    """Yield all that the REST API tells, by its path."""

    def get(path: str, **params: Any) -> str:
        return airflow.request("GET", path, **params).text

    for path in LISTS:
        yield path, get(path, limit=1000)
    for found in airflow.get("connections", limit=1000)["connections"]:
        yield found["connection_id"], get(f"connections/{quote(found['connection_id'])}")
    for dag in (each["dag_id"] for each in airflow.get("dags", limit=1000)["dags"]):
        for path in (f"dags/{dag}", f"dags/{dag}/details", f"dagSources/{dag}", f"dags/{dag}/tasks"):
            yield path, get(path)
        yield dag, get(f"dags/{dag}/dagVersions")
        for run in airflow.get(f"dags/{dag}/dagRuns")["dag_runs"]:
            base = f"dags/{dag}/dagRuns/{quote(run['dag_run_id'])}"
            yield base, get(base)
            for task, found in airflow.task_instances(dag, run["dag_run_id"]).items():
                place = f"{base}/taskInstances/{task}"
                yield place, json.dumps(found) + get(place) + get(f"{place}/tries")
                for number in range(1, found["try_number"] + 1):
                    yield f"{place}/logs/{number}", get(f"{place}/logs/{number}", full_content="true")
                entries = airflow.get(f"{place}/xcomEntries")["xcom_entries"]
                for key in (entry["key"] for entry in entries):
                    yield f"{place}/xcomEntries/{key}", get(f"{place}/xcomEntries/{key}")


def rows(url: str) -> Iterator[tuple[str, bytes]]:
    """Yield all values of all rows of a database, as they are stored, by their tables."""
    engine = create_engine(url)
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as database:
        for table in tables.tables.values():
            for row in database.execute(select(table)):
                for value in row:
                    yield table.name, value if isinstance(value, bytes) else str(value).encode()
    engine.dispose()


def assert_nowhere(airflow: Client, local_airflow: LocalAirflow) -> None:
    home = local_airflow.home
    control = home / "control"  # what is looked for is found
    control.write_text(secret("key"))
    assert HUNT.below(home) == {str(control): ["key"]}
    control.unlink()
    told = {path: names for path, text in rest(airflow) if (names := HUNT.within(text))}
    assert told == {}
    for url in (local_airflow.database, *(f"sqlite:///{path}" for path in home.rglob("*.db"))):
        found = {table for table, value in rows(url) if HUNT.within(value)}
        assert found == set(), url


def failure(airflow: Client, dag: str, run: str, task: str) -> str:
    return next(line for line in airflow.logs(dag, run, task).splitlines() if f"step `{task}`" in line)


@pytest.mark.usefixtures("linked", "no_container_left")
def test_what_goes_well_leaves_no_secret(airflow: Client, local_airflow: LocalAirflow, flow, provider: Nasty) -> None:
    flow.add("canary_quiet", QUIET)
    run, state = airflow.run("canary_quiet")
    assert (state, airflow.task_states("canary_quiet", run)["renewed"]) == ("success", "success")
    assert [call.form["refresh_token"][-5:] for call in provider.called("/token")] == ["delta"]
    assert_nowhere(airflow, local_airflow)


@pytest.mark.usefixtures("linked", "no_container_left")
def test_what_tells_its_secrets_and_fails_leaves_none(airflow: Client, local_airflow: LocalAirflow, flow) -> None:
    flow.add("canary_telling", TELLING)
    run, state = airflow.run("canary_telling")
    assert state == "failed"
    states = airflow.task_states("canary_telling", run)
    failed = {"error", "crash", "broken", "repeated"}
    assert states == {name: "failed" if name in failed else "success" for name in states}
    for task in ("consent", "session", "key", "renewed"):  # all was told, and is hidden
        log = airflow.logs("canary_telling", run, task)
        for way in ("stdout says", "stderr says", "the log says"):
            assert len([line for line in log.splitlines() if way in line and "***" in line]) == FORMS, (task, way)
    assert "***" in failure(airflow, "canary_telling", run, "error")
    assert "broken JSON" in failure(airflow, "canary_telling", run, "broken")
    assert "***" in failure(airflow, "canary_telling", run, "broken")
    assert "credentials" in failure(airflow, "canary_telling", run, "repeated")
    assert_nowhere(airflow, local_airflow)


@pytest.mark.usefixtures("linked", "no_container_left")
def test_a_container_has_its_secrets_in_its_memory_only(airflow: Client, flow) -> None:
    flow.add("canary_hanging", HANGING)
    run = airflow.trigger("canary_hanging")
    airflow.wait_for_log("canary_hanging", run, "hangs", "hanging now")
    (running,) = containers("flowmate.flow=canary_hanging")  # others have a step of that name
    inspected = docker("inspect", running) + docker("top", running, "-eo", "pid,args") + docker("diff", running)
    in_processes = HUNT.in_processes()
    airflow.set_run_state("canary_hanging", run, "failed")
    wait_until("the end of the container", lambda: not containers("flowmate.flow=canary_hanging") or None)
    assert HUNT.within(inspected) == []
    assert in_processes == {}


@pytest.mark.usefixtures("linked")
def test_pages_and_answers_for_links_tell_none(airflow: Client, local_airflow: LocalAirflow, provider: Nasty) -> None:
    code, state, magic = (
        secret(name) for name in ("code in an address", "state in an address", "token of a magic link")
    )
    back = f"{airflow.url}/flowmate/links/callback/leaky/0123456789abcdef"
    answers = [
        requests.get(back, params={"code": code, "state": state}, timeout=60),
        requests.get(back, params={"error": code, "error_description": state}, timeout=60),
        requests.get(f"{airflow.url}/flowmate/connect/{magic}", timeout=60),
        requests.get(f"{airflow.url}/flowmate/links", timeout=60),
        requests.get(f"{airflow.url}/flowmate/links/new/leaky", params={"method": "session"}, timeout=60),
    ]
    form = {"username": "ann", "password": secret("password in a form"), "server": provider.url}
    link = {"connector": "leaky", "method": "session", "fields": form}
    api = f"{airflow.url}/flowmate/api/v1/tenants/zeta"
    for body in (link, {**link, "fields": {**form, "more": secret("password in a form")}}, secret("key")):
        answers.append(airflow._session.post(f"{api}/links", json=body, timeout=60))
        assert answers[-1].status_code >= 400
    for tenant in ("acme", "beta", "gamma"):
        api = f"{airflow.url}/flowmate/api/v1/tenants/{tenant}"
        answers.append(airflow._session.post(f"{api}/links/leaky/check", timeout=300))
        assert answers[-1].status_code == 200, answers[-1].text
        answers.append(airflow._session.get(f"{api}/links", timeout=60))
        answers.append(airflow._session.get(f"{api}/connectors", timeout=60))
    # What comes back in the address of a redirect is what the browser has sent.
    assert {answer.url.partition("?")[0]: HUNT.within(answer.text) for answer in answers} == {
        answer.url.partition("?")[0]: [] for answer in answers
    }
    assert_nowhere(airflow, local_airflow)
