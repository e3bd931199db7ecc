"""Many who ask at once, in several processes, and processes that die in the middle of a renewal."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import nasty as bad
import pytest
from renewal_harness import CONN_ID, Linked, told

from flowmate_airflow.auth import renewal
from flowmate_airflow.auth.asking import ask
from flowmate_airflow.auth.connections import Stored, save_login
from flowmate_airflow.auth.grants import MARK
from flowmate_airflow.auth.renewing import MAX_RENEWING, MAX_WAITING, Renewer
from flowmate_airflow.auth.tokens import Login
from flowmate_airflow.store import renewals
from flowmate_airflow.store.sql import now

_FORK = multiprocessing.get_context("fork")
PROCESSES, TASKS = 4, 50


def _tasks(linked: Linked, number: int, begin: Any, results: Any) -> None:
    """Be an API server that many tasks ask."""
    begin.wait()
    with ThreadPoolExecutor(TASKS) as tasks:
        asked = [tasks.submit(ask, lambda conn_id: linked.ask(conn_id), CONN_ID, f"s{number}") for _ in range(TASKS)]
        results.put([_what(task) for task in asked])


def _what(task: Any) -> str:
    try:
        return str(task.result().password)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def all_ask(linked: Linked) -> Counter[str]:
    """Return what 200 tasks get that ask four API servers at once, and how many get it."""
    begin, results = _FORK.Barrier(PROCESSES), _FORK.SimpleQueue()
    servers = [_FORK.Process(target=_tasks, args=(linked, n, begin, results)) for n in range(PROCESSES)]
    for server in servers:
        server.start()
    found: Counter[str] = Counter()
    for _ in servers:
        found.update(results.get())
    for server in servers:
        server.join()
    return found


def test_200_tasks_cause_one_renewal(linked: Linked) -> None:
    linked.link(linked.consented())
    found = all_ask(linked)
    assert found == {linked.grant.access_token: PROCESSES * TASKS}
    assert linked.nasty.is_valid(linked.grant.access_token)
    assert (linked.nasty.refreshes, linked.nasty.reused) == (1, 0)
    row = renewals.status(linked.store, CONN_ID)
    assert row is not None
    assert row.renewals == 1


def test_200_tasks_ask_once_for_what_is_worth_nothing(linked: Linked) -> None:
    linked.link(linked.consented())
    linked.nasty._refresh.clear()
    calls = len(linked.nasty.called("/token"))
    found = all_ask(linked)
    assert len(linked.nasty.called("/token")) == calls + 1
    assert found.total() == PROCESSES * TASKS
    assert all(text.startswith("ConfigFailure: step `s") and "needs a new login" in text for text in found)
    assert all("tenant 'acme'" in text for text in found)


# --- a process that dies


def _dies(linked: Linked) -> None:
    linked.ask()


@contextmanager
def died(linked: Linked) -> Iterator[None]:
    """Let an API server be killed once the provider has rotated the token, and before it has answered."""
    rotated = threading.Event()
    server = _FORK.Process(target=_dies, args=(linked,))

    def answer(exchange: bad.Exchange) -> None:
        exchange.provider.do(exchange)
        rotated.set()
        server.join()

    linked.nasty.next(answer)
    server.start()
    assert rotated.wait(60)
    assert server.pid is not None
    os.kill(server.pid, signal.SIGKILL)
    server.join()
    yield


def lease_over(linked: Linked) -> None:
    """Let the time be over for which a process has its turn."""
    table = linked.store.tables.renewals
    with linked.store.write() as connection:
        connection.execute(table.update().values(owned_until=now() - timedelta(seconds=1)))


def test_who_died_on_this_machine_is_taken_over_at_once(linked: Linked) -> None:
    linked.nasty.rotate = False
    linked.link(linked.consented())
    with died(linked):
        assert linked.nasty.is_valid(linked.ask().password)


def test_who_takes_over_from_elsewhere_waits_until_the_turn_is_over(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = linked_sqlite
    monkeypatch.setattr(renewal, "is_gone", lambda owner: False)
    linked.link(linked.consented())
    with died(linked):
        from flowmate_airflow.auth.serving import view

        found = view(CONN_ID, wait=0.5)
        assert found is not None
        assert found.extra["flowmate"]["problem"]["kind"] == "pending"
        lease_over(linked)
        found = view(CONN_ID, wait=60)
        assert found is not None
        assert found.extra["flowmate"]["problem"]["kind"] == "needs_reauth"


def test_nothing_is_spent_in_a_turn_that_may_end_before_the_answer(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = linked_sqlite
    linked.link(linked.consented())
    clock, delays = [0.0], [20.0]
    owners: list[str] = []
    look = renewal._is_unchanged

    def slowly(attempt: Any) -> bool:
        clock[0] += delays.pop() if delays else 0  # as if the database had been locked
        owners.append(attempt.owner)
        return look(attempt)

    monkeypatch.setattr(renewal, "_is_unchanged", slowly)
    monkeypatch.setattr(renewal, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    found = renewal.renew_stored(CONN_ID)
    assert found is not None
    assert found.problem is None
    assert len(set(owners)) == 2  # the first turn was let go
    assert linked.nasty.refreshes == 1


@pytest.mark.parametrize("minutes", [-10, 10])
def test_a_clock_that_is_wrong_neither_lengthens_a_rest_nor_shortens_it(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch, minutes: int
) -> None:
    """The database's clock counts, whatever that of the machine says."""
    linked = linked_sqlite

    def moment(_: Any) -> datetime:
        return now() + timedelta(minutes=minutes)

    monkeypatch.setattr(renewals, "_moment", moment)
    monkeypatch.setattr(renewal, "PATIENCE_SECONDS", 0)
    linked.link(linked.consented())
    linked.nasty.next(bad.broken)
    assert told(linked.ask())["kind"] == "cooling"
    calls = len(linked.nasty.called("/token"))
    assert told(linked.ask())["kind"] == "cooling"
    assert len(linked.nasty.called("/token")) == calls
    with linked.store.write() as connection:
        over = moment(None) - timedelta(seconds=1)
        connection.execute(linked.store.tables.renewals.update().values(next_at=over))
    assert linked.nasty.is_valid(linked.ask().password)


def test_a_turn_is_kept_for_the_saving_when_the_provider_took_its_time(
    linked_sqlite: Linked, monkeypatch: pytest.MonkeyPatch
) -> None:
    linked = linked_sqlite
    linked.link(linked.consented())
    clock, until = [0.0], []
    real_ask, real_change = renewal._asked, renewal.change

    def slow(attempt: Any) -> Any:
        clock[0] += 29  # of the 45 that a turn has
        with linked.store.write() as connection:
            end = now() + timedelta(seconds=16)
            connection.execute(linked.store.tables.renewals.update().values(owned_until=end))
        return real_ask(attempt)

    def change(*arguments: Any) -> Any:
        row = renewals.status(linked.store, CONN_ID)
        assert row is not None
        until.append(row.owned_until)
        return real_change(*arguments)

    monkeypatch.setattr(renewal, "_asked", slow)
    monkeypatch.setattr(renewal, "change", change)
    monkeypatch.setattr(renewal, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    begun = now()
    assert renewal.renew_stored(CONN_ID) is not None
    assert until[0] is not None
    assert until[0] - begun > timedelta(seconds=40)


def test_a_death_is_recovered_from_where_the_provider_has_a_grace(linked: Linked) -> None:
    linked.nasty.rotate = False  # the old refresh token is good for a while
    linked.link(linked.consented())
    with died(linked):
        lease_over(linked)
        found = linked.ask()
        assert linked.nasty.is_valid(found.password)
        assert linked.grant.access_token == found.password
        row = renewals.status(linked.store, CONN_ID)
        assert row is not None
        assert (row.status, row.owner) == ("good", None)


def test_a_death_needs_a_login_where_it_has_none_and_says_why(linked: Linked) -> None:
    linked.link(linked.consented())
    with died(linked):
        lease_over(linked)
        problem = told(linked.ask())
        assert problem["kind"] == "needs_reauth"
        assert "used before" in problem["text"]
        assert renewal.LOST in problem["text"]
        assert renewal.LOST in (linked.stored.description or "")
        save_login(CONN_ID, Login(linked.consented(left=3000)), linked.store)
        assert linked.nasty.is_valid(linked.ask().password)


def test_a_death_after_the_commit_is_no_loss(linked: Linked) -> None:
    linked.link(linked.consented())
    linked.ask()
    table = linked.store.tables.renewals
    with linked.store.write() as connection:  # as if it had died before it let go
        moment = now() - timedelta(seconds=1)
        values = {"owner": "dead", "owned_until": moment, "spending": b"before", "spent_at": moment}
        connection.execute(table.update().values(**values))
    assert linked.nasty.is_valid(linked.ask().password)
    assert linked.nasty.refreshes == 1


def test_an_answer_that_was_lost_on_the_way_is_named(linked_sqlite: Linked) -> None:
    linked = linked_sqlite
    linked.link(linked.consented())
    linked.nasty.next(bad.cut_after)
    assert told(linked.ask())["kind"] == "cooling"
    table = linked.store.tables.renewals
    with linked.store.write() as connection:
        connection.execute(table.update().values(next_at=now() - timedelta(seconds=1)))
    problem = told(linked.ask())
    assert problem["kind"] == "needs_reauth"
    assert renewal.LOST_ANSWER in problem["text"]


def test_whoever_was_overtaken_changes_nothing(linked: Linked) -> None:
    first = renewals.take(linked.store, CONN_ID, "first", b"spending", 45)
    assert first.kind == "taken"
    assert renewals.take(linked.store, CONN_ID, "second", b"spending", 45).kind == "busy"
    lease_over(linked)
    second = renewals.take(linked.store, CONN_ID, "second", b"spending", 45)
    assert (second.kind, second.is_takeover) == ("taken", True)
    renewals.need_login(linked.store, CONN_ID, "first", "late")
    renewals.succeed(linked.store, CONN_ID, "first")
    row = renewals.status(linked.store, CONN_ID)
    assert row is not None
    assert (row.owner, row.status, row.renewals) == ("second", "good", 0)
    renewals.forget(linked.store, CONN_ID)
    assert renewals.status(linked.store, CONN_ID) is None


# --- one process


def test_few_may_wait_at_once() -> None:
    go, waiting = threading.Event(), threading.Semaphore(0)
    stored = Stored(CONN_ID)

    def renew(_: str, __: str | None) -> renewal.Fresh:
        waiting.release()
        assert go.wait(60)
        return renewal.Fresh(stored)

    renewer = Renewer(renew)
    with ThreadPoolExecutor(MAX_WAITING) as threads:
        waiters = [threads.submit(renewer.fresh, stored, 60) for _ in range(MAX_WAITING)]
        assert waiting.acquire(timeout=60)
        while renewer._waiting._value:  # until all of them wait; to take one and give it back would keep one out
            threading.Event().wait(0.001)
        found = renewer.fresh(stored, 60)
        assert found.problem is not None
        assert found.problem.kind == "pending"
        go.set()
        assert [waiter.result().problem for waiter in waiters] == [None] * MAX_WAITING
    assert not renewer._running


def test_a_provider_that_hangs_delays_no_other_connector() -> None:
    go = threading.Event()

    def of(connector: str, tenant: int) -> Stored:
        return Stored(f"flowmate.{connector}.t{tenant}", extra={MARK: {"connector": connector}})

    def renew(conn_id: str, _: str | None) -> renewal.Fresh:
        if conn_id.startswith("flowmate.dead."):
            assert go.wait(60)
        return renewal.Fresh(Stored(conn_id))

    renewer = Renewer(renew)
    for tenant in range(10 * MAX_RENEWING):
        assert renewer.fresh(of("dead", tenant), 0).problem is not None
    found = renewer.fresh(of("well", 1), 60)
    go.set()
    assert found.problem is None


def test_an_error_of_a_renewal_is_no_error_of_who_asks() -> None:
    def renew(_: str, __: str | None) -> renewal.Fresh:
        raise ZeroDivisionError("secret")

    found = Renewer(renew).fresh(Stored(CONN_ID), 60)
    assert found.problem is not None
    assert (found.problem.kind, "secret" in found.problem.text) == ("cooling", False)


def test_a_connection_that_is_gone_is_told() -> None:
    found = Renewer(lambda *_: None).fresh(Stored(CONN_ID), 60)
    assert found.problem is not None
    assert "removed" in found.problem.text
