"""The connection type `flowmate`: its hook gives credentials, and the button Test checks them by the manifest."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from links_harness import World, world
from nasty import Nasty, echo

from flowmate_airflow.auth.views import Problem, problem_view, view_of
from flowmate_airflow.hooks.flowmate import FlowMateHook

SECRET = "hunter22-hunter22"


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nasty: Nasty) -> Iterator[World]:
    """An Airflow with the connector `shop`."""
    with world(tmp_path, monkeypatch) as made:
        session = {"method": "POST", "url": f"{nasty.url}/session"}
        made.add_connector(
            "shop",
            {
                "key": {
                    **{"type": "api_key", "private": True, "verify": {"url": f"{nasty.url}/records"}},
                    **{"optional": {"region": "extra.region"}, "fields": {"region": {"enum": ["eu", "us"]}}},
                },
                "session": {
                    **{"type": "session", "private": True, "token_path": "data.token"},
                    "login": {**session, "json": {"username": "{username}", "password": "{password}"}},
                    "verify": {"url": f"{nasty.url}/records", "headers": {"X-Session": "{token}"}},
                },
                "consent": nasty.auth(),
            },
        )
        yield made


@pytest.fixture
def connection(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets a Connection, and returns its hook."""

    def make(connector: str | None = None, **parts: Any) -> FlowMateHook:
        monkeypatch.setenv("AIRFLOW_CONN_TRIED", json.dumps({"conn_type": "flowmate", **parts}))
        return FlowMateHook("tried", connector)

    return make


def test_credentials_come_under_the_names_of_the_manifest(there: World, nasty: Nasty, connection: Any) -> None:
    hook = connection(password=nasty.api_key, extra={"connector": "shop", "auth": "key", "region": "eu"})
    assert hook.get_conn() == {"auth": "key", "key": nasty.api_key, "region": "eu"}
    assert connection("shop", password="x", extra={"auth": "key"}).get_conn()["key"] == "x"


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"password": SECRET}, "does not say which connector it is for"),
        ({"password": SECRET, "extra": {"connector": "shpo"}}, 'there is no connector "shpo"'),
        ({"login": "a", "extra": {"connector": "shop", "auth": "key"}}, "lacks what `shop` needs"),
        (
            {"extra": {"flowmate": {"connector": "shop", "problem": {"kind": "needs_reauth", "text": "it is over"}}}},
            "needs a new login: it is over",
        ),
        ({"extra": {"flowmate_token": {"access_token": SECRET}}}, "more than a task may have"),
    ],
)
def test_without_credentials_the_task_fails_for_good(
    there: World, connection: Any, parts: dict[str, Any], told: str
) -> None:
    with pytest.raises(AirflowFailException, match=told) as caught:
        connection(**parts).get_conn()
    assert SECRET not in str(caught.value)


def test_without_credentials_just_now_the_task_is_tried_again(there: World, connection: Any) -> None:
    problem = {"kind": "cooling", "text": "the shop is down"}
    hook = connection(extra={"flowmate": {"connector": "shop", "problem": problem}})
    with pytest.raises(AirflowException, match="the shop is down") as caught:
        hook.get_conn()
    assert not isinstance(caught.value, AirflowFailException)


def test_a_connection_that_works(there: World, nasty: Nasty, connection: Any) -> None:
    extra = {"connector": "shop", "auth": "key"}
    assert connection(password=nasty.api_key, extra=extra).test_connection() == (True, "The shop takes the credentials")
    user, password = nasty.user
    hook = connection(login=user, password=password, extra={"connector": "shop", "auth": "session"})
    assert hook.test_connection()[0]


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({}, "the extra's key `connector` must say which connector the Connection is for"),
        ({"extra": {"connector": "shop"}}, "`shop` has several methods; name one: consent, key, session"),
        ({"extra": {"connector": "shop", "auth": "kex"}}, '`shop` has no method "kex"'),
        ({"extra": {"connector": "shop", "auth": "key"}}, "`key` is missing"),
        (
            {"password": SECRET, "extra": {"connector": "shop", "auth": "key", "region": "mars"}},
            '`region` must be one of "eu", "us", not "mars"',
        ),
        ({"password": SECRET, "extra": {"connector": "shop", "auth": "key"}}, "the credentials are not right"),
        ({"login": "ada", "password": SECRET, "extra": {"connector": "shop", "auth": "session"}}, "does not take"),
        ({"extra": {"connector": "shop", "auth": "consent"}}, "nobody has consented yet"),
    ],
)
def test_one_that_does_not_says_why_without_a_secret(
    there: World, connection: Any, parts: dict[str, Any], told: str
) -> None:
    works, text = connection(**parts).test_connection()
    assert not works
    assert told in text
    assert SECRET not in text


def test_an_answer_that_repeats_what_was_sent_shows_nothing_of_it(there: World, nasty: Nasty, connection: Any) -> None:
    nasty.next(echo)
    hook = connection(login="ada", password=SECRET, extra={"connector": "shop", "auth": "session"})
    works, text = hook.test_connection()
    assert not works
    assert SECRET not in text


def test_an_error_that_nobody_thought_of_shows_nothing(
    there: World, connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> None:
        raise RuntimeError(f"it was {SECRET}")

    monkeypatch.setattr("flowmate_airflow.hooks.flowmate.tried", fails)
    assert connection().test_connection() == (
        False,
        "the Connection could not be tested (RuntimeError); the log tells more",
    )


def test_a_link_is_tested_as_a_task_gets_it(there: World, nasty: Nasty, connection: Any) -> None:
    from test_links_linking import consented

    from flowmate_airflow.auth import connections

    there.add_application("shop", nasty)
    consented(there, nasty)
    stored = connections.read("flowmate.shop.acme")
    assert stored is not None
    view = view_of(stored, there.catalog.get("shop").auth["consent"])  # type: ignore[union-attr]
    assert connection(password=view.password, extra=dict(view.extra)).test_connection()[0]
    nasty.expire()
    assert not connection(password=view.password, extra=dict(view.extra)).test_connection()[0]
    told = problem_view(stored, Problem("needs_reauth", "it is over"))
    assert connection(extra=dict(told.extra)).test_connection() == (False, "it is over")


def test_airflow_knows_the_type_its_fields_and_its_hook(tmp_path: Path) -> None:
    code = """
import json, logging
logging.basicConfig(level=logging.WARNING)
from airflow.providers_manager import ProvidersManager
from airflow.models.connection import Connection
manager = ProvidersManager()
fields = [name for name in manager.connection_form_widgets if name.startswith("extra__flowmate__")]
hook = Connection(conn_id="c", conn_type="flowmate").get_hook()
print(json.dumps([fields, manager.hooks["flowmate"].hook_name, type(hook).__name__, hook.flowmate_conn_id,
                  sorted(manager.field_behaviours["flowmate"])]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"AIRFLOW_HOME": str(tmp_path), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == [
        ["extra__flowmate__connector", "extra__flowmate__auth"],
        *("FlowMate", "FlowMateHook", "c"),
        ["hidden_fields", "placeholders", "relabeling"],
    ]
    assert "flowmate" not in done.stderr.lower(), done.stderr
