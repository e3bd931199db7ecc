"""News: something that happened, and how it is told."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

RUN_STARTED = "run.started"
RUN_SUCCEEDED = "run.succeeded"
RUN_FAILED = "run.failed"
EVENTS = (RUN_STARTED, RUN_SUCCEEDED, RUN_FAILED, "link.created", "link.removed", "discover.finished")
"""Everything that can be told."""

MAX_BODY = 20_000
"""Bytes of a request's body: what Standard Webhooks advises."""
MAX_NEWS = 1024 * 1024
"""Bytes of JSON that are cut to that."""
CUT = "is_cut"
"""The key of the data that says that lists or texts in it were cut to fit."""
_SHORT = 100
_MESSAGE_ID = re.compile(r"[A-Za-z0-9_.-]{1,200}")


@dataclass(frozen=True, slots=True)
class News:
    """Something that happened.

    :param event: one of :data:`EVENTS`
    :param data: a JSON object; `flow` in it is the flow that the news is about
    :param message_id: the same for the same news, so that it is told once
    :param hotglue: the body in the form that hotglue's users know, where it has one
    :raises ValueError: the event or the id cannot be
    """

    event: str
    data: Mapping[str, Any] = field(repr=False)
    moment: datetime
    message_id: str
    hotglue: Mapping[str, Any] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.event not in EVENTS:
            raise ValueError(f"there is no event `{self.event}`; there are {', '.join(EVENTS)}")
        if not _MESSAGE_ID.fullmatch(self.message_id):
            raise ValueError(f"{self.message_id[:50]!r} cannot be the id of a webhook")

    @property
    def flow(self) -> str | None:
        """The flow that the news is about."""
        flow = self.data.get("flow")
        return flow if isinstance(flow, str) else None

    def body(self, form: str) -> bytes:
        """Return the body of the request that tells the news.

        :param form: `flowmate`, or `hotglue` for what hotglue tells, too
        :raises ValueError: the data is not JSON, or cannot be cut to fit
        """
        if form == "hotglue" and self.hotglue is not None:
            return fitting(self.hotglue)
        return envelope(self.event, self.moment, self.data)


def message_id(*parts: str) -> str:
    """Return the id of what some texts name: the same for the same."""
    return f"msg_{hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]}"


def envelope(event: str, moment: datetime, data: Mapping[str, Any]) -> bytes:
    """Return news as Standard Webhooks advises: type, timestamp, data.

    :raises ValueError: the data is not JSON, or cannot be cut to fit
    """
    return fitting({"type": event, "timestamp": timestamp(moment), "data": dict(data)})


def timestamp(moment: datetime) -> str:
    """Return a moment as text, in UTC."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def fitting(body: Mapping[str, Any]) -> bytes:
    """Return JSON of at most :data:`MAX_BODY` bytes: where it is longer, its longest lists and texts are cut.

    :raises ValueError: it is not JSON, or cannot be cut to fit
    """
    text = _json(body)
    if len(text) <= MAX_BODY:
        return text
    whole = json.loads(text)
    data = whole.get("data")
    (data if isinstance(data, dict) else whole)[CUT] = True
    while len(text) > MAX_BODY:
        parts = list(_parts(whole)) if len(text) <= MAX_NEWS else []
        if not parts:
            raise ValueError(f"the news is too long to be told: {len(text):,} bytes of JSON")
        holder, key = max(parts, key=lambda part: len(_json(part[0][part[1]])))
        holder[key] = holder[key][: len(holder[key]) // 2]
        text = _json(whole)
    return text


def _parts(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield where a list or a text is that can be cut: the object or list that holds it, and its place there."""
    places = list(value.items() if isinstance(value, dict) else enumerate(value))
    for key, child in places:
        if (isinstance(child, list) and len(child) > 1) or (isinstance(child, str) and len(child) > _SHORT):
            yield value, key
        if isinstance(child, dict | list):
            yield from _parts(child)


def _json(value: Any) -> bytes:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False).encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the news is not JSON: {error}") from None
