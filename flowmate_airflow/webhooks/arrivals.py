"""What a request becomes that was let in: deliveries, each with the CloudEvent that is kept of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import orjson

from flowmate_airflow.store.deliveries import NewDelivery
from flowmate_airflow.store.payloads import MAX_PAYLOAD
from flowmate_airflow.webhooks import cloudevents
from flowmate_airflow.webhooks.bodies import JSON, Body, BodyError, decode, query_of
from flowmate_airflow.webhooks.incoming import Headers
from flowmate_airflow.webhooks.requests import Verified, bounded_id, bounded_text
from flowmate_airflow.webhooks.sources import at
from flowmate_airflow.webhooks.targets import Target, is_secret


@dataclass(frozen=True, slots=True)
class Arrival:
    """A request that was let in.

    :param query: as it came, without the question mark
    :param received_at: in UTC
    """

    target: Target
    verified: Verified
    method: str
    query: str = field(repr=False)
    headers: Headers = field(repr=False)
    body: bytes = field(repr=False)
    received_at: datetime

    @property
    def name(self) -> str:
        """What its address ends with, without the token."""
        endpoint, tenant = self.target.place
        return f"{endpoint}/{tenant}" if tenant else endpoint


def deliveries_of(arrival: Arrival) -> list[NewDelivery]:
    """Return the deliveries that a request brings: one, or one for each CloudEvent of a batch.

    :raises BodyError: the body cannot be taken
    """
    names = dict(arrival.headers)
    content_type = names.get("content-type")
    query = query_of(arrival.query)
    if cloudevents.is_structured(content_type):
        found = list(_events(arrival, str(content_type), query))
    else:
        body = decode(arrival.method, content_type, arrival.body, query)
        is_event = cloudevents.is_binary(names)
        found = [_event(arrival, content_type, body, query) if is_event else _plain(arrival, body, query)]
    if any(len(each.payload) > MAX_PAYLOAD for each in found):
        raise BodyError("what the body means is too large to be kept", 413)
    return found


def _plain(arrival: Arrival, body: Body, query: dict[str, Any]) -> NewDelivery:
    """Return the delivery of a request that is no CloudEvent: it becomes one."""
    endpoint, verified = arrival.target.endpoint, arrival.verified
    if verified.delivery_id is None and not arrival.target.signs:
        digest = os.urandom(32)  # its sender may well say the same twice
    else:
        digest = _digest(arrival, verified.delivery_id or "", arrival.body)
    event = {
        "specversion": "1.0",
        "id": verified.delivery_id or digest.hex(),
        "source": f"/webhooks/{endpoint.scheme}/{arrival.name}",
        "type": f"{endpoint.scheme}.{verified.event or 'event'}",
        "time": (verified.sent_at or arrival.received_at).isoformat(),
        "datacontenttype": JSON,
    }
    text = b'%b,"data":%b}' % (orjson.dumps(event)[:-1], body.text)
    return _delivery(arrival, text, body, query, digest, verified.delivery_id, verified.event)


def _event(arrival: Arrival, content_type: str | None, body: Body, query: dict[str, Any]) -> NewDelivery:
    """Return the delivery of a CloudEvent in headers. They may not be part of the proof, but the body is.

    Where the scheme has an id that counts: else the same could be sent again and again with other headers.
    """
    event = cloudevents.binary_event(arrival.headers, content_type, body)
    name = bounded_id(cloudevents.identity(event))
    digest = _digest(arrival, arrival.verified.delivery_id or name, arrival.body)
    return _delivery(arrival, cloudevents.as_text(event, body.text), body, query, digest, name, event["type"])


def _events(arrival: Arrival, content_type: str, query: dict[str, Any]) -> Iterator[NewDelivery]:
    for event in cloudevents.structured_events(content_type, arrival.body):
        name = bounded_id(cloudevents.identity(event))
        text = cloudevents.as_text(event)
        body = Body(event.get("data"), b"")
        yield _delivery(arrival, text, body, query, _digest(arrival, name, b""), name, event["type"])


def _delivery(
    arrival: Arrival,
    event: bytes,
    body: Body,
    query: dict[str, Any],
    digest: bytes,
    delivery_id: str | None,
    event_name: str | None,
) -> NewDelivery:
    endpoint = arrival.target.endpoint
    http: dict[str, Any] = {
        "method": arrival.method,
        "path": f"/{arrival.name}",
        "query": {name: text for name, text in query.items() if not is_secret(name)},
        "headers": _told(arrival),
    }
    if body.files:
        http["files"] = body.files
    return NewDelivery(
        endpoint=endpoint.name,
        digest=digest,
        payload=b'{"event":%b,"http":%b}' % (event, orjson.dumps(http)),
        tenant=arrival.target.tenant,
        delivery_id=delivery_id,
        event=(bounded_text(event_name) or None) if event_name else None,
        order_key=_order_key(endpoint.order_by, body.data) if endpoint.order_by else None,
        encrypt=endpoint.encrypt,
        received_at=arrival.received_at,
    )


def _told(arrival: Arrival) -> dict[str, str]:
    """Return the headers that the flow gets to see."""
    told: dict[str, str] = {}
    for name, text in arrival.headers:
        if arrival.target.keeps_header(name):
            told[name] = f"{told[name]}, {text}" if name in told else text
    return told


def _order_key(path: str, data: Any) -> str | None:
    """Return what a delivery is about: what stands at a path into the message; None where there is nothing."""
    value = at({"data": data}, path)
    return None if value is None or isinstance(value, dict | list) else str(value)


def _digest(arrival: Arrival, delivery_id: str, body: bytes) -> bytes:
    """Return what makes a delivery the same when it comes again."""
    # No name and no id has a NUL in it.
    parts = (*arrival.target.place, delivery_id)
    return hashlib.sha256("\0".join(parts).encode() + b"\0" + hashlib.sha256(body).digest()).digest()
