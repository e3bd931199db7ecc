"""A store that an older FlowMate made: it is brought up to date, with all that is in it."""

from __future__ import annotations

import pytest
import sqlalchemy

from flowmate_airflow.store import deadletters, schema, states
from flowmate_airflow.store.deadletters import DeadLetter
from flowmate_airflow.store.states import Place
from flowmate_airflow.store.store import close_stores, open_store

pytestmark = pytest.mark.usefixtures("real_stores")

WEBHOOKS = {"deliveries", "endpoints", "replies", "subscriptions", "outgoing"}


def names(url: str) -> set[str]:
    engine = sqlalchemy.create_engine(url)
    found = {name.removeprefix("flowmate_") for name in sqlalchemy.inspect(engine).get_table_names()}
    engine.dispose()
    return found


def test_a_store_of_the_first_version_gets_the_tables_of_webhooks_and_keeps_its_rows(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(schema, "HEAD", "0001")
        store = open_store(url)
        states.set_state(store, Place("orders", "read"), {"at": 17})
        deadletters.keep(store, [DeadLetter("orders", "save", "run1", "m1", {"id": "m1"}, "no")])
        close_stores()
        assert not WEBHOOKS & names(url)
    store = open_store(url)
    assert names(url) >= WEBHOOKS
    assert states.read_state(store, Place("orders", "read")) == {"at": 17}
    assert [letter.message_id for letter in deadletters.find(store)] == ["m1"]
    with store.read() as connection:
        assert connection.exec_driver_sql(f"SELECT version_num FROM {schema.VERSION_TABLE}").scalar() == schema.HEAD
