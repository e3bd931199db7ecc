"""Ways to get more of a Connection than a task may have."""

from __future__ import annotations

import json
from typing import Any

import pytest
from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
from airflow.secrets.metastore import MetastoreBackend
from renewal_harness import CONN_ID, Linked, told

from flowmate_airflow.auth import serving
from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.grants import MARK, TOKEN, Grant
from flowmate_airflow.auth.refusals import looking_name
from flowmate_airflow.auth.renewal import Fresh
from flowmate_airflow.auth.views import Problem, problem_in, view_of
from flowmate_airflow.catalog.auth import METHODS
from flowmate_airflow.catalog.authmethod import AuthMethod

BRINGING = {
    **{"client_id": "secret", "client_secret": "secret", "private_key": "secret", "certificate": "secret"},
    TOKEN: Grant("access", refresh_token="secret", token_secret="signing").as_json(),
}
ADDRESSES = {"request_url": "https://x/r", "authorize_url": "https://x/a", "access_url": "https://x/t"}
LOGINS: dict[str, dict[str, Any]] = {
    "consent": {"type": "oauth2", "authorize_url": "https://x/a", "token_url": "https://x/t"},
    "client": {"type": "oauth2", "grant": "client_credentials", "token_url": "https://x/t"},
    "assertion": {"type": "oauth2", "grant": "jwt_bearer", "token_url": "https://x/t", "jwt": {}},
    "three legs": {"type": "oauth1", **ADDRESSES},
    "session": {"type": "session", "token_path": "t", "login": {"url": "https://x/s"}},
    "session of many parts": {
        "type": "session",
        "token_path": "t",
        "login": {"url": "https://x/s"},
        "inputs": {"user": "login", "pin": "host", "word": "schema", "code": "port", "answer": "extra.answer"},
    },
    "session by address": {
        "type": "session",
        "token_path": "t",
        "login": {"url": "https://x/s"},
        "inputs": {"all": "extra", "where": "url"},
        "required": {"kept": f"extra.{TOKEN}", "region": "extra.region"},
    },
}


def method(**values: Any) -> AuthMethod:
    """Return a method as the manifest describes it."""
    return METHODS[values["type"]].model_validate(values)


@pytest.mark.parametrize("name", LOGINS)
def test_a_view_has_nothing_that_brings_a_token(name: str) -> None:
    chosen = method(**LOGINS[name])
    mark = {"connector": "shop", "method": "m", "tenant": "acme", "more": "secret"}
    parts: dict[str, Any] = {"password": "secret", "extra": {**BRINGING, MARK: mark, "answer": "x", "region": "eu"}}
    for part in chosen.login_parts.values():
        if part in ("login", "host", "schema"):
            parts[part] = "secret"
        elif part.startswith("extra."):
            parts["extra"][part.removeprefix("extra.")] = "secret"
    view = view_of(Stored(CONN_ID, port=4711, **parts), chosen)
    assert view.password == "access"
    shown = json.dumps([view.login, view.host, view.schema, dict(view.extra)])
    assert "secret" not in shown.replace("token_secret", "").replace("consumer_secret", "")
    assert TOKEN not in view.extra
    is_asked = {"port", "url"} & set(chosen.login_parts.values())
    assert view.port == (None if is_asked else 4711)


@pytest.mark.parametrize(
    "name", ["flowmate.shop", "FLOWMATE.SHOP", "Flowmate.shop", "\ufb02owmate.shop", "flowmate.\u017fhop"]
)
def test_an_application_is_one_however_it_is_written(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert name.upper() == "FLOWMATE.SHOP"
    monkeypatch.setenv("AIRFLOW_CONN_FLOWMATE.SHOP", "flowmate://app:the-secret@")
    found = linked_sqlite.ask(name)
    assert found is not None  # else Airflow would look into the environment, and find it
    assert told(found)["kind"] == "failed"
    assert "the-secret" not in found.get_uri()


@pytest.mark.parametrize("where", ["get_uri", "__init__"])
def test_what_cannot_be_made_is_not_looked_for_elsewhere(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    """Airflow takes any other exception for `ask the next one`, which is its database, as it is stored."""
    linked_sqlite.link(linked_sqlite.consented(left=3000))
    backend = linked_sqlite.backend()

    def broken(*_: Any, **__: Any) -> Any:
        raise ValueError("secret")

    class Broken(Connection):
        pass

    setattr(Broken, where, broken)
    backend._set_connection_class(Broken)
    with pytest.raises(AirflowSecretsBackendAccessDenied) as caught:
        backend.get_connection(CONN_ID, team_name=None)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "status", "again"),
    [("pending", 503, "1"), ("cooling", 503, "30"), ("failed", 403, None), ("needs_reauth", 403, None)],
)
def test_who_does_not_look_gets_an_error_and_no_connection_without_a_password(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch, kind: Any, status: int, again: str | None
) -> None:
    """Neither Airflow's search nor its API server makes anything else of it."""
    from fastapi import FastAPI
    from fastapi.testclient import TestClient

    linked_sqlite.link(linked_sqlite.consented())
    problem = Problem(kind, "that is why")
    monkeypatch.setattr(serving, "fresh", lambda stored, *_: Fresh(stored, problem))
    server = FastAPI()
    chain = [linked_sqlite.backend(), MetastoreBackend()]
    chain[1]._set_connection_class(Connection)
    monkeypatch.setattr("airflow.configuration.ensure_secrets_loaded", lambda: chain)

    @server.get("/{conn_id}")
    def get(conn_id: str) -> Any:
        return Connection.get_connection_from_secrets(conn_id).password

    with TestClient(server) as client:
        answer = client.get(f"/{CONN_ID}")
        assert (answer.status_code, answer.headers.get("Retry-After")) == (status, again)
        assert "that is why" in answer.json()["detail"]["message"]
        assert "Traceback" not in answer.text
        assert client.get(f"/{looking_name(CONN_ID)}").json() is None
    assert problem_in(linked_sqlite.ask().extra_dejson[MARK]) == problem
    with pytest.raises(AirflowSecretsBackendAccessDenied, match="that is why"):
        chain[0].get_connection(CONN_ID, team_name=None)
