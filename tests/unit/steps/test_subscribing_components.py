"""Subscriptions with components that are played: those of elastic.io, and those that answer what they should not."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from hooks_provider import Provider
from played import Played, manifest
from subscription_harness import World

from flowmate_airflow.store.store import close_stores
from flowmate_airflow.store.subscriptions import ACTIVE, FAILED, MADE, find


class Hub(Played):
    """A component and its provider in one: it counts what it makes.

    :ivar lines: what it says before it ends, with the exit code at the end, instead of what it should
    """

    def __init__(self) -> None:
        super().__init__(self._play)
        self.alive: list[int] = []
        self.made = 0
        self.lines: list[Any] | None = None
        self.credentials: list[Any] = []

    @property
    def verbs(self) -> list[str]:
        return [next(word for word in job.arguments if word.endswith(("scribe", "up", "down"))) for job in self.jobs]

    def _play(self, lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        (start,) = lines
        self.credentials.append(start["credentials"])
        if self.lines is not None:
            yield from self.lines
        elif self.verbs[-1] in ("subscribe", "startup"):
            self.made += 1
            self.alive.append(self.made)
            kind = {"subscribe": ("SUBSCRIPTION", "subscription"), "startup": ("STARTUP", "data")}[self.verbs[-1]]
            yield {"type": kind[0], kind[1]: {"number": self.made}}
        else:
            told = start["state"] if self.verbs[-1] == "shutdown" else start["context"]["webhook"]["subscription"]
            self.alive.remove(told["number"])


@pytest.fixture
def hub() -> Hub:
    return Hub()


@pytest.fixture
def world(tmp_path: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("AIRFLOW__FLOWMATE__STORE_URL", f"sqlite:///{tmp_path}/store.db")
    monkeypatch.setenv("AIRFLOW__CORE__FERNET_KEY", Fernet.generate_key().decode())
    with Provider() as provider:
        made = World(tmp_path, provider, runtime=hub)
        component(made)
        yield made
    close_stores()


def component(world: World, **parts: Any) -> None:
    """Let the connector `shop` be of another kind."""
    trigger = {"title": "Orders", "webhook": {"scheme": "github"}}
    auth = {"token": {"required": {"key": "password"}}}
    world.manifests["shop"] = manifest(name="shop", triggers={"order_created": trigger}, actions={}, auth=auth, **parts)


def test_an_elastic_io_component_is_started_up_and_shut_down(world: World, hub: Hub) -> None:
    component(world, node={})
    world.sync(world.wanted())
    assert (hub.verbs, hub.alive) == (["startup"], [1])
    world.sync(world.wanted(config={"topic": "new"}))
    assert (hub.verbs, hub.alive) == (["startup", "startup", "shutdown"], [2])
    world.sync()
    assert hub.alive == []


def test_it_is_not_started_up_twice_without_a_shutdown(world: World, hub: Hub) -> None:
    component(world, node={})
    world.sync(world.wanted())
    hub.lines = [{"type": "ERROR", "message": "down", "failure_type": "transient"}, 75]
    world.sync()
    hub.lines = None
    world.sync(world.wanted())
    assert (hub.verbs[2:], hub.alive) == (["startup", "shutdown"], [2])


def test_nobody_asks_it_to_shut_down_what_is_not_known(world: World, hub: Hub) -> None:
    component(world, node={})
    hub.lines = [75]
    world.sync(world.wanted())
    assert world.sync().ended == ["orders created"]
    assert hub.verbs == ["startup"]
    assert "orders created: nobody knows whether shop/order_created had subscribed" in world.logged


def test_a_trigger_that_registers_nothing_is_told(world: World, hub: Hub) -> None:
    component(world, node={})
    hub.lines = [{"type": "STARTUP", "data": None, "missing": True}]
    assert "has no startup()" in world.sync(world.wanted()).failed["orders created"]
    assert world.row().status == FAILED


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([0], "answered no subscription"),
        ([3], "it ended with exit code 3 and no subscription"),
        ([{"type": "SUBSCRIPTION"}], "has no key `subscription`"),
        ([{"type": "SUBSCRIPTION", "subscription": "x" * 70_000}], "70,002 bytes; 65,536 are"),
        ([{"type": "SUBSCRIPTION", "subscription": 1, "expires_at": "soon"}], "no ISO time"),
        ([b'{"type":"SUBSCRIPTION","subscr'], "broken JSON"),
        ([b'{"type":"SUBSCRIPTION","subscription":' + b"[" * 2000 + b"]" * 2000 + b"}"], "shop"),
    ],
)
def test_an_answer_that_is_none_fails(world: World, hub: Hub, lines: list[Any], told: str) -> None:
    hub.lines = lines
    assert told in world.sync(world.wanted()).failed["orders created"]
    assert world.row().status == FAILED
    hub.lines = []
    assert world.sync().ended == ["orders created"]
    assert hub.verbs == ["subscribe", "unsubscribe"]  # it may have registered something before it broke


def test_a_failure_after_the_answer_keeps_the_answer(world: World, hub: Hub) -> None:
    error = {"type": "ERROR", "message": "the secret is whsec_given", "failure_type": "transient"}
    hub.lines = [{"type": "SUBSCRIPTION", "subscription": {"number": 9}, "secret": "whsec_given"}, error, 75]
    assert world.sync(world.wanted()).failed["orders created"] == "shop could not subscribe: the secret is ***"
    current = world.row().current
    assert current is not None
    assert (current.state, current.subscription, current.secret) == (MADE, {"number": 9}, "whsec_given")
    hub.lines, hub.alive = None, [9]
    assert world.sync().ended == ["orders created"]


def test_the_last_answer_counts(world: World, hub: Hub) -> None:
    hub.lines = [{"type": "SUBSCRIPTION", "subscription": number} for number in (1, 2)]
    world.sync(world.wanted())
    assert world.row().current.subscription == 2  # type: ignore[union-attr]


def test_what_has_ended_when_it_is_made_is_renewed_each_time(world: World, hub: Hub) -> None:
    hub.lines = [{"type": "SUBSCRIPTION", "subscription": 1, "expires_at": "2001-01-01T00:00:00Z"}]
    world.sync(world.wanted())
    assert (world.row().status, world.row().next_at) == (ACTIVE, world.moment)
    world.sync(world.wanted())
    assert hub.verbs == ["subscribe", "subscribe"]


def test_after_renewals_that_failed_it_is_asked_as_if_for_the_first_time(world: World, hub: Hub) -> None:
    ends = (world.moment + timedelta(days=30)).isoformat()
    hub.lines = [{"type": "SUBSCRIPTION", "subscription": {"number": 1}, "expires_at": ends}]
    world.sync(world.wanted())
    world.later(days=21)
    hub.lines = [{"type": "ERROR", "message": "no such hook", "failure_type": "config"}, 78]
    for _ in range(3):
        world.sync(world.wanted())
        world.later(hours=1)
    hub.lines, hub.alive, hub.made = None, [1], 1
    assert world.sync(world.wanted()).subscribed == ["orders created"]
    told = [line["context"]["webhook"]["subscription"] for line in hub.fed if line["type"] == "CONFIG"]
    assert told == [None, *[{"number": 1}] * 3, None, {"number": 1}]  # the last one takes the old one back
    assert (hub.alive, world.row().earlier) == ([2], ())


def test_credentials_that_it_changes_are_kept(world: World, hub: Hub) -> None:
    component(world, node={})
    hub.lines = [{"type": "CREDENTIALS", "credentials": {"key": "rotated"}}, {"type": "STARTUP", "data": 1}]
    world.sync(world.wanted())
    hub.lines = []
    world.sync()
    assert [given["key"] for given in hub.credentials] == ["right-token", "rotated"]
    assert "rotated" in world.hidden
    assert find(world.store)[0].status == "ended"
