"""An endpoint: what the receiver knows of a flow's webhook. It travels in the extra of an Airflow asset."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from types import NoneType
from typing import Any

from flowmate_airflow.flows.errors import shown

NAME = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}(~[A-Za-z_][A-Za-z0-9_-]{0,99})?$"
"""What an endpoint may be called: a flow's id, or that and the id of a step that waits, as `FLOW~STEP`."""
MAX_NAME = 240
"""Characters of a name: it is part of an asset's name, whose column is not much longer."""
WAITS = "~"
"""What stands between a flow's id and that of a step that waits."""
EXTRA = "flowmate"
"""The key of the asset's extra under which the endpoint stands."""
URI = "flowmate://webhooks/"
"""How the URIs of the assets begin; the endpoint's name follows."""

DAY = 24 * 60 * 60
_NAME = re.compile(NAME)
_NUMBER = (int, float)
_TYPES: Mapping[str, tuple[type, ...]] = {
    **{"scheme": (str,), "options": (Mapping,), "connection": (str, NoneType), "order_by": (str, NoneType)},
    **{"max_body": (int,), "rate": (int,), "keep": (int,), "encrypt": (bool,)},
    **{"reply": (*_NUMBER, NoneType), "debounce": _NUMBER, "tenants": (bool,), "connector": (str, NoneType)},
}
_BOUNDS = {
    **{"max_body": (1, 64 * 1024 * 1024), "rate": (1, 10_000_000), "keep": (0, 3650 * DAY)},
    **{"debounce": (0, 60 * 60), "reply": (0, 5 * 60)},
}
"""Between what values lie: as flows may say them."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One address that others post to.

    :param scheme: how its senders prove who they are, a name of :data:`flowmate_airflow.webhooks.schemes.SCHEMES`
    :param options: what refines the scheme
    :param connection: the conn_id of the Connection with the secrets
    :param max_body: bytes that a request's body may have
    :param rate: requests that it takes a minute
    :param encrypt: whether payloads are encrypted in the store
    :param keep: seconds that the payload of a finished delivery is kept
    :param reply: seconds that the sender waits for the flow's answer; None: it is answered at once
    :param order_by: dotted path into the data, to what must stay in order
    :param debounce: seconds that it must have been quiet before a run is started
    :param tenants: whether each tenant has an address of its own below this one, with a token; there is none for all
    :param connector: the connector of these tenants' links, which may hold the secret of a tenant's sender
    """

    name: str
    scheme: str = "standard"
    options: Mapping[str, Any] = field(default_factory=dict)
    connection: str | None = None
    max_body: int = 1024 * 1024
    rate: int = 6000
    encrypt: bool = False
    keep: int = 7 * DAY
    reply: float | None = None
    order_by: str | None = None
    debounce: float = 0
    tenants: bool = False
    connector: str | None = None

    @property
    def asset_name(self) -> str:
        """The name of its asset."""
        return f"webhook {self.name}"

    @property
    def uri(self) -> str:
        """The URI of its asset."""
        return f"{URI}{self.name}"

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON, without its name and what is as by default."""
        default = asdict(Endpoint(self.name))
        return {name: value for name, value in asdict(self).items() if value != default[name]}

    @classmethod
    def from_json(cls, name: str, value: Any) -> Endpoint:
        """Return what :meth:`as_json` made.

        :raises ValueError: it is none, or one of a newer FlowMate
        """
        known = {each.name for each in fields(cls)} - {"name"}
        if not isinstance(value, Mapping) or not known.issuperset(value):
            raise ValueError(f"the endpoint {name} is described in a way that this FlowMate does not know")
        return cls(name, **value).checked()

    def checked(self) -> Endpoint:
        """Return it, whoever made it: a DAG may have it by hand.

        :raises ValueError: its name or one of its values cannot be
        """
        if len(self.name) > MAX_NAME or not _NAME.fullmatch(self.name):
            raise ValueError(
                f"{shown(self.name)} cannot be the name of a webhook's endpoint: up to {MAX_NAME} letters, digits and "
                "_ . -, as a flow's id, or that and a step's id as FLOW~STEP"
            )
        for name, types in _TYPES.items():
            value = getattr(self, name)
            if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
                raise ValueError(f"`{name}` of the endpoint {self.name} is {shown(value)}, which it cannot be")
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= most:  # nor what is no number
                raise ValueError(
                    f"`{name}` of the endpoint {self.name} is {shown(value)}; it must be from {least:,} to {most:,}"
                )
        return self
