"""Names that a flow file may have, made of names that anybody gave."""

from __future__ import annotations

import re
from collections.abc import Set

from flowmate_airflow.catalog.names import ascii_of

MAX_ID = 80
_OTHER = re.compile(r"[^A-Za-z0-9_-]+")


def sanitised(text: str) -> str:
    """Return a text's letters, digits, `_` and `-`; what stands between them becomes `_`. May be empty."""
    return _OTHER.sub("_", ascii_of(text)).strip("_-")[:MAX_ID].rstrip("_-")


def step_id(text: str, taken: Set[str]) -> str:
    """Return a step's id.

    :param taken: ids that others have
    """
    name = sanitised(text) or "step"
    return unique(name if name[0].isalpha() else f"step_{name}", taken)


def flow_id(candidates: list[str | None], taken: Set[str]) -> str:
    """Return a flow's id made of the first candidate that gives one; `taken` holds ids in lower case."""
    names = (sanitised(text).lower() for text in candidates if text)
    return unique(next((name for name in names if name), "flow"), taken)


def unique(name: str, taken: Set[str]) -> str:
    """Return the name, or the name with the first number that makes it new."""
    number = 1
    candidate = name
    while candidate in taken:
        number += 1
        candidate = f"{name}_{number}"
    return candidate
