"""Deliveries of a webhook become messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from flowmate_airflow.batches.message import Message
from flowmate_airflow.flows.expressions import compile_jsonata
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.mapping import evaluate
from flowmate_airflow.store.claims import Owner, read_claimed
from flowmate_airflow.store.deliveries import Delivery
from flowmate_airflow.store.store import Store

ID = "webhook-"
"""How the ids of the messages begin; the number of the delivery follows, so that a repeated message is known."""


def claimed_messages(store: Store, owner: Owner) -> Iterator[Message]:
    """Yield the messages of all deliveries that a run has.

    :raises StoreError: they cannot be read
    """
    for delivery, payload in read_claimed(store, owner):
        yield message_of(delivery, payload)


def message_of(delivery: Delivery, payload: bytes) -> Message:
    """Return the message of a delivery.

    :param payload: the event and what is known of the request, as JSON
    """
    stored: dict[str, Any] = orjson.loads(payload)
    event, http = stored.get("event") or {}, stored.get("http") or {}
    webhook = {
        "endpoint": delivery.endpoint,
        **({"tenant": delivery.tenant} if delivery.tenant else {}),
        "delivery": delivery.id,
        "delivery_id": delivery.delivery_id,
        "event": delivery.event,
        "type": event.get("type"),
        "source": event.get("source"),
        "received_at": delivery.received_at.isoformat(),
        "attempts": delivery.attempts,
        "content_type": event.get("datacontenttype"),
        **{name: http.get(name) for name in ("method", "path", "query", "headers")},
    }
    return {"id": f"{ID}{delivery.id}", "data": event.get("data"), "metadata": {"webhook": webhook}}


def delivery_number(message: Message) -> int | None:
    """Return the number of the delivery that a message was made of; None when it was made of none."""
    webhook = (message.get("metadata") or {}).get("webhook")
    number = webhook.get("delivery") if isinstance(webhook, Mapping) else None
    return number if isinstance(number, int) else None


class Matcher:
    """Finds the event for each of the messages that a step waits with.

    An event belongs to one message only, the first of those that match it, and a message takes one event. One with
    which the expression fails belongs to none: anybody's odd event would else end what waits for others.

    :param expression: JSONata over `{event, message}`
    :param messages: those that wait
    """

    def __init__(self, expression: str, messages: Sequence[Message]) -> None:
        self._compiled = compile_jsonata(expression)
        self._waiting = dict(enumerate(messages))
        self._matched: dict[int, tuple[Message, Message]] = {}
        self._last = -1
        self.failure: ConfigFailure | None = None
        """How the expression failed first, if it did."""

    @property
    def left(self) -> list[Message]:
        """The messages that still wait, in order."""
        return [self._waiting[number] for number in sorted(self._waiting)]

    @property
    def pairs(self) -> list[tuple[Message, Message]]:
        """The messages that have their event, as message and event, in order."""
        return [self._matched[number] for number in sorted(self._matched)]

    def offer(self, event: Message) -> bool:
        """Return whether an event belongs to a message that waits; it has its event then."""
        for number, message in self._waiting.items():
            if self._is_match(event, message):
                self._matched[number] = (self._waiting.pop(number), event)
                self._last = number
                return True
        return False

    def _is_match(self, event: Message, message: Message) -> bool:
        try:
            result = evaluate(self._compiled, {"id": event["id"], "event": event, "message": message}, "match")
        except ConfigFailure as failure:
            self.failure = self.failure or failure
            return False
        # Anything else than `true` is a mistake in the expression or a field that is not there: no match.
        return result is True

    def take_back(self) -> None:
        """Let the message wait again that has got the last event: the event belongs to somebody else."""
        self._waiting[self._last] = self._matched.pop(self._last)[0]


def answered(message: Message, event: Message, step: str) -> Message:
    """Return what a step hands on for a message that got its event: the event, with the message passed through.

    :param step: the id under which the message is found in `passthrough`
    """
    before = message.get("passthrough")
    passthrough = {**(before if isinstance(before, Mapping) else {}), step: {"data": message.get("data")}}
    return {**event, "id": str(message["id"]), "passthrough": passthrough}
