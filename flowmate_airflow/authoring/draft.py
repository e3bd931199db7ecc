"""A manifest on its way to a file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Draft:
    """What is known about a connector.

    :param values: the manifest, as it will stand in `connector.yaml`
    :param icon: the bytes of its icon
    :param notes: what its author should know: what was left out or guessed
    """

    values: dict[str, Any]
    icon: bytes | None = field(default=None, repr=False)
    notes: list[str] = field(default_factory=list)


def without_nothing(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that say something: no None, no empty text, list or object."""
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}


def readable(draft: Draft) -> Iterator[str]:
    """Yield what a draft has, for people."""
    values = draft.values
    for kind in ("triggers", "actions"):
        if values.get(kind):
            yield f"{kind}: {', '.join(values[kind])}"
    if values.get("auth"):
        yield f"auth: {', '.join(values['auth'])}"
