"""Buckets of tokens."""

from __future__ import annotations

import pytest

from flowmate_airflow.webhooks import limits
from flowmate_airflow.webhooks.limits import Buckets


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_bucket_is_full_at_first_and_fills_up_again() -> None:
    clock = Clock()
    buckets = Buckets(clock)
    assert [buckets.take("a", 3) for _ in range(3)] == [0.0] * 3
    assert buckets.take("a", 3) == pytest.approx(20)
    assert buckets.take("b", 3) == 0.0
    clock.now += 19.9
    assert buckets.take("a", 3) == pytest.approx(0.1)
    clock.now += 0.2
    assert buckets.take("a", 3) == 0.0
    assert buckets.take("a", 3) > 0
    clock.now += 3600
    assert [buckets.take("a", 3) for _ in range(3)] == [0.0] * 3
    assert buckets.take("a", 3) > 0


def test_a_rate_of_zero_lets_nothing_in() -> None:
    assert Buckets(Clock()).take("a", 0) > 0


def test_however_many_there_are_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BUCKETS", 10)
    buckets = Buckets(Clock())
    assert buckets.take("flood", 1) == 0.0
    for number in range(100):
        assert buckets.take(number, 5) == 0.0
        assert buckets.take("flood", 1) > 0  # it is used all the time, so that it is not the one that is forgotten
        assert len(buckets._buckets) <= 10
