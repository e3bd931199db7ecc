"""Connectors that register a webhook, seen from the host's side of the pipes."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from connector_process import Outcome, run_process

from flowmate_airflow.protocols.base import Request
from flowmate_airflow.protocols.component import config_line
from flowmate_airflow.protocols.events import SubscriptionEvent

Author = Callable[[str], Path]

HOOK = """
import datetime

@connector.webhook('order_created')
def order_created(ctx, message):
    return {'order': message.data['id'], 'event': message.metadata['webhook']['event']}

@connector.subscribe('order_created')
def subscribe(ctx):
    print('subscribing', ctx.webhook)
    hook = ctx.webhook
    if ctx.config.get('plain'):
        return {'id': 7}
    return Subscription({'id': hook.id, 'before': hook.subscription, 'url': hook.url, 'events': hook.events,
                         'given': hook.secret, 'endpoint': hook.endpoint},
                        datetime.datetime(2026, 1, 31, 8), 'chosen')

@connector.unsubscribe('order_created')
def unsubscribe(ctx):
    if ctx.webhook.subscription is None:
        raise TransientError('is it there?')
    ctx.logger.info('removed %s', ctx.webhook.subscription['id'])

@connector.subscribe('only_made')
def only_made(ctx):
    return float('nan')
"""
WEBHOOK = {
    "url": "https://hooks.example.com/flowmate/hooks/orders/token-in-url",
    "endpoint": "orders",
    "id": "flowmate-1",
    "secret": "our secret",
    "events": {"scheme": "github", "options": {}},
}


def ask(path: Path, *arguments: str, config: dict[str, Any] | None = None, **webhook: Any) -> Outcome:
    context = {"flow": "f", "step": "s", "webhook": {**WEBHOOK, **webhook}}
    return run_process([path.name, *arguments], config_line(Request(config=config or {}, context=context)), path.parent)


def subscribed(outcome: Outcome) -> SubscriptionEvent:
    (event,) = (event for event in outcome.events if isinstance(event, SubscriptionEvent))
    return event


def test_a_function_subscribes_with_what_it_is_told(author: Author) -> None:
    done = ask(author(HOOK), "subscribe", "order_created", subscription={"id": 1})
    event = subscribed(done)
    assert done.code == 0
    assert event.subscription == {
        "id": "flowmate-1",
        "before": {"id": 1},
        "url": WEBHOOK["url"],
        "events": WEBHOOK["events"],
        "given": "our secret",
        "endpoint": "orders",
    }
    assert (event.expires_at, event.secret) == (datetime(2026, 1, 31, 8, tzinfo=timezone.utc), "chosen")


def test_neither_secret_nor_token_is_in_what_is_printed_of_a_webhook(author: Author) -> None:
    done = ask(author(HOOK), "subscribe", "order_created", config={"plain": True}, subscription={"key": "hidden"})
    assert "subscribing Webhook(id='flowmate-1'" in done.stderr
    for hidden in ("our secret", "token-in-url", "hidden"):
        assert hidden not in done.stderr


def test_data_alone_is_a_subscription_that_never_ends(author: Author) -> None:
    done = ask(author(HOOK), "subscribe", "order_created", config={"plain": True})
    assert subscribed(done) == SubscriptionEvent({"id": 7})


def test_a_function_takes_it_back(author: Author) -> None:
    done = ask(author(HOOK), "unsubscribe", "order_created", subscription={"id": 7})
    assert (done.code, [log.text for log in done.logs if log.text.startswith("removed")]) == (0, ["removed 7"])


def test_it_says_why_it_could_not(author: Author) -> None:
    done = ask(author(HOOK), "unsubscribe", "order_created")
    assert (done.code, [(error.text, error.failure_type) for error in done.errors]) == (
        75,
        [("is it there?", "transient")],
    )


def test_events_are_messages(author: Author) -> None:
    path = author(HOOK)
    message = b'{"type":"MESSAGE","message":{"id":"1","data":{"id":5},"metadata":{"webhook":{"event":"created"}}}}\n'
    done = run_process([path.name, "run", "order_created"], config_line(Request()) + message, path.parent)
    assert done.messages == [
        {"id": "1", "data": {"order": 5, "event": "created"}, "metadata": {"webhook": {"event": "created"}}}
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("subscribe", "other"), "has no function to subscribe for other"),
        (("unsubscribe", "only_made"), "has no function to unsubscribe for only_made"),
        (("subscribe",), "it does run FUNCTION, subscribe FUNCTION"),
        (("subscribe", "only_made"), "not valid JSON"),
    ],
)
def test_what_cannot_be_done_is_an_error_of_one_line(author: Author, arguments: tuple[str, ...], told: str) -> None:
    done = ask(author(HOOK), *arguments)
    assert done.code != 0
    assert told in done.errors[0].text


def test_without_a_webhook_there_is_nothing_to_register(author: Author) -> None:
    path = author(HOOK)
    done = run_process([path.name, "subscribe", "order_created"], config_line(Request()), path.parent)
    assert (done.code, done.errors[0].failure_type) == (78, "config")
    assert "names no webhook" in done.errors[0].text


def test_two_functions_for_one_trigger_are_refused(author: Author) -> None:
    done = ask(author(HOOK + "\n@connector.subscribe('order_created')\ndef twice(ctx): pass\n"), "describe")
    assert "has two functions that subscribe for order_created" in done.stderr
