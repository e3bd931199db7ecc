"""The one thread that writes deliveries: groups, bounds, and a store that fails."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from flowmate_airflow.store.errors import StoreError
from flowmate_airflow.webhooks import writer as module
from flowmate_airflow.webhooks.writer import StoreDown, Writer


class Delivery:
    """Of a delivery the writer looks at its payload only."""

    def __init__(self, number: int, size: int = 10) -> None:
        self.number = number
        self.payload = b"x" * size


class FakeStore:
    """Keeps what it is given, group by group; it can be held up and can fail."""

    def __init__(self) -> None:
        self.groups: list[list[int]] = []
        self.calls = 0
        self.error: Callable[[Sequence[Any]], Exception | None] = lambda _: None
        self.entered = threading.Event()
        self.may_go_on = threading.Event()
        self.may_go_on.set()

    def insert(self, deliveries: Sequence[Any]) -> list[Any]:
        self.calls += 1
        self.entered.set()
        assert self.may_go_on.wait(60)
        error = self.error(deliveries)
        if error:
            raise error
        self.groups.append([each.number for each in deliveries])
        return [each.number for each in deliveries]

    @property
    def kept(self) -> list[int]:
        return [number for group in self.groups for number in group]


def play(scene: Callable[[Writer, FakeStore], Any], **options: Any) -> FakeStore:
    store = FakeStore()

    async def run() -> None:
        writer = Writer(store.insert, **options)
        try:
            await asyncio.wait_for(scene(writer, store), 60)
        finally:
            store.may_go_on.set()
            await writer.close()

    asyncio.run(run())
    return store


async def hold(writer: Writer, store: FakeStore, number: int = -1) -> asyncio.Task[Any]:
    """Begin a commit that does not end before the store may go on."""
    store.may_go_on.clear()
    store.entered.clear()
    task = asyncio.ensure_future(writer.put([Delivery(number)]))
    assert await asyncio.get_running_loop().run_in_executor(None, store.entered.wait, 60)
    return task


def put_all(writer: Writer, deliveries: Sequence[Delivery]) -> list[asyncio.Task[Any]]:
    return [asyncio.ensure_future(writer.put([each])) for each in deliveries]


def test_what_waits_is_committed_together_and_each_gets_its_own_answer() -> None:
    async def scene(writer: Writer, store: FakeStore) -> None:
        first = await hold(writer, store)
        waiting = put_all(writer, [Delivery(number) for number in range(1200)])
        several = asyncio.ensure_future(writer.put([Delivery(5000), Delivery(5001)]))
        await asyncio.sleep(0)
        assert not any(task.done() for task in (first, *waiting))
        store.may_go_on.set()
        assert await asyncio.gather(*waiting) == [[number] for number in range(1200)]
        assert await several == [5000, 5001]

    store = play(scene)
    assert [len(group) for group in store.groups] == [1, 500, 500, 202]


def test_a_group_has_a_bound_in_bytes() -> None:
    async def scene(writer: Writer, store: FakeStore) -> None:
        await hold(writer, store)
        waiting = put_all(writer, [Delivery(number, 3 * 1024 * 1024) for number in range(6)])
        await asyncio.sleep(0)
        store.may_go_on.set()
        await asyncio.gather(*waiting)

    assert [len(group) for group in play(scene).groups] == [1, 3, 3]


def test_nothing_is_acknowledged_before_the_commit_has_returned() -> None:
    async def scene(writer: Writer, store: FakeStore) -> None:
        task = await hold(writer, store)
        done, _ = await asyncio.wait([task], timeout=0.05)
        assert not done
        assert not store.groups
        store.may_go_on.set()
        await task
        assert store.groups == [[-1]]

    play(scene)


def test_a_full_queue_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING", 10)

    async def scene(writer: Writer, store: FakeStore) -> None:
        await hold(writer, store)
        waiting = put_all(writer, [Delivery(number) for number in range(20)])
        store_down = await asyncio.wait_for(asyncio.gather(*waiting[9:], return_exceptions=True), 60)
        assert all(isinstance(each, StoreDown) and each.retry_after > 0 for each in store_down)
        store.may_go_on.set()
        await asyncio.gather(*waiting[:9])
        assert await writer.put([Delivery(99)]) == [99]

    assert play(scene).kept == [-1, *range(9), 99]


def test_a_full_queue_is_one_of_many_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_WAITING_BYTES", 1000)

    async def scene(writer: Writer, store: FakeStore) -> None:
        await hold(writer, store)
        waiting = put_all(writer, [Delivery(0, 990), Delivery(1, 10)])
        with pytest.raises(StoreDown):
            await waiting[1]

    play(scene)


def test_a_store_that_is_down_is_left_alone_for_a_while_and_then_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [1000.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: clock[0])

    async def scene(writer: Writer, store: FakeStore) -> None:
        store.error = lambda _: StoreError("no answer", transient=True)
        await hold(writer, store)
        waiting = put_all(writer, [Delivery(number) for number in range(700)])
        await asyncio.sleep(0)
        store.may_go_on.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(each, StoreDown) for each in answers)
        assert store.calls == 1
        with pytest.raises(StoreDown) as caught:
            await writer.put([Delivery(1)])
        assert 0 < caught.value.retry_after <= module.FIRST_PAUSE
        assert store.calls == 1

        clock[0] += module.FIRST_PAUSE
        with pytest.raises(StoreDown):
            await writer.put([Delivery(2)])
        assert store.calls == 2
        clock[0] += module.FIRST_PAUSE
        with pytest.raises(StoreDown):  # the pause has grown
            await writer.put([Delivery(3)])
        assert store.calls == 2

        clock[0] += module.LONGEST_PAUSE
        store.error = lambda _: None
        assert await writer.put([Delivery(4)]) == [4]
        assert await writer.put([Delivery(5)]) == [5]

    assert play(scene).kept == [4, 5]


@pytest.mark.parametrize("error", [StoreError("it cannot be stored"), RuntimeError("secret")])
def test_a_delivery_that_cannot_be_stored_does_not_harm_the_others(error: Exception) -> None:
    async def scene(writer: Writer, store: FakeStore) -> None:
        store.error = lambda deliveries: error if any(each.number == 3 for each in deliveries) else None
        await hold(writer, store)
        waiting = put_all(writer, [Delivery(number) for number in range(6)])
        await asyncio.sleep(0)
        store.may_go_on.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [answer for answer in answers if isinstance(answer, list)] == [[0], [1], [2], [4], [5]]
        assert isinstance(answers[3], StoreDown)
        assert await writer.put([Delivery(7)]) == [7]

    play(scene)


def test_one_that_cannot_be_stored_costs_a_few_commits_and_a_few_lines(caplog: pytest.LogCaptureFixture) -> None:
    async def scene(writer: Writer, store: FakeStore) -> None:
        store.error = lambda deliveries: StoreError("no") if any(each.number == 70 for each in deliveries) else None
        await hold(writer, store)
        waiting = put_all(writer, [Delivery(number) for number in range(128)])
        await asyncio.sleep(0)
        store.may_go_on.set()
        answers = await asyncio.gather(*waiting, return_exceptions=True)
        assert [number for number, answer in enumerate(answers) if answer != [number]] == [70]
        assert store.calls <= 1 + 1 + 2 * 7
        for _ in range(100):
            with pytest.raises(StoreDown, match="no") as caught:
                await writer.put([Delivery(70)])
            assert caught.value.is_theirs

    play(scene)
    assert 1 <= len(caplog.records) <= 25


def test_a_commit_that_hangs_does_not_hold_its_requests_for_ever() -> None:
    async def scene(writer: Writer, store: FakeStore) -> None:
        store.may_go_on.clear()
        while not store.entered.is_set():  # a busy machine may not have begun to commit before it is given up
            with pytest.raises(StoreDown):
                await writer.put([Delivery(-1)])
        with pytest.raises(StoreDown):
            await writer.put([Delivery(2)])
        store.may_go_on.set()

    # What was given up before the commit began is not stored; its sender will send it again.
    assert play(scene, patience=0.05).kept == [-1]


def test_ending_waits_for_what_was_handed_over() -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def scene(writer: Writer, store: FakeStore) -> None:
        tasks.append(await hold(writer, store))
        tasks.extend(put_all(writer, [Delivery(number) for number in range(700)]))
        await asyncio.sleep(0)
        ending = asyncio.ensure_future(writer.close())
        await asyncio.sleep(0)
        with pytest.raises(StoreDown):
            await writer.put([Delivery(9999)])
        store.may_go_on.set()
        await ending
        await asyncio.gather(*tasks)

    assert play(scene).kept == [-1, *range(700)]
    assert len(tasks) == 701


def test_a_writer_that_was_never_used_ends() -> None:
    async def scene(writer: Writer, store: FakeStore) -> None:
        pass

    assert play(scene).calls == 0
