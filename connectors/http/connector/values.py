"""Dotted paths into JSON."""

from __future__ import annotations

from typing import Any, Final

MISSING: Final = object()


def dig(value: Any, path: str) -> Any:
    """Return what lies at a path such as `data.items` or `pages.0.next`, or MISSING."""
    for key in path.split("."):
        if isinstance(value, dict) and key in value:
            value = value[key]
        elif isinstance(value, list) and key.isdecimal() and int(key) < len(value):
            value = value[int(key)]
        else:
            return MISSING
    return value


def keys_of(value: Any) -> str:
    """Say what a JSON value looks like, by its keys and never by its values."""
    if isinstance(value, dict):
        return "its keys are " + (", ".join(sorted(map(str, value))[:20]) or "none")
    return f"it is a {'list' if isinstance(value, list) else 'plain value'}"
