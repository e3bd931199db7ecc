"""Sessions and pairs whose components, stores and timing are at their worst."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from played import Played, manifest, message
from test_session import World, given, pair, store, world  # noqa: F401

from flowmate_airflow.auth.credentials import Account
from flowmate_airflow.protocols.events import ProtocolError, StateEvent
from flowmate_airflow.runtimes.base import Job, Running
from flowmate_airflow.steps.calls import StepCall, StepRun
from flowmate_airflow.steps.errors import TransientFailure
from flowmate_airflow.steps.sinks import PIPE_BYTES, Pipe
from flowmate_airflow.store import states
from flowmate_airflow.store.store import open_store

DEADLINE = 60.0


def ends_at_once(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
    next(lines)
    yield 0


def test_a_pair_whose_second_ends_well_but_too_early_keeps_no_state(world: World) -> None:  # noqa: F811
    second_ended = threading.Event()

    class Second(Played):
        @contextmanager
        def start(self, job: Job, feed: Iterable[bytes]) -> Iterator[Running]:
            with super().start(job, feed) as running:
                yield running
            second_ended.set()

    def silent(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield message(1)
        yield {"type": "STATE", "state": 1}
        assert second_ended.wait(DEADLINE)
        yield {"type": "LOG", "message": "it says nothing that the second would get"}

    with pytest.raises(TransientFailure, match="before it had read everything"):
        pair(world, Played(silent), Second(ends_at_once)).run(world.writer())
    assert not states.commit_state(open_store(), states.Place("f", "first"), "r1")


def test_a_pair_ends_a_first_that_is_still_being_started(world: World) -> None:  # noqa: F811
    second_ended = threading.Event()
    stopped = threading.Event()

    class Slow(Played):
        @contextmanager
        def start(self, job: Job, feed: Iterable[bytes]) -> Iterator[Running]:
            assert second_ended.wait(DEADLINE)
            with super().start(job, feed) as running:
                ask = running.stop
                running.stop = lambda: (ask(), stopped.set())[0]  # type: ignore[method-assign]
                yield running

    def waits(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield b"started"
        assert stopped.wait(DEADLINE)
        yield b"and goes on"

    def fails(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield 1

    joined = pair(world, Slow(waits), Played(fails))
    first = joined.__dict__["_first"]
    first_prepare = first.prepare

    def prepare(*arguments: Any) -> Any:
        run = first_prepare(*arguments)
        ask = run.stop
        run.stop = lambda: (ask(), second_ended.set())[0]
        return run

    first.prepare = prepare
    with pytest.raises(TransientFailure, match="exit code 1"):
        joined.run(world.writer())
    assert stopped.is_set()


def test_a_pipe_that_is_left_lets_its_reader_go() -> None:
    pipe = Pipe()
    reader = threading.Thread(target=lambda: list(pipe.items()), daemon=True)
    reader.start()
    pipe.abandon()
    reader.join(DEADLINE)
    assert not reader.is_alive()


def test_states_fill_a_pipe_as_messages_do() -> None:
    pipe = Pipe()
    sent: list[int] = []

    def send() -> None:
        for number in range(100):
            pipe.state(StateEvent("x" * (PIPE_BYTES // 4)))
            sent.append(number)
        pipe.complete()

    writer = threading.Thread(target=send, daemon=True)
    writer.start()
    most = 0
    for taken, _ in enumerate(pipe.items()):
        most = max(most, len(sent) - taken)
    writer.join(DEADLINE)
    assert len(sent) == 100
    assert most < 20


def test_a_state_that_no_encoder_takes_does_not_pass_a_pipe() -> None:
    deep: Any = 1
    for _ in range(600):
        deep = [deep]
    with pytest.raises(ProtocolError, match="nested too deep"):
        Pipe().state(StateEvent(deep))


def test_a_component_that_ends_well_before_it_has_read_everything_has_failed(world: World) -> None:  # noqa: F811
    def exits(lines: Iterator[dict[str, Any]]) -> Iterator[Any]:
        next(lines)
        yield message(next(lines)["message"]["data"])
        yield 0

    with pytest.raises(TransientFailure, match="had not read all of its input"):
        world.run(Played(exits), given(*range(10)))


def test_a_value_that_a_component_wrote_back_does_not_win_over_the_flow() -> None:
    call = StepCall(
        manifest(protocol="singer", triggers={"read": {"title": "Read"}}, actions={}),
        "acme/read",
        StepRun("f", "r", "s"),
        {"start_date": "2026-02-01", "credentials": {"kind": "oauth"}},
        account=Account("c", password="first-key"),
        changed={"start_date": "2020-01-01", "credentials.kind": "x", "credentials.token": "new", "key": "next-key"},
    )
    assert call.request().credentials == {"credentials.token": "new", "key": "next-key"}
