"""Subscriptions with a provider on the loopback, through a connector that runs as a process."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from hooks_provider import Provider
from subscription_harness import URL, World

from flowmate_airflow.steps import registrar
from flowmate_airflow.steps.subscriptionrules import MAX_ENDING
from flowmate_airflow.store.store import close_stores
from flowmate_airflow.store.subscriptions import ACTIVE, ENDED, FAILED, MADE, PENDING, save, secrets_for


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as started:
        yield started


@pytest.fixture
def world(tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    yield World(tmp_path, provider)
    close_stores()


def test_a_flow_that_is_on_is_registered_once(world: World, provider: Provider) -> None:
    assert world.sync(world.wanted(config={"topic": "orders"})).subscribed == ["orders created"]
    assert world.sync(world.wanted(config={"topic": "orders"})).unchanged == 1
    (hook,) = provider.hooks.values()
    assert (hook["url"], hook["topic"]) == (URL, "orders")
    row = world.row()
    assert (row.status, row.error, row.next_at) == (ACTIVE, None, None)
    assert row.current is not None
    assert row.current.subscription == {"id": 1}
    assert hook["name"] == row.current.id


def test_a_flow_that_is_off_or_gone_is_taken_back(world: World, provider: Provider) -> None:
    world.sync(world.wanted(), world.wanted("bills"))
    assert world.sync(world.wanted("bills")).ended == ["orders created"]
    assert provider.urls == [URL.replace("orders", "bills")]
    assert world.row().status == ENDED
    calls = len(provider.calls)
    assert world.sync(world.wanted("bills")).ended == []
    assert len(provider.calls) == calls


def test_it_comes_back_when_the_flow_is_on_again(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    world.sync()
    assert world.sync(world.wanted()).subscribed == ["orders created"]
    assert (provider.urls, list(provider.hooks)) == ([URL], [2])


def test_what_may_be_broken_just_now_is_left_alone(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    world.broken.add("orders")
    assert world.sync().ended == []
    assert provider.urls == [URL]


@pytest.mark.parametrize(
    "change", ["config", "url", "function version", "secret of the webhook", "connection"], ids=lambda name: name
)
def test_a_change_is_registered_anew_before_the_old_one_is_taken_back(
    world: World, provider: Provider, change: str
) -> None:
    world.sync(world.wanted())
    provider.calls.clear()
    world.accounts["other"] = replace(world.accounts["shop"], conn_id="other")
    changed = {
        "config": world.wanted(config={"topic": "new"}),
        "url": world.wanted(url=f"{URL}/new-token"),
        "function version": world.wanted(version="1.1.0"),
        "secret of the webhook": world.wanted(secret="rotated"),
        "connection": world.wanted(connection="other"),
    }[change]
    assert world.sync(changed).subscribed == ["orders created"]
    assert provider.calls == ["GET", "POST", "DELETE"]
    assert list(provider.hooks) == [2]
    assert world.row().earlier == ()


def test_an_old_one_that_cannot_be_taken_back_is_tried_again(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    changed = world.wanted(config={"topic": "new"})
    provider.before = lambda method: 500 if method == "DELETE" else None
    report = world.sync(changed)
    assert (
        "an earlier subscription could not be taken back: shop could not unsubscribe" in report.failed["orders created"]
    )
    assert (world.row().status, len(provider.hooks)) == (ACTIVE, 2)
    provider.before = lambda method: None
    assert world.sync(changed).unchanged == 1  # not yet
    world.later(minutes=2)
    world.sync(changed)
    assert (list(provider.hooks), world.row().error, world.row().next_at) == ([2], None, None)


def test_a_change_that_is_undone_in_between_leaves_one(world: World, provider: Provider) -> None:
    first, second = world.wanted(), world.wanted(config={"topic": "new"})
    provider.before = lambda method: 500 if method == "DELETE" else None
    world.sync(first)
    world.sync(second)
    provider.before = lambda method: None
    assert world.sync(first).renewed == ["orders created"]
    assert list(provider.hooks) == [1]
    assert world.row().current.subscription == {"id": 1}  # type: ignore[union-attr]


def test_an_update_in_place_is_not_taken_back(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    original = provider.answer

    def keeps_one(method: str, path: str, body: object, authorised: bool) -> tuple[int, object]:
        return (
            original("PATCH", "/hooks/1", body, authorised)
            if method == "POST"
            else original(method, path, body, authorised)
        )

    provider.answer = keeps_one  # type: ignore[method-assign, assignment]
    assert world.sync(world.wanted(config={"topic": "new"})).subscribed == ["orders created"]
    assert (list(provider.hooks), world.row().earlier) == ([1], ())


def test_it_is_renewed_when_two_thirds_of_its_life_are_over(world: World, provider: Provider) -> None:
    provider.life = timedelta(days=3)
    world.sync(world.wanted())
    assert world.row().next_at == world.moment + timedelta(days=2)
    world.later(days=2, minutes=-1)
    assert world.sync(world.wanted()).unchanged == 1
    world.later(minutes=2)
    assert world.sync(world.wanted()).renewed == ["orders created"]
    assert (provider.made, world.row().expires_at) == (1, world.moment + timedelta(days=3))


@pytest.mark.parametrize("when", ["alive", "over"])
def test_what_the_provider_has_lost_is_made_anew(world: World, provider: Provider, when: str) -> None:
    provider.life = timedelta(days=3)
    world.sync(world.wanted())
    provider.hooks.clear()
    world.later(days=2.5 if when == "alive" else 4)
    world.sync(world.wanted())
    assert (list(provider.hooks), world.row().status) == ([2], ACTIVE)


def test_a_provider_that_is_down_is_asked_less_and_less_often(world: World, provider: Provider) -> None:
    provider.before = lambda method: 500
    waits = []
    for _ in range(7):
        assert "the shop answers 500" in world.sync(world.wanted()).failed["orders created"]
        row = world.row()
        assert row.next_at is not None
        waits.append((row.next_at - world.moment).seconds // 60)
        assert world.sync(world.wanted()).unchanged == 1
        world.moment = row.next_at
    assert waits == [1, 2, 4, 8, 16, 30, 30]
    provider.before = lambda method: None
    assert world.sync(world.wanted()).subscribed == ["orders created"]
    assert (world.row().attempts, world.row().error) == (0, None)


def test_the_answer_that_got_lost_leaves_no_second_one(world: World, provider: Provider) -> None:
    def drop(method: str) -> None:
        if method == "POST":
            raise ConnectionAbortedError  # the provider has it, and nobody hears

    provider.after = drop
    assert "cannot be reached" in world.sync(world.wanted()).failed["orders created"]
    assert provider.urls == [URL]
    provider.after = lambda method: None
    world.later(minutes=5)
    world.sync(world.wanted())
    assert (provider.made, world.row().status) == (1, ACTIVE)


def test_it_is_taken_back_when_nobody_heard_that_it_was_made(world: World, provider: Provider) -> None:
    def drop(method: str) -> None:
        if method == "POST":
            raise ConnectionAbortedError

    provider.after = drop
    world.sync(world.wanted())
    provider.after = lambda method: None
    assert world.sync().ended == ["orders created"]
    assert provider.urls == []


def test_a_worker_that_was_killed_leaves_what_the_next_one_finishes(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    row = world.row()
    assert row.current is not None
    killed = replace(row.current, state="asked", subscription=None)
    save(world.store, replace(row, status=PENDING, current=killed))
    assert world.sync(world.wanted()).subscribed == ["orders created"]
    assert (provider.made, world.row().current.state) == (1, MADE)  # type: ignore[union-attr]


@pytest.mark.parametrize("status", [401, 422])
def test_what_must_be_changed_first_is_told_and_tried_again_in_half_an_hour(
    world: World, provider: Provider, status: int
) -> None:
    provider.before = lambda method: status
    failed = world.sync(world.wanted()).failed
    assert f"the shop answers {status}" in failed["orders created"]
    row = world.row()
    assert (row.status, row.error) == (FAILED, failed["orders created"])
    assert row.next_at == world.moment + timedelta(minutes=30)
    provider.before = lambda method: None
    assert world.sync(world.wanted()).unchanged == 1
    assert world.sync(world.wanted(), force=True).subscribed == ["orders created"]


def test_what_was_refused_needs_no_taking_back(world: World, provider: Provider) -> None:
    world.deny()
    world.sync(world.wanted())
    provider.calls.clear()
    assert world.sync().ended == ["orders created"]
    assert provider.calls == []


def test_a_change_that_is_refused_leaves_the_old_one(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    provider.before = lambda method: 422 if method == "POST" else None
    world.sync(world.wanted(config={"topic": "wrong"}))
    assert (list(provider.hooks), world.row().status) == ([1], FAILED)
    provider.before = lambda method: None
    assert world.sync().ended == ["orders created"]
    assert provider.urls == []


def test_one_that_fails_stops_no_other(world: World, provider: Provider) -> None:
    world.accounts["wrong"] = replace(world.accounts["shop"], password="wrong-token")
    report = world.sync(
        world.wanted("a", connection="wrong"),
        world.wanted("b", connection="nowhere"),
        world.wanted("c", use="shop/nothing"),
        world.wanted("d", problem="there is no public URL"),
        world.wanted("e", config={"server": 5}),
        world.wanted("f"),
    )
    assert report.subscribed == ["f created"]
    assert sorted(report.failed) == [f"{name} created" for name in "abcde"]
    assert report.failed["d created"] == "there is no public URL"
    assert provider.urls == [URL.replace("orders", "f")]


def test_a_problem_of_the_flow_asks_nobody_and_ends_nothing(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    provider.calls.clear()
    for _ in range(2):
        world.sync(world.wanted(problem="no public URL"))
        assert (world.row().status, world.row().error) == (FAILED, "no public URL")
    assert world.sync(world.wanted()).unchanged == 1
    assert (world.row().status, world.row().error, provider.calls) == (ACTIVE, None, [])


def test_taking_back_goes_on_until_the_provider_answers(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    provider.before = lambda method: 503
    assert "could not be taken back: shop could not unsubscribe" in world.sync().failed["orders created"]
    assert world.sync().unchanged == 1
    world.later(minutes=2)
    provider.before = lambda method: None
    assert world.sync().ended == ["orders created"]
    assert provider.urls == []


def test_a_flow_that_is_on_again_before_it_was_taken_back_has_one(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    provider.before = lambda method: 503
    world.sync()
    provider.before = lambda method: None
    assert world.sync(world.wanted()).renewed == ["orders created"]
    assert (list(provider.hooks), world.row().status, world.row().ending) == ([1], ACTIVE, False)


def test_taking_back_is_given_up_after_a_week(world: World, provider: Provider) -> None:
    world.sync(world.wanted())
    save(world.store, replace(world.row(), ending=True, status=FAILED, attempts=MAX_ENDING - 1, next_at=world.moment))
    del world.manifests["shop"]
    report = world.sync()
    assert (
        "given up, remove it in the other system by hand: there is no connector `shop`"
        in report.failed["orders created"]
    )
    assert world.row().status == ENDED


def test_the_providers_own_secret_is_learned_and_kept_until_the_end(world: World, provider: Provider) -> None:
    provider.own_secret = "whsec_of_the_provider"
    world.sync(world.wanted())
    assert secrets_for(world.store) == {("orders", ""): ("whsec_of_the_provider",)}
    assert "whsec_of_the_provider" in world.hidden
    world.sync()
    assert secrets_for(world.store) == {}


def test_a_secret_is_made_where_no_connection_has_one(world: World, provider: Provider) -> None:
    made = iter(["made-1", "made-2"])
    wanted = world.wanted(new_secret=lambda: next(made))
    world.sync(wanted)
    assert [hook["secret"] for hook in provider.hooks.values()] == ["made-1"]
    assert secrets_for(world.store) == {("orders", ""): ("made-1",)}
    provider.before = lambda method: 500 if method == "DELETE" else None
    world.sync(replace(wanted, config={**wanted.config, "topic": "new"}))
    assert secrets_for(world.store) == {("orders", ""): ("made-2", "made-1")}  # both send events now


def test_the_secret_of_a_connection_is_told_and_not_kept(world: World, provider: Provider) -> None:
    world.sync(world.wanted(secret="of the connection", new_secret=lambda: "made"))
    assert [hook["secret"] for hook in provider.hooks.values()] == ["of the connection"]
    assert secrets_for(world.store) == {}


def test_no_secret_is_in_what_is_told(world: World, provider: Provider) -> None:
    provider.before = lambda method: 422 if method == "POST" else None  # it repeats all that it was asked
    failed = world.sync(world.wanted(url=f"{URL}/token-of-the-url", secret="signing-secret")).failed["orders created"]
    assert f'"url": "{URL}/***"' in failed
    assert world.row().error == failed
    for secret in ("token-of-the-url", "signing-secret", "right-token"):
        assert secret not in failed
        assert secret in world.hidden


def test_a_connector_that_never_answers_is_stopped(
    world: World, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registrar, "SECONDS", 0.5)
    go_on = threading.Event()

    def wait(method: str) -> None:
        go_on.wait()

    provider.after = wait
    try:
        report = world.sync(world.wanted())
    finally:
        go_on.set()
    assert "did not answer `subscribe` within 0.5 seconds" in report.failed["orders created"]
