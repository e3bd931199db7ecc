"""Deliveries as messages, and which of them belongs to which message that waits."""

from __future__ import annotations

from typing import Any

import pytest

from flowmate_airflow.steps.events import Matcher, answered


def event(number: int, **data: Any) -> dict[str, Any]:
    return {"id": f"webhook-{number}", "data": data, "metadata": {"webhook": {"event": "paid"}}}


def message(name: str, **data: Any) -> dict[str, Any]:
    return {"id": name, "data": data}


def test_each_message_gets_the_event_that_belongs_to_it():
    matcher = Matcher("event.data.id = message.data.id", [message("a", id=1), message("b", id=2)])
    assert not matcher.offer(event(1, id=3))
    assert matcher.offer(event(2, id=2))
    assert matcher.offer(event(3, id=1))
    assert matcher.left == []
    assert [(mine["id"], its["id"]) for mine, its in matcher.pairs] == [("a", "webhook-3"), ("b", "webhook-2")]


def test_a_message_takes_one_event_and_an_event_goes_to_one_message():
    matcher = Matcher("event.data.id = message.data.id", [message("a", id=1), message("b", id=1)])
    assert matcher.offer(event(1, id=1))
    assert [each["id"] for each in matcher.left] == ["b"]
    assert matcher.offer(event(2, id=1))
    assert not matcher.offer(event(3, id=1))


def test_an_event_that_another_run_took_is_given_back():
    matcher = Matcher("event.data.id = message.data.id", [message("a", id=1)])
    assert matcher.offer(event(1, id=1))
    matcher.take_back()
    assert [each["id"] for each in matcher.left] == ["a"]
    assert matcher.pairs == []
    assert matcher.offer(event(2, id=1))


@pytest.mark.parametrize("expression", ["event.data.missing", "message.data.id", '"yes"', "1"])
def test_what_is_not_true_does_not_match(expression: str):
    assert not Matcher(expression, [message("a", id=1)]).offer(event(1, id=1))


def test_an_event_with_which_the_expression_fails_belongs_to_none_and_ends_nothing():
    matcher = Matcher("$number(event.data.id) = message.data.id", [message("a", id=1), message("b", id=2)])
    assert not matcher.offer(event(1, id="x"))
    assert "`match` failed for message webhook-1" in str(matcher.failure)
    assert matcher.offer(event(2, id="2"))
    assert [each["id"] for each in matcher.left] == ["a"]
    assert "webhook-1" in str(matcher.failure)


def test_the_answer_has_the_event_and_passes_the_message_through():
    made = answered({**message("a", id=1), "passthrough": {"first": {"data": 0}}}, event(7, ok=True), "paid")
    assert made == {
        "id": "a",
        "data": {"ok": True},
        "metadata": {"webhook": {"event": "paid"}},
        "passthrough": {"first": {"data": 0}, "paid": {"data": {"id": 1}}},
    }
