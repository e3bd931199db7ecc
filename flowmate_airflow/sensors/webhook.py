"""The sensor of webhooks: it hands on what others posted to an endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NoReturn

import orjson
from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from flowmate_airflow.batches.batch import BatchValue, BatchWriter
from flowmate_airflow.batches.message import Message
from flowmate_airflow.operators.replay import tenant_of
from flowmate_airflow.operators.step import airflow_failures, batch_writer, empty_in_replay, step_input
from flowmate_airflow.steps.errors import ConfigFailure
from flowmate_airflow.steps.events import answered, claimed_messages
from flowmate_airflow.steps.waiting import Found, find_events
from flowmate_airflow.store.claims import Owner, claim, settle
from flowmate_airflow.store.store import Store, open_store
from flowmate_airflow.triggers.webhook import WebhookTrigger, endpoint_asset
from flowmate_airflow.webhooks.endpoints import Endpoint

MAX_MESSAGES = 1000
"""How many messages may wait for their events in one task."""
MAX_TRIGGER_BYTES = 256 * 1024
"""Bytes of messages that the trigger compares events with; where they are more, each event wakes the task."""


class WebhookSensor(BaseSensorOperator):
    """Hand on the events that others posted to an endpoint, as messages; wait for them where there are none yet.

    It takes events for its run alone: no other run gets them, and a try that is repeated gets the same again. While it
    waits it is deferred, and takes no worker.

    Without `match` it takes what waits, the oldest first. With `match` it waits for one event for each message of its
    input, such as the call-back for each payment.

    Where each tenant has an address of their own, it takes the events of one tenant: that of the run's conf, `tenant`.

    :param webhook: the endpoint; the sensor makes it known to the receiver
    :param starts_run: whether the DAG is scheduled on the endpoint's asset. Then the task does not wait, but is skipped
        when there is no event, and the events are done when the run is: those of a run that failed go to another one
    :param batch: how many events it takes at most
    :param ordered: whether events about the same thing (the endpoint's `order_by`) must not be in two runs at once
    :param match: JSONata over `{event, message}`
    :param inputs: the task ids whose messages wait for an event each
    :param when: JSONata; messages for which it is not true are left out
    :param source: the step's YAML, to be shown
    :param timeout: how long it waits; then it fails
    """

    template_fields: Sequence[str] = ("source",)
    ui_color = "#e8f5e9"

    def __init__(
        self,
        *,
        webhook: Endpoint,
        starts_run: bool = False,
        batch: int = 1000,
        ordered: bool = False,
        match: str | None = None,
        inputs: Sequence[str] = (),
        when: str | None = None,
        source: str = "",
        timeout: timedelta | float = timedelta(days=1),
        **kwargs: Any,
    ) -> None:
        if (match is None) != (not inputs):
            raise ValueError("`match` compares events with the messages of `inputs`: give both, or none")
        if not starts_run:
            # The receiver knows the endpoints that Airflow has as assets. Nothing is started by this one.
            kwargs["inlets"] = [*kwargs.get("inlets", ()), endpoint_asset(webhook)]
        super().__init__(timeout=timeout, **kwargs)
        self.webhook = webhook.name
        self.tenants = webhook.tenants
        self.starts_run = starts_run
        self.batch = batch
        self.ordered = ordered
        self.match = match
        self.inputs = list(inputs)
        self.when = when
        self.source = source

    def render_template_fields(self, context: Any, jinja_env: Any = None) -> None:
        """Leave the fields as they are: they are shown, not rendered."""

    def execute(self, context: Any) -> BatchValue:
        """Hand on the events that are there, or wait for them."""
        until = datetime.now(timezone.utc) + timedelta(seconds=self.timeout)
        return self._take(context, until=until, after=0)

    def resume(self, context: Any, until: str, event: dict[str, Any]) -> BatchValue:
        """Go on when the trigger has seen an event, or the time is over."""
        late = bool(event.get("late"))
        return self._take(context, until=datetime.fromisoformat(until), after=int(event["last"]), late=late)

    def _take(self, context: Any, *, until: datetime, after: int, late: bool = False) -> BatchValue:
        writer = batch_writer(context)
        with airflow_failures(writer):
            empty = empty_in_replay(context, self.inputs)
            if empty is not None:
                return empty
            store, owner, tenant = open_store(), self._owner(context), self._tenant(context)
            if self.match is None:
                found = self._all(store, owner, tenant, writer)
            else:
                found = self._matching(store, owner, tenant, self.match, writer, context)
            if found is None:
                value = writer.finish()
                if not self.starts_run:
                    settle(store, owner, ok=True)  # last: they are not done until they are handed on
                return value
            writer.abort()
        if self.starts_run:
            raise AirflowSkipException("no events wait: the run has nothing to do")
        if late or datetime.now(timezone.utc) >= until:
            self._give_up(store, owner, found)
        self._defer(found.left, tenant, max(found.last, after), until)

    def _all(self, store: Store, owner: Owner, tenant: str, writer: BatchWriter) -> Found | None:
        """Write all that waits; return what there is where that is nothing."""
        taken = claim(store, owner, self.webhook, tenant, limit=self.batch, ordered=self.ordered)
        if not taken:
            return Found([], [], 0)
        for message in claimed_messages(store, owner):
            writer.write(message)
        self.log.info("%s events of %s", f"{writer.count:,}", self.webhook)
        return None

    def _matching(
        self, store: Store, owner: Owner, tenant: str, match: str, writer: BatchWriter, context: Any
    ) -> Found | None:
        """Write the events of all messages; return what there is where some have none yet."""
        messages = self._messages(context)
        found = find_events(store, owner, self.webhook, tenant, match, messages)
        self.log.info("%s of %s messages have their event", f"{len(found.pairs):,}", f"{len(messages):,}")
        if found.failure is not None:
            self.log.warning("An event with which the expression fails belongs to no message: %s", found.failure)
        if found.left:
            return found
        for message, event in found.pairs:
            writer.write(answered(message, event, self.inputs[0]))
        return None

    def _give_up(self, store: Store, owner: Owner, found: Found) -> NoReturn:
        """Fail, and let go of the events that some of the messages had: a run that is cleared finds them again."""
        with airflow_failures(None):
            settle(store, owner, ok=False, error=f"{owner} has waited in vain for others", delay=timedelta(0))
        what = f"no event came for {len(found.left):,} messages" if self.match is not None else "no event came"
        why = f"; {found.failure}" if found.failure is not None else ""
        raise AirflowFailException(f"{what} at the endpoint {self.webhook} in time{why}")

    def _messages(self, context: Any) -> list[Message]:
        lines = step_input(context, self.inputs, self.when).read()
        messages: list[Message] = []
        for line in lines:
            messages.append(orjson.loads(line))
            if len(messages) > MAX_MESSAGES:
                raise AirflowFailException(f"more than {MAX_MESSAGES:,} messages wait for an event; cut them before")
        return messages

    def _tenant(self, context: Any) -> str:
        """Return whose events these are; an empty text where the endpoint knows no tenants."""
        tenant = tenant_of(context) if self.tenants else ""
        if self.tenants and not tenant:
            raise ConfigFailure(
                f"each tenant has an address of their own at {self.webhook}: the run's conf must say for whom it is, "
                'as {"tenant": …}'
            )
        return tenant

    def _owner(self, context: Any) -> Owner:
        task_instance = context["ti"]
        index = task_instance.map_index
        task = task_instance.task_id if index < 0 else f"{task_instance.task_id}[{index}]"
        return Owner(task_instance.dag_id, task_instance.run_id, task)

    def _defer(self, left: Sequence[Message], tenant: str, after: int, until: datetime) -> NoReturn:
        fits = self.match is not None and len(orjson.dumps(left)) <= MAX_TRIGGER_BYTES
        self.defer(
            trigger=WebhookTrigger(
                endpoint=self.webhook,
                tenant=tenant,
                after=after,
                until=until.isoformat(),
                match=self.match if fits else None,
                messages=left if fits else None,
            ),
            method_name="resume",
            kwargs={"until": until.isoformat()},
        )
