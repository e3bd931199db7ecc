"""Notices to other applications, in both databases."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest

from flowmate_airflow.store import outgoing
from flowmate_airflow.store.outgoing import (
    FAILED,
    SENT,
    WAITING,
    NewNotice,
    Notice,
    Wanted,
    claim,
    find,
    put,
    settle_failed,
    settle_sent,
)
from flowmate_airflow.store.sql import now
from flowmate_airflow.store.store import Store


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[timedelta], datetime]:
    """Moves the clock of the store ahead."""

    def move(span: timedelta) -> datetime:
        moment = now() + span
        monkeypatch.setattr(outgoing, "now", lambda: moment)
        return moment

    return move


def keep(store: Store, *ids: str, target: str = "app", event: str = "run.failed") -> int:
    return put(store, [NewNotice(target, event, message, b'{"type":"%s"}' % message.encode()) for message in ids])


def only(store: Store) -> Notice:
    (notice,) = find(store, Wanted())
    return notice


def test_the_same_news_is_kept_once_for_each_target(store: Store) -> None:
    assert keep(store, "a", "b") == 2
    assert keep(store, "b", "c") == 1
    assert keep(store, "a", target="other") == 1
    assert [(each.target, each.message_id) for each in find(store, Wanted())] == [
        ("other", "a"),
        ("app", "c"),
        ("app", "b"),
        ("app", "a"),
    ]
    assert put(store, []) == 0


def test_a_claim_takes_the_oldest_that_is_due_and_nobody_else_gets_it(store: Store) -> None:
    keep(store, "a")
    keep(store, "b")
    keep(store, "x", target="other")
    (first,) = claim(store, "one", "app", seconds=60)
    assert (first.message_id, first.payload, first.attempts) == ("a", b'{"type":"a"}', 1)
    assert [each.message_id for each in claim(store, "two", "app", seconds=60, limit=10)] == ["b"]
    assert claim(store, "three", "app", seconds=60) == []
    assert outgoing.due_targets(store) == {"other"}


def test_each_of_many_workers_gets_others(store: Store) -> None:
    keep(store, *(f"{number}" for number in range(40)))

    def work(worker: int) -> list[str]:
        found: list[str] = []
        while taken := claim(store, f"{worker}", "app", seconds=60, limit=3):
            found += [each.message_id for each in taken]
        return found

    with ThreadPoolExecutor(4) as workers:
        taken = [message for found in workers.map(work, range(4)) for message in found]
    assert sorted(taken, key=int) == [f"{number}" for number in range(40)]


def test_a_dead_workers_notices_are_taken_again_and_it_can_settle_them_no_more(
    store: Store, later: Callable[[timedelta], datetime]
) -> None:
    keep(store, "a")
    (first,) = claim(store, "same", "app", seconds=60)
    later(timedelta(seconds=61))
    (second,) = claim(store, "same", "app", seconds=60)
    assert second.attempts == 2
    assert not settle_sent(store, first, 200)
    assert only(store).status == WAITING
    assert settle_sent(store, second, 200)
    assert not settle_failed(store, second, "late", None, None)
    assert (only(store).status, only(store).response_status) == (SENT, 200)


def test_a_failure_waits_for_its_next_try(store: Store, later: Callable[[timedelta], datetime]) -> None:
    keep(store, "a")
    (notice,) = claim(store, "one", "app", seconds=60)
    assert settle_failed(store, notice, "x" * 2000, 500, now() + timedelta(minutes=5))
    assert claim(store, "one", "app", seconds=60) == []
    assert outgoing.newest_due(store) is None
    waiting = only(store)
    assert (waiting.status, waiting.response_status, waiting.claimed_by) == (WAITING, 500, None)
    assert waiting.error == "x" * outgoing.MAX_ERROR
    later(timedelta(minutes=5, seconds=1))
    assert outgoing.newest_due(store) == waiting.next_at
    assert claim(store, "one", "app", seconds=60)[0].attempts == 2


def test_what_failed_for_good_is_not_due_until_it_is_replayed(store: Store) -> None:
    keep(store, "a", "b")
    for _ in range(2):
        (notice,) = claim(store, "one", "app", seconds=60)
        assert settle_failed(store, notice, "gone", 410, None)
    assert outgoing.counts(store) == {("app", FAILED): 2}
    assert outgoing.newest_due(store) is None
    ids = [each.id for each in find(store, Wanted(status=FAILED), limit=1)]
    assert outgoing.replay(store, Wanted(ids=ids)) == 1
    (again,) = claim(store, "one", "app", seconds=60)
    assert (again.message_id, again.attempts, again.error, again.finished_at) == ("b", 1, None, None)
    assert outgoing.replay(store, Wanted(status=FAILED, target="nobody")) == 0
    assert outgoing.replay(store, Wanted(ids=ids)) == 0, "it waits already"


def test_nothing_is_due_while_somebody_sends(store: Store, later: Callable[[timedelta], datetime]) -> None:
    assert outgoing.newest_due(store) is None
    keep(store, "a", "b")
    assert outgoing.newest_due(store) is not None
    claim(store, "one", "app", seconds=60)
    assert outgoing.newest_due(store) is None, "whoever sends looks for more"
    later(timedelta(seconds=61))
    assert outgoing.newest_due(store) is not None


def test_postponed_notices_keep_their_attempts(store: Store, later: Callable[[timedelta], datetime]) -> None:
    keep(store, "a", "b")
    keep(store, "x", target="other")
    until = now() + timedelta(minutes=1)
    assert outgoing.postpone(store, "app", until) == 2
    assert outgoing.postpone(store, "app", until - timedelta(seconds=1)) == 0
    assert outgoing.due_targets(store) == {"other"}
    later(timedelta(minutes=2))
    assert [each.attempts for each in claim(store, "one", "app", seconds=60, limit=5)] == [1, 1]


def test_notices_of_targets_that_are_no_more_fail(store: Store) -> None:
    keep(store, "a")
    keep(store, "x", target="left")
    assert outgoing.drop_strangers(store, ["app"], "`left` is told nothing any more") == 1
    assert {each.target: (each.status, each.error) for each in find(store, Wanted())} == {
        "app": (WAITING, None),
        "left": (FAILED, "`left` is told nothing any more"),
    }


def test_what_has_ended_long_ago_or_was_never_sent_is_removed(
    store: Store, later: Callable[[timedelta], datetime]
) -> None:
    keep(store, "a", "b", "c")
    (sent, tried) = claim(store, "one", "app", seconds=60, limit=2)
    settle_sent(store, sent, 204)
    settle_failed(store, tried, "answered 500", 500, now() + timedelta(days=2))
    later(timedelta(days=29))
    assert outgoing.purge(store) == 0
    later(timedelta(days=31))
    assert outgoing.purge(store) == 2
    assert only(store).message_id == "b", "its next try is not that long ago"


def test_a_list_has_the_newest_first_and_an_end(store: Store) -> None:
    keep(store, *(f"{number}" for number in range(450)))
    assert [each.id for each in find(store, Wanted())] == sorted(
        (each.id for each in find(store, Wanted())), reverse=True
    )
    assert len(list(find(store, Wanted()))) == 450
    assert len(list(find(store, Wanted(), limit=401))) == 401
    assert list(find(store, Wanted(target="nobody"))) == []
    assert len(list(find(store, Wanted(event="run.failed", status=WAITING), limit=3))) == 3
