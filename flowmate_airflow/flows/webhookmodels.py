"""The models of what others send: the flow key `webhook` and the step `wait`."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any

from pydantic import Field

from flowmate_airflow.flows.values import CONNECTION_ID, Duration, FlowModel, StepId

WEBHOOK = "webhook"
"""The id of the task that hands on what a flow's webhook took; steps may name it under `needs`."""
ORDER_PATH = r"^data(\.[A-Za-z_][A-Za-z0-9_-]*)+$"


class EndpointOptions(FlowModel):
    """An address that another system posts to."""

    scheme: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,63}$")] | None = Field(
        default=None,
        description="How the sender proves who it is. Default: what the first step's trigger says, else `standard`.",
        examples=["github", "stripe", "hmac"],
    )
    options: dict[str, Any] = Field(
        default={}, description="What refines the scheme.", examples=[{"header": "X-Signature", "encoding": "base64"}]
    )
    connection: Annotated[str, Field(pattern=CONNECTION_ID)] | None = Field(
        default=None,
        description=(
            "The conn_id of the Airflow Connection with the secret: its password, and further ones as the list "
            "`secrets` of its extra while a secret is replaced."
        ),
    )
    max_body: Annotated[str, Field(pattern=r"^[1-9][0-9]{0,4}(k|m)$")] = Field(
        default="1m", description="The largest body of a request, up to 64m."
    )
    rate: Annotated[int, Field(ge=1, le=10_000_000)] = Field(
        default=6000, description="How many requests are taken a minute; more are told to come again later."
    )
    keep: Duration = Field(
        default=timedelta(days=7), description="How long the payload of a finished delivery is kept, for replays."
    )
    encrypt: bool = Field(default=False, description="Encrypt payloads in the store, with Airflow's fernet key.")


class ReplyOptions(FlowModel):
    """The caller waits, and gets what a step makes as the answer."""

    step: StepId | None = Field(
        default=None, description="The step whose message is the answer. Default: a component answers by itself."
    )
    within: Duration = Field(
        default=timedelta(seconds=20),
        description="How long the caller waits, up to 5m; after that it is told that its event was accepted.",
    )


class WebhookOptions(EndpointOptions):
    """What starts the flow instead of a schedule: events that another system sends."""

    batch: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1000, description="How many events one run takes at most. With `reply` it is one."
    )
    debounce: Duration | None = Field(
        default=None, description="Start when it was quiet for so long, or at the latest after ten times as long."
    )
    order_by: Annotated[str, Field(pattern=ORDER_PATH)] | None = Field(
        default=None,
        description="Where an event says what it is about: events about the same thing are never in two runs at once.",
        examples=["data.order.id"],
    )
    attempts: Annotated[int, Field(ge=1, le=100)] = Field(
        default=3, description="How many runs may fail with an event before it is left as `failed`, to be replayed."
    )
    reply: ReplyOptions | None = Field(default=None, description="Answer the caller with what the flow makes of it.")


class WaitOptions(FlowModel):
    """Waits for a call of another system that belongs to a message."""

    webhook: EndpointOptions = Field(
        default=EndpointOptions(), description="The address that is called: `/flowmate/hooks/FLOW~STEP`."
    )
    match: Annotated[str, Field(min_length=1)] = Field(
        description="JSONata over `{event, message}`: whether the event belongs to the message.",
        examples=["event.data.payment = message.data.payment_id"],
    )
    timeout: Duration = Field(
        default=timedelta(days=1), description="How long it waits for the events of all messages; then it fails."
    )
