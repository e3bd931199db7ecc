"""Results of records, id links, catalogs, and credentials that a connector changed."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from airflow.models import crypto
from airflow.models.crypto import _NullFernet, _RealFernet
from cryptography.fernet import Fernet, MultiFernet

from flowmate_airflow.store import catalogs, links, results, secrets
from flowmate_airflow.store.catalogs import CatalogKey
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.links import LinkScope
from flowmate_airflow.store.results import Result, TaskKey
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store

TASK = TaskKey("orders", "run1", "save")
SCOPE = LinkScope("erp", "erp_main", "order")
CATALOG = CatalogKey("erp", "erp_main", "abc")
STRANGE = ["", "a\0b", "\ud800", "back\\slash", "\\u0000", "x" * 10_000, "ü"]


# --- results


def test_what_succeeded_is_known_to_the_next_try(store: Store) -> None:
    results.note_results(store, TASK, [Result("a"), Result("b", "17"), Result("a", "18")])
    results.note_results(store, TASK, (Result(f"m{number}") for number in range(1200)))
    assert results.done_ids(store, TASK) == {"a", "b", *(f"m{number}" for number in range(1200))}


@pytest.mark.parametrize("message_id", STRANGE)
def test_any_id_of_a_message_comes_back(store: Store, message_id: str) -> None:
    results.note_results(store, TASK, [Result(message_id, message_id)])
    assert results.done_ids(store, TASK) == {message_id}


def test_tasks_do_not_mix(store: Store) -> None:
    results.note_results(store, TASK, [Result("a")])
    results.keep_partial(store, TASK, {"count": 1})
    for other in (
        TaskKey("orders", "run1", "sav", tenant="e"),
        TaskKey("orders", "run2", "save"),
        TaskKey("orders", "run1", "save", 0),
        TaskKey("orders", "run1", "save", tenant="acme"),
    ):
        assert results.done_ids(store, other) == set()
        assert results.partial(store, other) is None
        results.forget(store, other)
    assert results.done_ids(store, TASK) == {"a"}


def test_the_batch_of_an_earlier_try_is_kept_until_the_task_is_forgotten(store: Store) -> None:
    results.note_results(store, TASK, [Result("a")])
    results.keep_partial(store, TASK, {"count": 1})
    results.keep_partial(store, TASK, {"count": 2, "messages": [{"data": "\0"}]})
    assert results.partial(store, TASK) == {"count": 2, "messages": [{"data": "\0"}]}
    results.forget(store, TASK)
    assert results.partial(store, TASK) is None
    assert results.done_ids(store, TASK) == set()


def test_old_results_go_away(store: Store) -> None:
    results.note_results(store, TASK, [Result("a")])
    results.keep_partial(store, TASK, {})
    with store.write() as connection:
        for table in (store.tables.results, store.tables.partials):
            connection.execute(table.update().values(noted_at=now() - results.KEEP - timedelta(days=1)))
    store._swept.clear()  # as another process would find it
    results.note_results(store, TaskKey("orders", "run9", "save"), [Result("z")])
    assert results.done_ids(store, TASK) == set()
    assert results.partial(store, TASK) is None


# --- links


def test_a_link_is_remembered_and_the_last_one_counts(store: Store) -> None:
    links.remember(store, SCOPE, [("a", "1"), ("b", "2"), ("a", "3")])
    links.remember(store, SCOPE, [("b", "4")])
    assert links.remote_ids(store, SCOPE, ["a", "b", "c"]) == {"a": "3", "b": "4"}
    assert links.remote_ids(store, SCOPE, []) == {}


def test_many_links(store: Store) -> None:
    pairs = {f"here{number}": f"there{number}" for number in range(2500)}
    links.remember(store, SCOPE, pairs.items())
    assert links.remote_ids(store, SCOPE, iter(pairs)) == pairs


def test_scopes_do_not_mix(store: Store) -> None:
    scopes = [SCOPE, LinkScope("erp", "erp_main"), LinkScope("erp", "other", "order"), LinkScope("e", "erp_main")]
    scopes.append(LinkScope("erp", "erp_main", "order", "acme"))
    for number, scope in enumerate(scopes):
        links.remember(store, scope, [("a", str(number))])
    assert [links.remote_ids(store, scope, ["a"])["a"] for scope in scopes] == list("01234")
    assert links.forget(store, SCOPE) == 1
    assert [links.remote_ids(store, scope, ["a"]) for scope in scopes[:2]] == [{}, {"a": "1"}]


@pytest.mark.parametrize("text", STRANGE)
def test_any_id_of_another_system_comes_back(store: Store, text: str) -> None:
    links.remember(store, SCOPE, [(text, text)])
    assert links.remote_ids(store, SCOPE, [text]) == {text: text}


def test_links_are_forgotten(store: Store) -> None:
    links.remember(store, SCOPE, [(str(number), "x") for number in range(10)])
    assert links.forget(store, SCOPE, ["1", "2", "none"]) == 2
    assert len(links.remote_ids(store, SCOPE, map(str, range(10)))) == 8
    assert links.forget(store, SCOPE) == 8


# --- catalogs


def test_a_catalog_and_the_one_before(store: Store) -> None:
    assert catalogs.cached_catalog(store, CATALOG) is None
    assert catalogs.previous_catalog(store, CATALOG) is None
    for streams in (["a"], ["a"], ["a", "b"], ["a", "b"]):
        catalogs.save_catalog(store, CATALOG, streams)
    found, saved_at = catalogs.cached_catalog(store, CATALOG) or (None, None)
    assert found == ["a", "b"]
    assert saved_at is not None
    assert now() - timedelta(minutes=10) < saved_at <= now()
    previous, before = catalogs.previous_catalog(store, CATALOG) or (None, None)
    assert previous == ["a"]
    assert before is not None
    assert before < saved_at


def test_after_a_change_of_the_config_the_account_s_last_catalog_is_the_one_before(store: Store) -> None:
    catalogs.save_catalog(store, CatalogKey("erp", "erp_main", "older"), ["older"])
    catalogs.save_catalog(store, CatalogKey("erp", "erp_main", "old"), ["old"])
    catalogs.save_catalog(store, CatalogKey("erp", "another", "x"), ["another"])
    catalogs.save_catalog(store, CATALOG, ["new"])
    assert (catalogs.previous_catalog(store, CATALOG) or [None])[0] == ["old"]


def test_catalogs_of_configs_long_gone_are_removed(store: Store) -> None:
    old = CatalogKey("erp", "erp_main", "old")
    catalogs.save_catalog(store, old, ["old"])
    with store.write() as connection:
        connection.execute(store.tables.catalogs.update().values(saved_at=now() - catalogs.KEEP - timedelta(days=1)))
    catalogs.save_catalog(store, CATALOG, ["new"])
    assert catalogs.cached_catalog(store, old) is None


# --- changed credentials


@pytest.fixture
def fernet(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Airflow's encryption, with a key of the test's."""
    made = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: made)
    return made


def raw_secrets(store: Store) -> list[bytes]:
    with store.read() as connection:
        return [bytes(row.secret) for row in connection.execute(store.tables.changed_secrets.select())]


def test_changed_credentials_are_kept_encrypted_until_the_connection_changes(store: Store, fernet: Any) -> None:
    secrets.save_changed(store, "erp_main", "tap-erp", {"refresh_token": "hunter21"}, "digest1")
    secrets.save_changed(store, "erp_main", "tap-erp", {"refresh_token": "hunter22"}, "digest1")
    assert secrets.changed(store, "erp_main", "tap-erp", "digest1") == {"refresh_token": "hunter22"}
    assert secrets.changed(store, "erp_main", "tap-erp", "digest2") == {}
    assert secrets.changed(store, "erp_main", "tap-other", "digest1") == {}
    assert secrets.changed(store, "erp_main", "tap-erp", "digest1", tenant="acme") == {}
    (raw,) = raw_secrets(store)
    assert b"hunter" not in raw
    assert b"refresh_token" not in raw
    secrets.forget_changed(store, "erp_main", "tap-erp")
    assert secrets.changed(store, "erp_main", "tap-erp", "digest1") == {}


def test_another_key_is_told_without_any_value(store: Store, fernet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets.save_changed(store, "erp_main", "tap-erp", {"refresh_token": "hunter22"}, "digest1")
    other = _RealFernet(MultiFernet([Fernet(Fernet.generate_key())]))
    monkeypatch.setattr(crypto, "get_fernet", lambda: other)
    with pytest.raises(StoreError, match=r"cannot be decrypted: \[core\] fernet_key is not the one") as caught:
        secrets.changed(store, "erp_main", "tap-erp", "digest1")
    assert "hunter" not in str(caught.value)
    assert caught.value.__suppress_context__


def test_an_airflow_without_a_key_keeps_them_as_it_keeps_connections(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(crypto, "get_fernet", _NullFernet)
    with caplog.at_level(logging.WARNING):
        secrets.save_changed(store, "erp_main", "tap-erp", {"refresh_token": "hunter22"}, "digest1")
    assert "fernet_key is empty" in caplog.text
    assert "hunter" not in caplog.text
    assert secrets.changed(store, "erp_main", "tap-erp", "digest1") == {"refresh_token": "hunter22"}


def test_credentials_that_are_no_json_are_told_without_any_value(store: Store, fernet: Any) -> None:
    with pytest.raises(StoreError, match="credentials of the Connection erp_main are not JSON") as caught:
        secrets.save_changed(store, "erp_main", "tap-erp", {"hunter22": object()}, "digest1")
    assert "hunter" not in str(caught.value)


def test_a_key_that_is_none_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Any:
        raise ValueError("hunter22 is no key")

    monkeypatch.setattr(crypto, "get_fernet", broken)
    with pytest.raises(StoreError, match=r"check \[core\] fernet_key") as caught:
        secrets.save_changed(store, "erp_main", "tap-erp", {"a": "b"}, "digest1")
    assert "hunter" not in str(caught.value)
