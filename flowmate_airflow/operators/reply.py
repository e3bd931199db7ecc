"""The operator that answers the caller of a webhook with what the flow made of the event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import orjson
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowSkipException
from airflow.task.trigger_rule import TriggerRule

from flowmate_airflow.batches.batch import read_batch
from flowmate_airflow.flows.webhookmodels import WEBHOOK
from flowmate_airflow.operators.step import airflow_failures
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.events import delivery_number
from flowmate_airflow.store.replies import MAX_REPLY, put_reply
from flowmate_airflow.store.store import open_store

REPLY = ".reply"
"""What follows a step's id in the id of the task that answers with its messages."""
MAX_MESSAGES = 1000
"""How many messages an answer may have."""


def answer_caller(context: Any, reply: Mapping[str, Any]) -> bool:
    """Answer the caller of the event that started a run, with what a component says; return whether there is one.

    Components of elastic.io and Open Integration Hub say it as `{statusCode, headers, body}`.

    :raises ConfigFailure: the reply is none, or too large
    :raises StoreError: the store cannot be written
    """
    event = context["ti"].xcom_pull(task_ids=WEBHOOK)
    number = _caller(event)
    if number is None:
        return False
    status, body = reply.get("statusCode", 200), reply.get("body")
    headers = reply.get("headers")
    named = {str(name).lower(): value for name, value in headers.items()} if isinstance(headers, Mapping) else {}
    content_type = named.get("content-type")
    if type(status) is not int or not 200 <= status <= 599:
        raise ConfigFailure(f"the component's reply has the status {status!r:.20}; it must be a number from 200 to 599")
    raw = body.encode() if isinstance(body, str) else b"" if body is None else orjson.dumps(body)
    if len(raw) > MAX_REPLY:
        raise ConfigFailure(f"the component's reply has {len(raw):,} bytes; {MAX_REPLY:,} are allowed")
    default = "text/plain; charset=utf-8" if isinstance(body, str) else "application/json"
    put_reply(open_store(), number, status, content_type if isinstance(content_type, str) else default, raw)
    return True


def _caller(event: Any) -> int | None:
    """Return the delivery whose sender waits, as the batch of the webhook's task tells it; None when it is not one."""
    if not isinstance(event, Mapping) or event.get("count") != 1:
        return None
    return delivery_number(next(read_batch(event)))


class ReplyOperator(BaseOperator):
    """Answer the caller of a webhook: with the data of the one message, or with a list of several.

    :param webhook: the task that handed on the event
    :param inputs: the task ids whose messages are the answer
    """

    template_fields: Sequence[str] = ()
    ui_color = "#e8f5e9"

    def __init__(self, *, webhook: str, inputs: Sequence[str], **kwargs: Any) -> None:
        # Without a message there is still a caller who waits.
        super().__init__(trigger_rule=TriggerRule.NONE_FAILED, **kwargs)
        self.webhook = webhook
        self.inputs = list(inputs)

    def execute(self, context: Any) -> None:
        """Put the answer where the receiver looks for it."""
        with airflow_failures(None):
            event = context["ti"].xcom_pull(task_ids=self.webhook)
            number = _caller(event)
            if number is None:
                raise AirflowSkipException("nobody waits for an answer")
            answers = list(islice(self._answers(context), MAX_MESSAGES + 1))
            body = orjson.dumps(answers[0] if len(answers) == 1 else answers) if answers else b""
            if len(answers) > MAX_MESSAGES or len(body) > MAX_REPLY:
                raise ConfigFailure(
                    f"the answer is too large: up to {MAX_MESSAGES:,} messages and {MAX_REPLY:,} bytes are answered"
                )
            put_reply(open_store(), number, 200 if answers else 204, "application/json" if answers else "", body)
            self.log.info("The caller of delivery %s gets %s messages", number, f"{len(answers):,}")

    def _answers(self, context: Any) -> Any:
        for task in self.inputs:
            value = context["ti"].xcom_pull(task_ids=task)
            for batch in value if isinstance(value, list) else [value]:
                if batch is not None:
                    yield from (message["data"] for message in read_batch(batch))
