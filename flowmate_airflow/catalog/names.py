"""Names of connectors and functions as manifests take them, out of those that others gave."""

from __future__ import annotations

import re
import unicodedata

MAX_NAME = 64
FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


def connector_slug(text: str) -> str:
    """Return a text as a connector's name; empty when it has no letter that one can have."""
    name = re.sub(r"[^a-z0-9]+", "_", ascii_of(text).lower()).strip("_").lstrip("0123456789_")
    return name[:MAX_NAME].rstrip("_")


def function_slug(text: str) -> str:
    """Return a text as a function's name: itself where it can be one; never empty."""
    if FUNCTION.fullmatch(text):
        return text
    name = re.sub(r"[^A-Za-z0-9_]+", "_", ascii_of(text)).strip("_")
    if not name:
        return "function"
    return (f"f_{name}" if name[0].isdigit() else name)[:MAX_NAME]


def ascii_of(text: str) -> str:
    """Return a text's letters without their accents; what has no such form is left out."""
    return unicodedata.normalize("NFKD", text[:500]).encode("ascii", "ignore").decode()
