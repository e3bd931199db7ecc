"""News as it is written."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from outgoing_harness import Application, Tell

from flowmate_airflow.outgoing import announce as announcing
from flowmate_airflow.outgoing.announce import announce
from flowmate_airflow.outgoing.news import CUT, MAX_BODY, MAX_NEWS, News, envelope, message_id, timestamp
from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.store.outgoing import Wanted, find
from flowmate_airflow.store.store import Store

MOMENT = datetime(2026, 1, 31, 9, 30, 0, 123456, tzinfo=timezone(timedelta(hours=1)))


def body(data: Any) -> Any:
    text = envelope("link.created", MOMENT, data)
    assert len(text) <= MAX_BODY
    return json.loads(text)


def test_the_form_is_that_of_standard_webhooks() -> None:
    assert body({"flow": "orders"}) == {
        "type": "link.created",
        "timestamp": "2026-01-31T08:30:00.123Z",
        "data": {"flow": "orders"},
    }
    assert timestamp(MOMENT.astimezone(timezone.utc)) == "2026-01-31T08:30:00.123Z"


def test_what_is_too_long_is_cut_at_its_longest_lists_and_texts_and_says_so() -> None:
    cut = body({"streams": [f"table_{number}" for number in range(5000)], "name": "shop", "few": [1, 2]})["data"]
    assert cut[CUT] is True
    assert 1 < len(cut["streams"]) < 5000
    assert (cut["name"], cut["few"]) == ("shop", [1, 2])
    cut = body({"deep": {"text": "ä" * 30_000}, "count": 3})["data"]
    assert cut["deep"]["text"] == "ä" * len(cut["deep"]["text"])
    assert cut["count"] == 3
    assert CUT not in body({"text": "x" * 1000})["data"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"number": float("nan")}, "is not JSON"),
        ({"bytes": b"x"}, "is not JSON"),
        ({f"key_{number}": number for number in range(5000)}, "too long to be told"),
        ({"text": "x" * MAX_NEWS}, "too long to be told"),
    ],
)
def test_what_cannot_be_told_is_refused(data: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        envelope("link.created", MOMENT, data)


def test_unknown_events_and_ids_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"there is no event `run\.exploded`; there are run\.started"):
        News("run.exploded", {}, MOMENT, "msg_1")
    for name in ("", "a\r\nb", "ä", "x" * 201):
        with pytest.raises(ValueError, match="cannot be the id"):
            News("run.failed", {}, MOMENT, name)


def test_ids_are_the_same_for_the_same_parts_only() -> None:
    assert message_id("a", "b") == message_id("a", "b")
    assert len({message_id("a", "b"), message_id("ab", ""), message_id("b", "a"), message_id("a", "b", "")}) == 4


def test_what_is_announced_waits_for_each_target_that_wants_it(store: Store, app: Application, tell: Tell) -> None:
    assert announce("link.created", {"connector": "erp"}) == 0, "nobody is told"
    tell("app", app)
    tell("runs", app, events=["run.*"])
    tell("shop", app, flows=["shop_*"])
    assert announce("link.created", {"connector": "erp", "tenant": "acme"}) == 2
    assert announce("link.removed", {"connector": "erp", "flow": "orders"}, message_id="msg_1") == 1
    assert announce("link.removed", {"connector": "erp", "flow": "orders"}, message_id="msg_1") == 1
    kept = list(find(store, Wanted()))
    assert [(each.target, each.event) for each in kept] == [
        ("app", "link.removed"),
        ("shop", "link.created"),
        ("app", "link.created"),
    ]
    assert json.loads(kept[1].payload)["data"] == {"connector": "erp", "tenant": "acme"}
    assert kept[1].message_id == kept[2].message_id


def test_who_announces_does_not_fail_with_the_store(
    store: Store, app: Application, tell: Tell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> Store:
        raise StoreError("the store is down", transient=True)

    tell("app", app)
    monkeypatch.setattr(announcing, "open_store", broken)
    assert announce("link.created", {}) == 0
    assert "link.created is not told: the store is down" in caplog.text
    with pytest.raises(ValueError, match="there is no event"):
        announce("link.made", {})


def test_a_secrets_backend_that_fails_is_named_without_what_it_says(
    store: Store, app: Application, tell: Tell, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(conn_id: str) -> None:
        raise ConnectionError("vault://token@host")

    tell("app", app)
    monkeypatch.setattr(announcing, "find_target", broken)
    assert announce("link.created", {}) == 0
    assert "cannot be read (ConnectionError)" in caplog.text
    assert "token" not in caplog.text
