"""The webhook that a connector registers with the other system, and what it answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any


@dataclass(frozen=True)
class Webhook:
    """What is to be registered, or taken back.

    :param url: where the other system shall send its events; it may hold a token
    :param id: stays the same for one subscription: put it where the other system keeps a name or a description, so
        that a subscription of which nobody was told can be found again
    :param endpoint: the name of the flow's endpoint
    :param secret: the events are to be signed with, where the flow has one
    :param events: how FlowMate will verify them: `scheme` and `options`
    :param subscription: what the function answered when it subscribed; None: it has not answered yet
    """

    url: str = field(repr=False)
    id: str = ""
    endpoint: str = ""
    secret: str | None = field(default=None, repr=False)
    events: Mapping[str, Any] = field(default_factory=dict)
    subscription: Any = field(default=None, repr=False)

    @classmethod
    def from_context(cls, value: Any) -> Webhook | None:
        """Return the webhook of a CONFIG line's context, None where there is none."""
        if not isinstance(value, dict) or not isinstance(value.get("url"), str):
            return None
        known = ("url", "id", "endpoint", "secret", "events", "subscription")
        return cls(**{name: value[name] for name in known if value.get(name) is not None})


@dataclass(frozen=True)
class Subscription:
    """What a function answers that has subscribed.

    :param data: any JSON value of at most 64 KiB, told to it again to renew the subscription and to take it back
    :param expires_at: when it ends unless it is renewed: a datetime (UTC where it has no zone) or a text in ISO form
    :param secret: with which the other system signs, where it is that system that chose it
    """

    data: Any = field(repr=False)
    expires_at: datetime | str | None = None
    secret: str | None = field(default=None, repr=False)

    def to_event(self) -> dict[str, Any]:
        """Return the line that tells the host."""
        moment = self.expires_at
        if isinstance(moment, datetime):
            moment = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).isoformat()
        return {"type": "SUBSCRIPTION", "subscription": self.data, "expires_at": moment, "secret": self.secret}
