"""Renewal on real API servers, two processes that share the work, in each of the two databases.

Two hundred tasks ask at once for a Connection whose token is over; the API server is killed in the middle of renewals.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from canary import Canary, Hunt
from cryptography.fernet import Fernet
from harness import (
    PATIENCE,
    Client,
    LocalAirflow,
    LocalPostgres,
    docker_is_required,
    new_airflow,
    postgres_programs,
    wait_until,
)
from nasty import Exchange, Nasty
from oidc import CLIENT, Oidc
from sqlalchemy import Engine, create_engine, text

from flowmate_airflow.auth import renewal
from flowmate_airflow.auth.oauth2 import authorization_url, exchange
from flowmate_airflow.auth.values import Client as OAuthClient
from flowmate_airflow.catalog.oauth import OAuth2
from flowmate_airflow.store.linked import Linked, save
from flowmate_airflow.store.store import Store, open_store

BACK = "https://flows.example.com/back"
TASKS, PROCESSES = 200, 4
FLOW = """
from airflow.sdk import DAG, BaseHook, task

with DAG("foreign", schedule=None, catchup=False, max_active_tasks=16):

    @task
    def ask(number):
        connection = BaseHook.get_connection("flowmate.clerk.foreign")
        assert "refresh" not in str(connection.extra)
        return connection.password

    ask.expand(number=list(range(12)))
"""


@dataclass
class World:
    """An Airflow, its tasks, and what is in its databases."""

    local: LocalAirflow
    airflow: Client
    database: Engine
    store: Store
    fernet: Fernet
    tasks: subprocess.Popen[str]

    def link(self, tenant: str, server: str, tokens: dict[str, Any]) -> str:
        """Link the connector `clerk` for a tenant, with tokens that are over, and return the conn_id."""
        conn_id = f"flowmate.clerk.{tenant}"
        grant = {name: tokens[name] for name in ("access_token", "refresh_token", "scope")}
        ends = time.time() - 10
        extra = {
            "flowmate": {"connector": "clerk", "method": "consent", "tenant": tenant},
            "flowmate_token": {**grant, "expires_at": ends, "obtained_at": ends - 3600},
            **{"server": server, "api": f"{server}/records"},
        }
        self.airflow.add_connection(conn_id, "flowmate", description="Ours.", extra=json.dumps(extra))
        save(self.store, Linked(tenant, "clerk", conn_id, "consent"))
        return conn_id

    def stored(self, conn_id: str) -> dict[str, Any]:
        """Return the tokens in Airflow's database."""
        with self.database.connect() as connection:
            row = connection.execute(text("SELECT extra FROM connection WHERE conn_id = :id"), {"id": conn_id}).scalar()
        found: dict[str, Any] = json.loads(self.fernet.decrypt(str(row).encode()))["flowmate_token"]
        return found

    def begin(self, *conn_ids: str, tasks: int, processes: int = 1, foreign: bool = False) -> None:
        """Let tasks ask at once, and go on."""
        assert self.tasks.stdin is not None
        line = {"conn_ids": conn_ids, "tasks": tasks, "processes": processes, "foreign": foreign}
        print(json.dumps(line), file=self.tasks.stdin, flush=True)

    def end(self) -> dict[str, Any]:
        """Return what they got."""
        assert self.tasks.stdout is not None
        found: dict[str, Any] = json.loads(self.tasks.stdout.readline())
        return found

    def ask(self, conn_id: str) -> dict[str, Any]:
        """Return what one more task gets."""
        self.begin(conn_id, tasks=1)
        (found,) = self.end()["tasks"]
        return dict(found)

    def flowmate(self, *arguments: str) -> str:
        """Return what a command prints."""
        program = Path(sys.executable).with_name("flowmate")
        done = subprocess.run([program, *arguments], env=self.local.environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def kill(self) -> None:
        """End the API server as `kill -9` of its process group does."""
        process = self.local.process("api-server")
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.fixture(scope="module", params=["postgresql", "sqlite"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An Airflow of our own with two processes that answer tasks, in each of the two databases."""
    folder = tmp_path_factory.mktemp("renewal")
    with _database(request.param) as database:
        fernet = Fernet.generate_key()
        store = f"sqlite:///{folder}/store.db" if database is None else database
        settings = {
            "AIRFLOW__CORE__FERNET_KEY": fernet.decode(),
            "AIRFLOW__CORE__PARALLELISM": "12",
            "AIRFLOW__API__WORKERS": "2",
            "AIRFLOW__SECRETS__BACKEND": "flowmate_airflow.auth.backend.FlowMateBackend",
            "AIRFLOW__FLOWMATE__STORE_URL": store,
            "AIRFLOW__FLOWMATE__CONNECTORS_FOLDER": str(Path(__file__).parents[1] / "connectors"),
            # While the API server starts anew, tasks try again; by itself that takes them ever longer.
            "AIRFLOW__WORKERS__EXECUTION_API_RETRIES": "300",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MIN": "0.5",
            "AIRFLOW__WORKERS__EXECUTION_API_RETRY_WAIT_MAX": "1.5",
        }
        components = ("api-server",) if database is None else ("api-server", "scheduler", "dag-processor")
        local = new_airflow(folder / "home", settings, database=database, components=components)
        program = [sys.executable, str(Path(__file__).with_name("asking_tasks.py"))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with (
            (folder / "tasks.log").open("wb") as log,
            subprocess.Popen(program, env=local.environment, **pipes, stderr=log, text=True) as tasks,
            local as airflow,
        ):
            assert tasks.stdout is not None
            assert json.loads(tasks.stdout.readline()) == "ready"
            airflow.add_connection("flowmate.clerk", login=CLIENT[0], password=CLIENT[1])
            found = World(local, airflow, create_engine(local.database), open_store(store), Fernet(fernet), tasks)
            found.begin("flowmate.clerk", tasks=16)  # an API server is slow at first
            found.end()
            yield found
            found.database.dispose()
            found.store.engine.dispose()


@contextmanager
def _database(kind: str) -> Iterator[str | None]:
    if kind == "sqlite":
        yield None
        return
    programs = postgres_programs()
    if programs is None:
        if docker_is_required():
            pytest.fail("there is no PostgreSQL; scripts/postgres installs it")
        pytest.skip("there is no PostgreSQL; scripts/postgres installs it")
    with LocalPostgres(programs) as url:
        yield url


def provider(**settings: Any) -> Nasty:
    """Return a provider that knows our application."""
    return Nasty(client_id=CLIENT[0], client_secret=CLIENT[1], **settings)


def swallowed(exchange: Exchange) -> None:
    """Do nothing, and answer nothing, until the test says so."""
    exchange.provider.holding.set()
    exchange.provider.release.wait(PATIENCE)
    exchange.cut()


def rotated(exchange: Exchange) -> None:
    """Rotate the token, and answer nothing, until the test says so."""
    exchange.provider.do(exchange)
    swallowed(exchange)


def late(exchange: Exchange) -> None:
    """Rotate the token, and answer when the test says so."""
    exchange.provider.do(exchange)
    exchange.provider.holding.set()
    exchange.provider.release.wait(PATIENCE)
    exchange.reply(*(exchange.answer or (500, {})))


def consented(provider: Nasty | Oidc) -> dict[str, Any]:
    """Return tokens as a person's consent brings them."""
    method = OAuth2.model_validate(provider.auth(client_auth="header", issuer=None, require_issuer=False))
    client = OAuthClient(*CLIENT)
    url, verifier = authorization_url(method, {}, client, BACK, "state")
    if isinstance(provider, Oidc):
        provider.allow(BACK)
        code = dict(parse_qsl(urlsplit(provider.consent(url)).query))["code"]
    else:
        code = provider.consent(url)["code"]
    return exchange(method, {}, client, BACK, code, verifier).grant.as_json()


def hunt(*tokens: dict[str, Any]) -> Hunt:
    """Return what finds the secrets that no task may have."""
    texts = {"client secret": CLIENT[1]} | {
        f"refresh token {n}": each["refresh_token"] for n, each in enumerate(tokens)
    }
    return Hunt(Canary(name, "", text[:16], text[-16:]) for name, text in texts.items())


def check_200(world: World, conn_id: str, before: dict[str, Any], what: str, *, foreign: bool = False) -> None:
    """Let 200 tasks ask, and see that all got the same token and nobody more."""
    world.begin(conn_id, tasks=TASKS, processes=PROCESSES, foreign=foreign)
    found = world.end()
    now = world.stored(conn_id)
    assert now["access_token"] != before["access_token"]
    assert now["refresh_token"] != before["refresh_token"]
    got = Counter(task.get("token") or task.get("error") or task["last"] for task in found["tasks"])
    assert got == {now["access_token"]: TASKS}
    hidden = hunt(before, now)
    assert hidden.within(json.dumps(now)) == ["refresh token 1"]
    assert [hidden.within(body) for body in found["bodies"]] == [[]] * len(found["bodies"])
    assert not [body for body in found["bodies"] if "refresh_token" in body or "client_secret" in body]
    longest = max(task["seconds"] for task in found["tasks"])
    statuses = Counter(body[:3] for body in found["bodies"])
    print(f"{what}: {TASKS} tasks, {found['requests']} requests, longest wait {longest:.1f} s, kinds {statuses}")


def test_200_tasks_cause_one_renewal(world: World, oidc: Oidc) -> None:
    before = consented(oidc)
    conn_id = world.link("many", oidc.url, before)
    check_200(world, conn_id, before, "a certified provider")
    assert oidc.refreshes == 1
    assert oidc.counted["reused"] == 0


@pytest.mark.parametrize("foreign", [False, True])
def test_200_tasks_wait_for_a_slow_provider(world: World, foreign: bool) -> None:
    """Tasks that are not FlowMate's get no Connection without a password meanwhile."""
    with provider() as slow:
        before = consented(slow)
        conn_id = world.link(f"slow-{foreign}", slow.url, before)
        slow.next(late)
        answering = threading.Thread(target=_answer_after, args=(slow, 3.0))
        answering.start()
        check_200(world, conn_id, before, f"a provider that takes 3 s, foreign tasks: {foreign}", foreign=foreign)
        answering.join()
        assert (slow.refreshes, slow.reused) == (1, 0)


def _answer_after(provider: Nasty, seconds: float) -> None:
    if provider.holding.wait(PATIENCE):
        time.sleep(seconds)
    provider.release.set()


@pytest.mark.parametrize("world", ["postgresql"], indirect=True)
def test_any_task_of_airflow_profits(world: World, oidc: Oidc) -> None:
    before = consented(oidc)
    conn_id = world.link("foreign", oidc.url, before)
    (world.local.dags / "foreign.py").write_text(FLOW)
    world.airflow.wait_for_dag("foreign")
    run_id, state = world.airflow.run("foreign")
    assert state == "success"
    answer = world.airflow.get(f"dags/foreign/dagRuns/{run_id}/taskInstances/ask/xcomEntries/return_value", map_index=0)
    assert answer["value"] == world.stored(conn_id)["access_token"]
    assert oidc.refreshes == 1


def test_an_api_server_is_killed_while_it_renews(world: World) -> None:
    providers = {"early": provider(), "lost": provider(), "grace": provider(rotate=False), "late": provider()}
    with ExitStack() as stack:
        for each in providers.values():
            stack.enter_context(each)
        early, lost, grace, noted = providers.values()
        before = {name: consented(each) for name, each in providers.items()}
        ids = {name: world.link(name, each.url, before[name]) for name, each in providers.items()}
        early.next(swallowed)
        lost.next(rotated)
        grace.next(rotated)
        noted.next(late)
        world.begin(*ids.values(), tasks=3)
        for each in providers.values():
            assert each.holding.wait(PATIENCE)
        with _unwritable(world.store, ids["late"]):
            noted.release.set()
            old = before["late"]["access_token"]
            wait_until("the commit", lambda: world.stored(ids["late"])["access_token"] != old or None, poll=0.05)
            world.kill()
        for each in providers.values():
            each.release.set()
        world.local.restart("api-server")
        began = time.monotonic()
        found = world.end()
        print(f"killed and started anew: answered after {time.monotonic() - began:.1f} s")

        now = {name: world.stored(conn_id) for name, conn_id in ids.items()}
        got = {name: _got(found, conn_id) for name, conn_id in ids.items()}
        for name in ("early", "grace", "late"):
            assert got[name] == {now[name]["access_token"]}
            assert providers[name].is_valid(now[name]["access_token"])
        assert {name: each.refreshes for name, each in providers.items()} == {
            **{"early": 1, "lost": 1, "grace": 2, "late": 1},
        }
        assert [each.reused for each in providers.values()] == [0, 1, 0, 0]
        hidden = hunt(*before.values(), *now.values())
        assert [hidden.within(body) for body in found["bodies"]] == [[]] * len(found["bodies"])
        _needs_login(world, ids["lost"], got["lost"], lost)
        assert hidden.below(world.local.home / "output", world.local.home / "logs") == {}


def _needs_login(world: World, conn_id: str, got: set[str], lost: Nasty) -> None:
    """See that everybody is told, that nothing is tried again, and that a new login is all that it takes."""
    (told,) = got
    assert told.startswith(
        f"ConfigFailure: step `step`: the Connection `{conn_id}` of the tenant 'lost' needs a new login"
    )
    assert "used before" in told
    assert renewal.LOST in told
    description = world.airflow.get(f"connections/{conn_id}")["description"]
    assert description.startswith("Needs a new login: ")
    assert renewal.LOST in description
    assert description.endswith("Ours.")
    assert "lost clerk: needs a new login (consent): " in world.flowmate("links", "list")
    shown = json.loads(world.flowmate("links", "show", "lost", "clerk", "--format", "json"))
    assert shown["status"] == "needs_reauth"
    assert renewal.LOST in shown["reason"]

    asked = len(lost.called("/token"))
    assert world.ask(conn_id)["error"] == told
    assert len(lost.called("/token")) == asked
    world.link("lost", lost.url, consented(lost))
    assert lost.is_valid(world.ask(conn_id)["token"])


def _got(found: dict[str, Any], conn_id: str) -> set[str]:
    return {
        task.get("token") or task.get("error") or task["last"] for task in found["tasks"] if task["conn_id"] == conn_id
    }


@contextmanager
def _unwritable(store: Store, conn_id: str) -> Iterator[None]:
    """Let nobody note anything of a Connection's renewal."""
    table = store.tables.renewals
    with store.write() as connection:
        connection.execute(table.select().where(table.c.conn_id == conn_id).with_for_update()).one()
        yield
