"""What the receiver knows, and how old that may be."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from receiver_harness import FakeDirectory, github

from flowmate_airflow.webhooks.held import NotKnown
from flowmate_airflow.webhooks.known import Known, Tokens
from flowmate_airflow.webhooks.targets import Target


class Scene:
    """A directory, a clock, and what is known of them."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.directory = FakeDirectory(github())
        self.tokens: Tokens = {("orders", ""): ("first", "second")}
        self.registered: Tokens = {}
        self.pool = ThreadPoolExecutor(1)
        self.own_tasks: set[asyncio.Task[None]] = set()
        self.known = Known(
            self.directory, lambda: self.tokens, lambda: self.registered, self.pool, clock=lambda: self.now
        )

    def target(self) -> Target:
        found = self.known.target("orders")
        assert found is not None
        return found

    def reads(self) -> int:
        return self.directory.asked.count("secret")


def play(act: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene = Scene()
        await scene.known.first()

        async def acting() -> None:
            scene.own_tasks = asyncio.all_tasks()
            await act(scene)

        try:
            await asyncio.wait_for(acting(), 60)
        finally:
            scene.pool.shutdown()

    asyncio.run(run())


async def background(scene: Scene) -> None:
    """Wait until what was begun in the background is done."""
    await asyncio.gather(*asyncio.all_tasks() - scene.own_tasks)


def test_secrets_of_a_busy_endpoint_are_read_again_beside_its_requests() -> None:
    async def act(scene: Scene) -> None:
        target = scene.target()
        assert scene.known.secrets_now(target) is None
        assert await scene.known.secrets(target) == ("s3cret",)
        scene.directory.passwords["secret"] = ["new"]
        scene.now += 59
        assert scene.known.secrets_now(target) == ("s3cret",)
        assert scene.reads() == 1
        scene.now += 2
        assert scene.known.secrets_now(target) == ("s3cret",)
        await background(scene)
        assert scene.known.secrets_now(target) == ("new",)
        assert scene.reads() == 2

    play(act)


def test_secrets_that_nobody_has_asked_for_in_a_while_are_not_used() -> None:
    async def act(scene: Scene) -> None:
        target = scene.target()
        await scene.known.secrets(target)
        scene.directory.passwords["secret"] = ["new"]
        scene.now += 121
        assert scene.known.secrets_now(target) is None
        assert await scene.known.secrets(target) == ("new",)

    play(act)


def test_old_secrets_stay_as_long_as_nobody_can_be_asked() -> None:
    async def act(scene: Scene) -> None:
        target = scene.target()
        await scene.known.secrets(target)
        scene.directory.error = RuntimeError("the database is down")
        scene.now += 1000
        assert await scene.known.secrets(target) == ("s3cret",)
        assert await scene.known.reread(target)
        assert scene.known.target("orders") is target

    play(act)


def test_a_connection_that_airflow_cannot_find_as_its_database_is_down_is_not_gone() -> None:
    async def act(scene: Scene) -> None:
        target = scene.target()
        await scene.known.secrets(target)
        del scene.directory.passwords["secret"]
        endpoints = scene.directory.endpoints

        def down() -> dict[str, object]:
            raise RuntimeError("the database is down")

        scene.directory.endpoints = down  # type: ignore[method-assign, assignment]
        scene.now += 121
        assert await scene.known.secrets(target) == ("s3cret",)
        scene.directory.endpoints = endpoints  # type: ignore[method-assign]
        scene.now += 121
        assert await scene.known.secrets(target) == ()

    play(act)


def test_secrets_that_were_never_read_let_nobody_in() -> None:
    async def act(scene: Scene) -> None:
        scene.directory.error = RuntimeError("the database is down")
        with pytest.raises(NotKnown):
            await scene.known.secrets(scene.target())

    play(act)


def test_doubts_are_looked_into_now_and_then_only() -> None:
    async def act(scene: Scene) -> None:
        target = scene.target()
        await scene.known.secrets(target)
        assert await scene.known.reread(target)
        assert scene.reads() == 2
        assert not await scene.known.reread(target)
        scene.now += 2
        assert await scene.known.reread(None)  # endpoints and tokens
        assert scene.reads() == 2
        scene.now += 9
        assert await scene.known.reread(target)
        assert scene.reads() == 3

    play(act)


def test_a_token_must_be_one_of_the_endpoint() -> None:
    async def act(scene: Scene) -> None:
        known = scene.known
        assert known.has_token("orders", "", "first")
        assert known.has_token("orders", "", "second")
        assert not known.has_token("orders", "", "third")
        assert not known.has_token("orders", "", "")
        assert not known.has_token("orders", "tenant", "first")
        assert not known.has_token("others", "", "first")
        assert not known.has_token("others", "", "")
        assert not known.has_token("orders", "", "fürst")

    play(act)
