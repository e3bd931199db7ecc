"""The secrets backend as Airflow asks it: what it hands out, what it leaves to others, and that it fails closed."""

from __future__ import annotations

import json
import sys
import types
from typing import Any

import pytest
from airflow.exceptions import AirflowNotFoundException
from airflow.models.connection import Connection
from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied
from nasty import Nasty
from renewal_harness import CONN_ID, Linked, told

from flowmate_airflow.auth import origins, serving
from flowmate_airflow.auth.connections import ANY, Stored, read, write
from flowmate_airflow.auth.grants import MARK, TOKEN, Grant
from flowmate_airflow.auth.refusals import looking_name
from flowmate_airflow.store.errors import StoreError

FAR = 4_000_000_000.0


class Vault:
    """Another secrets backend."""

    def __init__(self, path: str = "", held: dict[str, dict[str, Any]] | None = None) -> None:
        self.path = path
        self.held = held or {}

    def _set_connection_class(self, conn_class: type) -> None:
        self.conn_class = conn_class

    def get_connection(self, conn_id: str) -> Any:
        if conn_id == "broken":
            raise RuntimeError("the vault does not answer")
        if conn_id == "denied":
            raise AirflowSecretsBackendAccessDenied("no")
        found = self.held.get(conn_id)
        return None if found is None else self.conn_class(conn_id=conn_id, **found)

    def get_variable(self, key: str) -> str | None:
        return f"variable {key} of {self.path}"

    def get_config(self, key: str) -> str | None:
        return f"option {key} of {self.path}"


VAULT = f"{__name__}.Vault"


def airflow_asks(linked: Linked, monkeypatch: pytest.MonkeyPatch, conn_id: str, **kwargs: Any) -> Connection:
    """Ask as the API server does: with the environment and the database behind our backend."""
    import airflow.configuration
    from airflow.secrets.environment_variables import EnvironmentVariablesBackend
    from airflow.secrets.metastore import MetastoreBackend

    others = [EnvironmentVariablesBackend(), MetastoreBackend()]
    for other in others:
        other._set_connection_class(Connection)
    chain = [linked.backend(**kwargs), *others]
    monkeypatch.setattr(airflow.configuration, "ensure_secrets_loaded", lambda: chain)
    return Connection.get_connection_from_secrets(conn_id)


def test_other_connections_are_left_alone(linked: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    write(Stored("plain", "http", login="ada", password="pw", extra={"a": [1]}), expect=ANY)
    write(Stored("theirs", "http", password="pw", extra={MARK: "their own word"}), expect=ANY)
    monkeypatch.setenv("AIRFLOW_CONN_ENVIRONMENT", "http://ada:pw@host")
    for name in ("plain", "theirs", "environment"):
        found = airflow_asks(linked, monkeypatch, name)
        assert (found.conn_type, found.password) == ("http", "pw")
    with pytest.raises(AirflowNotFoundException):
        airflow_asks(linked, monkeypatch, "nobody")


def test_a_linked_connection_is_a_view(linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = linked_sqlite
    own = {"client_id": linked.nasty.client_id, "client_secret": linked.nasty.client_secret, "domain": "acme"}
    linked.link(linked.consented(), extra={**own, "private_key": "KEY", "certificate": "CERT"}, password="a form's")
    found = airflow_asks(linked, monkeypatch, CONN_ID)
    assert found.password == linked.grant.access_token
    assert set(found.extra_dejson) == {MARK, "domain"}
    grant = linked.grant
    everything = found.get_uri() + json.dumps(found.to_dict()) + repr(found)
    for secret in (grant.refresh_token, linked.nasty.client_secret, "a form's", "KEY", "CERT"):
        assert secret
        assert secret not in everything


def test_an_applications_secret_is_for_no_task(linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    found = airflow_asks(linked_sqlite, monkeypatch, looking_name("flowmate.shop"))
    assert told(found)["kind"] == "failed"
    assert (found.login, found.password) == (None, None)
    monkeypatch.setenv("AIRFLOW_CONN_FLOWMATE.OTHER", "flowmate://app:secret@")
    found = airflow_asks(linked_sqlite, monkeypatch, looking_name("flowmate.other"))
    assert (found.login, found.password) == (None, None)


def test_oauth_1_is_signed_with_both_secrets(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    address = f"{linked.nasty.url}/x"
    urls = {"request_url": address, "authorize_url": address, "access_url": address}
    linked.manifest(consent={"type": "oauth1", "private": True, **urls})
    linked.link(Grant("token", token_secret="token-secret"))
    found = linked.ask()
    assert (found.login, found.password) == (linked.nasty.client_id, "token")
    assert found.extra_dejson["consumer_secret"] == linked.nasty.client_secret
    assert found.extra_dejson["token_secret"] == "token-secret"
    linked.link(None)
    assert told(linked.ask())["kind"] == "needs_reauth"


def test_a_key_is_handed_out_as_it_is(linked_sqlite: Linked) -> None:
    linked_sqlite.manifest(consent={"type": "api_key"})
    linked_sqlite.link(None, password="the key", host="h.example.com")
    found = linked_sqlite.ask()
    assert (found.password, found.host, found.extra_dejson[MARK]["view"]) == ("the key", "h.example.com", True)


@pytest.mark.parametrize(
    "mark",
    [
        {"connector": "unknown", "method": "m"},
        {"connector": "../shop", "method": "consent"},
        {"connector": "shop", "method": "gone"},
        {"connector": "shop"},
        {"connector": ["shop"], "method": {}},
        {},
    ],
)
def test_what_nobody_knows_how_to_hand_out_is_not(linked_sqlite: Linked, mark: dict[str, Any]) -> None:
    grant = Grant("access-secret", refresh_token="refresh-secret")
    stored = Stored("marked", password="form-secret", extra={MARK: mark, TOKEN: grant.as_json(), "key": "extra-secret"})
    write(stored, expect=ANY)
    found = linked_sqlite.ask("marked")
    assert told(found)["kind"] == "failed"
    assert found.password is None
    assert "secret" not in found.get_uri()


def test_a_manifest_that_is_wrong_is_told(linked_sqlite: Linked) -> None:
    (linked_sqlite.folder / "shop" / "connector.yaml").write_text("connector: [")
    linked_sqlite.link(linked_sqlite.consented())
    assert "is not valid" in told(linked_sqlite.ask())["text"]


def test_without_the_store_nothing_stored_is_handed_out(linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    def down(*_: Any, **__: Any) -> Any:
        raise StoreError("the store does not answer", transient=True)

    from flowmate_airflow.auth import renewal

    linked_sqlite.link(linked_sqlite.consented())
    monkeypatch.setattr(renewal, "open_store", down)
    found = airflow_asks(linked_sqlite, monkeypatch, looking_name(CONN_ID))
    assert told(found)["kind"] == "cooling"
    assert found.password is None


def test_without_airflows_database_nothing_is_handed_out(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.secrets.metastore import MetastoreBackend

    linked = linked_sqlite
    linked.link(linked.consented())
    write(Stored("marked", extra=dict(linked.stored.extra)), expect=ANY)
    real, calls = MetastoreBackend.get_connection, []

    def down_once(self: Any, conn_id: str, **kwargs: Any) -> Any:
        calls.append(conn_id)
        if len(calls) == 1:
            raise RuntimeError("the database does not answer, with secrets")
        return real(self, conn_id, **kwargs)

    monkeypatch.setattr(MetastoreBackend, "get_connection", down_once)
    with pytest.raises(AirflowSecretsBackendAccessDenied) as caught:
        airflow_asks(linked, monkeypatch, "marked")
    assert "secrets" not in str(caught.value)
    calls.clear()
    found = airflow_asks(linked, monkeypatch, looking_name(CONN_ID))
    assert told(found)["kind"] == "cooling"


def test_an_unthought_of_error_hands_nothing_out(linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError("secret")

    linked_sqlite.link(linked_sqlite.consented(left=3000))
    monkeypatch.setattr(serving, "method_of", broken)
    found = airflow_asks(linked_sqlite, monkeypatch, looking_name(CONN_ID))
    assert told(found)["kind"] == "cooling"
    assert "secret" not in found.get_uri()


def test_a_key_of_airflow_that_is_another_one_hands_nothing_out(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.models import crypto
    from airflow.models.crypto import _RealFernet
    from cryptography.fernet import Fernet, MultiFernet

    linked_sqlite.link(linked_sqlite.consented(left=3000))
    other = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: other)
    assert told(linked_sqlite.ask())["kind"] == "cooling"


# --- another backend


def test_another_backend_is_asked_first(linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = linked_sqlite
    held = {"plain": {"conn_type": "http", "password": "of the vault"}}
    kwargs = {"backend": VAULT, "backend_kwargs": {"path": "p", "held": held}}
    write(Stored("plain", "http", password="of the database"), expect=ANY)
    assert airflow_asks(linked, monkeypatch, "plain", **kwargs).password == "of the vault"
    linked.link(linked.consented())
    assert linked.nasty.is_valid(airflow_asks(linked, monkeypatch, CONN_ID, **kwargs).password)
    backend = linked.backend(**kwargs)
    assert backend.get_variable("v") == "variable v of p"
    assert backend.get_variable("v", team_name="t") == "variable v of p"
    assert backend.get_config("o") == "option o of p"
    with pytest.raises(AirflowNotFoundException):
        airflow_asks(linked, monkeypatch, "broken", **kwargs)
    with pytest.raises(AirflowSecretsBackendAccessDenied):
        airflow_asks(linked, monkeypatch, "denied", **kwargs)


def test_its_parameters_may_be_json(linked_sqlite: Linked) -> None:
    assert linked_sqlite.backend(backend=VAULT, backend_kwargs='{"path": "q"}').get_config("o") == "option o of q"
    assert linked_sqlite.backend().get_config("o") is None
    assert linked_sqlite.backend().get_variable("v") is None
    assert linked_sqlite.backend().get_conn_value(CONN_ID) is None


@pytest.mark.parametrize(
    ("kwargs", "error"),
    [
        ({"backend": "Vault"}, ValueError),
        ({"backend": "no.such.Thing"}, ImportError),
        ({"backend": f"{__name__}.Nothing"}, AttributeError),
        ({"backend": VAULT, "backend_kwargs": "["}, ValueError),
        ({"backend": VAULT, "backend_kwargs": "[]"}, ValueError),
        ({"backend": VAULT, "backend_kwargs": {"unknown": 1}}, TypeError),
        ({"unknown": 1}, TypeError),
    ],
)
def test_what_is_wrong_with_it_is_told_at_once(
    linked_sqlite: Linked, kwargs: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        linked_sqlite.backend(**kwargs)


def test_what_another_backend_holds_cannot_be_renewed(linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = linked_sqlite
    mark = {"connector": "shop", "method": "consent"}
    for left, kind in ((3000, None), (100, None), (-5, "failed")):
        grant = linked.consented(left=left)
        held = {"held": {"conn_type": "flowmate", "extra": json.dumps({MARK: mark, TOKEN: grant.as_json()})}}
        found = airflow_asks(linked, monkeypatch, looking_name("held"), backend=VAULT, backend_kwargs={"held": held})
        assert told(found).get("kind") == kind
        assert found.password == (None if kind else grant.access_token)
        monkeypatch.setenv("AIRFLOW_CONN_OURS", json.dumps(held["held"]))
        assert told(airflow_asks(linked, monkeypatch, looking_name("ours"))).get("kind") == kind
    assert linked.nasty.refreshes == 0
    assert "environment" in told(airflow_asks(linked, monkeypatch, looking_name("ours")))["text"]


def test_a_task_is_no_place_for_it(linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    linked = linked_sqlite
    linked.link(linked.consented())
    extra = json.dumps({MARK: {"connector": "shop", "method": "consent"}, TOKEN: Grant("t").as_json()})
    held = {"plain": {"conn_type": "http", "password": "pw"}, "ours": {"conn_type": "flowmate", "extra": extra}}
    backend = linked.backend(backend=VAULT, backend_kwargs={"held": held})
    monkeypatch.setattr(origins, "find", lambda *_, **__: pytest.fail("there is no database here"))
    runner = types.SimpleNamespace(SUPERVISOR_COMMS=object())
    monkeypatch.setitem(sys.modules, "airflow.sdk.execution_time.task_runner", runner)
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")  # a task of the LocalExecutor has its scheduler's
    assert backend.get_connection(CONN_ID) is None
    assert backend.get_connection("plain").password == "pw"
    assert backend.get_connection("ours") is None
    monkeypatch.delitem(sys.modules, "airflow.sdk.execution_time.task_runner")
    monkeypatch.delenv("_AIRFLOW_PROCESS_CONTEXT")  # a worker's supervisor
    assert backend.get_connection(CONN_ID) is None


def test_a_server_that_asks_without_a_team_gets_a_view(linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.sdk import Connection as TaskConnection

    linked = linked_sqlite
    linked.link(linked.consented())
    monkeypatch.setenv("_AIRFLOW_PROCESS_CONTEXT", "server")
    backend = linked.backend()
    backend._set_connection_class(TaskConnection)
    found = backend.get_connection(CONN_ID)
    assert isinstance(found, TaskConnection)
    assert linked.nasty.is_valid(found.password or "")


# --- Airflow's own ways to show a Connection


def test_airflow_shows_no_token_and_keeps_it_when_somebody_saves(linked_sqlite: Linked, nasty: Nasty) -> None:
    from airflow.api_fastapi.core_api.datamodels.connections import ConnectionBody, ConnectionResponse
    from airflow.api_fastapi.core_api.services.public.connections import update_orm_from_pydantic
    from airflow.utils.session import create_session
    from sqlalchemy import select

    linked = linked_sqlite
    own = {"client_id": "own", "client_secret": nasty.client_secret, "region": "eu"}
    linked.link(linked.consented(), extra=own, password="form-secret")
    before = linked.stored
    grant = linked.grant
    with create_session(scoped=False) as session:
        row = session.scalars(select(Connection).where(Connection.conn_id == CONN_ID)).one()
        shown = ConnectionResponse.model_validate(row)
        text = shown.model_dump_json()
        for secret in (grant.access_token, grant.refresh_token, nasty.client_secret, "form-secret"):
            assert secret
            assert secret not in text
        body = ConnectionBody(
            connection_id=CONN_ID, conn_type="flowmate", description="new", password="***", extra=shown.extra
        )
        update_orm_from_pydantic(row, body)
    after = read(CONN_ID)
    assert after is not None
    assert after.description == "new"
    assert (dict(after.extra), after.password) == (dict(before.extra), before.password)
