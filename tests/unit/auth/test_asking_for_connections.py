"""How a step asks for its Connection: it waits, it fails as it should, and it refuses more than it may have."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowNotFoundException, AirflowSecretsBackendAccessDenied
from renewal_harness import CONN_ID, Linked

from flowmate_airflow.auth.asking import SETTING, ask
from flowmate_airflow.auth.connections import ANY, Stored, save_login, write
from flowmate_airflow.auth.credentials import Account, account_of, credentials_for, secrets_of
from flowmate_airflow.auth.grants import MARK, TOKEN, Grant
from flowmate_airflow.auth.refusals import looking_name, refused_name, split_name
from flowmate_airflow.auth.serving import view
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.auth.views import Problem, problem_view
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.cli.accounts import find_account
from flowmate_airflow.steps.calls import StepRun
from flowmate_airflow.steps.errors import ConfigFailure, TransientFailure
from flowmate_airflow.steps.memory import StoreMemory, account_digest
from flowmate_airflow.store import linked as links
from flowmate_airflow.store.linked import Linked as Link

LINKED = {"connector": "shop", "method": "consent", "tenant": "acme"}
OAUTH = {"type": "oauth2", "authorize_url": "https://a.example.com", "token_url": "https://t.example.com"}


def manifest(name: str = "shop") -> Manifest:
    facts = {"connector": 1, "name": name, "version": "1", "title": "S", "image": "s"}
    auth = {"consent": OAUTH, "key": {"type": "api_key"}, "own": {"required": {"token": "password"}}}
    return Manifest.model_validate({**facts, "auth": auth, "triggers": {"t": {"title": "T"}}})


def problem(kind: Any) -> Account:
    stored = Stored(CONN_ID, extra={MARK: LINKED})
    return problem_view(stored, Problem(kind, "the provider said so")).account()


GOOD = Account(CONN_ID, password="token", extra={MARK: {**LINKED, "view": True}})


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.naps: list[float] = []

    def sleep(self, seconds: float) -> None:
        self.naps.append(seconds)
        self.now += seconds


def asked(*answers: Account, **options: Any) -> tuple[Account, Clock]:
    clock, left = Clock(), list(answers)
    options = {"manifest": manifest(), **options}
    found = ask(
        lambda _: left.pop(0) if len(left) > 1 else left[0],
        CONN_ID,
        "s",
        sleep=clock.sleep,
        clock=lambda: clock.now,
        **options,
    )
    return found, clock


def test_it_waits_until_the_credentials_are_there() -> None:
    found, clock = asked(problem("pending"), problem("pending"), GOOD)
    assert found is GOOD
    assert len(clock.naps) == 2
    assert len(set(clock.naps)) == 2


def test_it_does_not_wait_for_ever() -> None:
    with pytest.raises(TransientFailure, match="no credentials just now"):
        asked(problem("pending"))


@pytest.mark.parametrize(
    ("kind", "failure", "said"),
    [
        ("needs_reauth", ConfigFailure, "tenant 'acme' needs a new login.*flowmate links reauth acme shop"),
        ("failed", ConfigFailure, "has no credentials: the provider said so"),
        ("cooling", TransientFailure, "just now: the provider said so"),
        ("of another version", ConfigFailure, "the provider said so"),
    ],
)
def test_a_problem_fails_the_step(kind: str, failure: type[Exception], said: str) -> None:
    with pytest.raises(failure, match=f"step `s`: the Connection `{CONN_ID}`.*{said}"):
        asked(problem(kind))


@pytest.mark.parametrize(
    "extra",
    [{TOKEN: {"refresh_token": "r"}}, {MARK: LINKED}, {MARK: {**LINKED, "view": "yes"}}, {TOKEN: 1, MARK: "x"}],
)
def test_what_is_stored_is_refused(extra: dict[str, Any]) -> None:
    with pytest.raises(ConfigFailure) as caught:
        asked(Account(CONN_ID, password="client-secret", extra=extra))
    assert SETTING in str(caught.value)
    assert "client-secret" not in str(caught.value)


@pytest.mark.parametrize("extra", [{}, {MARK: {**LINKED, "method": "key"}}, {MARK: "their own"}])
def test_what_is_the_credential_itself_is_not(extra: dict[str, Any]) -> None:
    account = Account(CONN_ID, password="key", extra=extra)
    assert asked(account)[0] is account


def test_a_refused_token_is_told_and_then_the_plain_name_is_asked() -> None:
    names: list[str] = []

    def get(name: str) -> Account:
        names.append(name)
        if name != CONN_ID:
            raise AirflowNotFoundException(name)
        return GOOD

    assert ask(get, CONN_ID, "s", refused=GOOD) is GOOD
    assert names == [refused_name(CONN_ID, "token"), CONN_ID]
    assert "token" not in names[0]
    names.clear()
    ask(get, CONN_ID, "s", refused=Account(CONN_ID, password="plain"))  # none of ours
    assert names == [looking_name(CONN_ID), CONN_ID]


@pytest.mark.parametrize("error", [AirflowNotFoundException, AirflowSecretsBackendAccessDenied])
def test_of_a_connection_by_another_name_it_is_asked_what_is_wrong(error: type[Exception]) -> None:
    names: list[str] = []

    def get(name: str) -> Account:
        names.append(name)
        if name == "shop_api":
            raise error(name)
        return problem("needs_reauth")

    with pytest.raises(ConfigFailure, match="needs a new login"):
        ask(get, "shop_api", "s")
    assert names == ["shop_api", looking_name("shop_api")]

    def denied(name: str) -> Account:
        raise error(name)

    with pytest.raises(error, match=r"^shop_api$"):
        ask(denied, "shop_api", "s")
    with pytest.raises(error, match=f"^{CONN_ID}"):
        ask(denied, CONN_ID, "s")


@pytest.mark.parametrize("name", [CONN_ID, "a!refused!b", "!refused!", f"a!refused!{'0' * 31}"])
def test_other_names_are_whole(name: str) -> None:
    assert split_name(name) == (name, None)
    assert split_name(refused_name(name, "t"))[0] == name


# --- whose it is


def test_the_method_is_that_of_the_link() -> None:
    account = Account(CONN_ID, password="t", extra={MARK: {**LINKED, "method": "own", "view": True}, "auth": "key"})
    assert credentials_for(manifest(), account, "s") == {"auth": "own", "token": "t"}
    gone = Account(CONN_ID, password="t", extra={MARK: {**LINKED, "method": "gone"}})
    with pytest.raises(ConfigFailure, match="'gone'"):
        credentials_for(manifest(), gone, "s")


def test_another_connectors_credentials_are_refused() -> None:
    with pytest.raises(ConfigFailure, match="is linked for the connector 'shop', so that `other` may not have it"):
        credentials_for(manifest("other"), GOOD, "s")


def test_a_symlink_lets_another_connector_use_them(linked_sqlite: Linked) -> None:
    links.save(linked_sqlite.store, Link("acme", "shop", CONN_ID, "consent"))
    found, _ = asked(GOOD, manifest=manifest("other"))
    with pytest.raises(ConfigFailure):
        credentials_for(manifest("other"), found, "s")
    links.save(linked_sqlite.store, Link("acme", "other", "", "consent", symlink=("acme", "shop")))
    found, _ = asked(GOOD, manifest=manifest("other"))
    assert credentials_for(manifest("other"), found, "s")["access_token"] == "token"
    with pytest.raises(ConfigFailure):
        credentials_for(manifest("third"), asked(GOOD, manifest=manifest("third"))[0], "s")


def test_no_secret_of_a_view_is_forgotten_and_no_word_of_ours_hidden() -> None:
    extra = {MARK: {**LINKED, "view": True}, "consumer_secret": "consumer-secret", "list": [{"deep": "deep-secret"}]}
    hidden = set(secrets_of(Account(CONN_ID, password="access-token", extra=extra)))
    assert {"access-token", "consumer-secret", "deep-secret"} <= hidden
    assert not {"shop", "consent", "acme"} & hidden


# --- what a connector changed of its credentials


def test_a_task_and_a_check_know_changed_credentials_by_the_same_digest(linked_sqlite: Linked) -> None:
    linked_sqlite.manifest(consent={"required": {"token": "password", "region": "extra.region"}})
    linked_sqlite.link(None, password="r1", extra={"region": "eu"}, host="h.example.com", port=1)
    connection = linked_sqlite.ask()
    round_trip = account_of(type(connection)(**json.loads(json.dumps(connection.to_dict()))))
    found = view(CONN_ID)
    assert found is not None
    assert account_digest(round_trip) == account_digest(found.account())


def test_a_new_login_wins_over_what_the_connector_changed_before(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    linked.manifest(consent=linked.nasty.auth())
    grant = linked.consented(left=3000)
    linked.link(grant)
    run = StepRun("f", "r", "s", tenant="acme")
    account = account_of(linked.ask())
    StoreMemory(run, -1).keep_credentials(account, "shop", {"access_token": "changed"})
    assert StoreMemory(run, -1).changed_credentials(account, "shop") == {"access_token": "changed"}
    save_login(CONN_ID, Login(grant), linked.store)  # even if it looks the same
    assert StoreMemory(run, -1).changed_credentials(account_of(linked.ask()), "shop") == {}


# --- runs by hand


def test_a_run_by_hand_gets_a_view_also_where_airflow_is_not_set(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    linked.link(linked.consented())
    found = find_account(CONN_ID, "s", "shop/records", manifest=manifest())
    assert linked.nasty.is_valid(found.password or "")
    assert TOKEN not in found.extra
    again = find_account(CONN_ID, "s", "shop/records", manifest=manifest(), refused=found)
    assert again.password == found.password
    write(Stored("plain", "http", password="pw"), expect=ANY)
    assert find_account("plain", "s", "shop/records").password == "pw"
    with pytest.raises(ConfigFailure, match="does not exist"):
        find_account("nobody", "s", "shop/records")


def test_the_environment_of_a_run_by_hand_is_handed_on_without_what_brings_more(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = linked_sqlite
    grant = linked.consented(left=3000)
    extra = {MARK: LINKED, TOKEN: grant.as_json(), "client_secret": "cs"}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"password": "form", "extra": extra}))
    found = find_account(CONN_ID, "s", "shop/records", manifest=manifest())
    assert found.password == grant.access_token
    assert set(found.extra) == {MARK}
    over = {MARK: LINKED, TOKEN: Grant("t", refresh_token="r", expires_at=1.0).as_json()}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"extra": over}))
    with pytest.raises(ConfigFailure, match="environment"):
        find_account(CONN_ID, "s", "shop/records", manifest=manifest())
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps({"password": "own", "extra": {MARK: LINKED}}))
    assert find_account(CONN_ID, "s", "shop/records", manifest=manifest()).password == "own"


def test_a_run_by_hand_without_airflows_database_says_what_to_do(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sqlalchemy
    from airflow import settings
    from sqlalchemy.orm import sessionmaker

    empty = sqlalchemy.create_engine(f"sqlite:///{tmp_path}/empty.db")
    monkeypatch.setattr(settings, "NonScopedSession", sessionmaker(empty))
    monkeypatch.setattr(settings, "Session", sessionmaker(empty))
    with pytest.raises(ConfigFailure, match=r"`plain`, which does not exist\. Add it"):
        find_account("plain", "s", "shop/records")
    empty.dispose()
