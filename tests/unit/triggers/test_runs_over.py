"""Waiting until runs are over."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from airflow.sdk.execution_time import task_runner
from airflow.sdk.execution_time.comms import DRCount

from flowmate_airflow.triggers import looking, runs
from flowmate_airflow.triggers.runs import GROUP, RunsOverTrigger


class Supervisor:
    """Counts runs that are active; each question but the first finds some of them ended."""

    def __init__(self, active: list[str], *, trouble: int = 0) -> None:
        self.active = active
        self.trouble = trouble
        self.asked: list[list[str]] = []

    async def asend(self, message: Any) -> DRCount:
        assert message.states == ["queued", "running"]
        assert message.run_ids
        self.asked.append(message.run_ids)
        if self.trouble:
            self.trouble -= 1
            raise ConnectionError("geheim")
        count = len([each for each in message.run_ids if each in self.active])
        self.active = self.active[1:]
        return DRCount(count=count)


@pytest.fixture(autouse=True)
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in no time."""
    made: list[float] = []

    async def sleep(seconds: float) -> None:
        made.append(seconds)

    monkeypatch.setattr(runs.asyncio, "sleep", sleep)
    return made


def _wait(monkeypatch: pytest.MonkeyPatch, supervisor: Supervisor, run_ids: list[str]) -> list[Any]:
    monkeypatch.setattr(task_runner, "SUPERVISOR_COMMS", supervisor, raising=False)

    async def collect() -> list[Any]:
        return [event.payload async for event in RunsOverTrigger(dag_id="d", run_ids=run_ids).run()]

    return asyncio.run(collect())


def test_it_fires_once_when_all_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"r{number}" for number in range(GROUP + 10)]
    supervisor = Supervisor(names[:3])
    assert _wait(monkeypatch, supervisor, names) == [{"over": len(names)}]
    assert [len(asked) for asked in supervisor.asked] == [GROUP] * 4 + [10]


def test_a_task_rests_before_it_is_woken_by_runs_that_are_over(
    monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    assert _wait(monkeypatch, Supervisor([]), ["r"]) == [{"over": 1}]
    assert pauses == [looking.REST]


def test_trouble_is_no_end(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    supervisor = Supervisor(["r"], trouble=3)
    assert _wait(monkeypatch, supervisor, ["r"]) == [{"over": 1}]
    assert len(supervisor.asked) == 5
    assert "geheim" not in caplog.text


def test_it_survives_being_written_down() -> None:
    path, kwargs = RunsOverTrigger(dag_id="d", run_ids=["a", "b"]).serialize()
    assert path == "flowmate_airflow.triggers.runs.RunsOverTrigger"
    assert RunsOverTrigger(**kwargs).serialize() == (path, kwargs)
