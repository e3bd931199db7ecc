"""Names and versions as a manifest takes them, out of those that others gave."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable

_FUNCTION = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,2}([.-][0-9A-Za-z]+)*")
_PREFIXES = ("airbyte-", "flowmate-", "tap-", "target-", "source-", "destination-")
_MAX = 64


def connector_name(*candidates: str | None) -> str:
    """Return the first of some names that can be made a connector's, such as that of an image or a title."""
    for candidate in candidates:
        text = _ascii(candidate or "").lower()
        text = re.sub(r"[^a-z0-9]+", "_", text).strip("_").lstrip("0123456789_")
        if text:
            return text[:_MAX].rstrip("_")
    return "connector"


def name_of_image(image: str) -> str:
    """Return what an image is called: without registry and tag."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[0]


def tag_of_image(image: str) -> str | None:
    """Return an image's tag."""
    return image.partition("@")[0].rpartition("/")[2].partition(":")[2] or None


def title_of_package(name: str) -> str:
    """Return what people call the system that a package such as `tap-google-sheets` is for."""
    words = name.lower()
    while found := next((prefix for prefix in _PREFIXES if words.startswith(prefix)), None):
        words = words.removeprefix(found)
    return re.sub(r"[-_]+", " ", words).strip().title() or name


def function_names(names: Iterable[str], taken: Collection[str] = ()) -> dict[str, str]:
    """Return for each function of an image the name that steps use: its own, where that can be."""
    used = set(taken)
    found: dict[str, str] = {}
    listed = list(names)
    for name in sorted(listed, key=lambda each: not _FUNCTION.fullmatch(each)):  # those that fit keep theirs
        base = name if _FUNCTION.fullmatch(name) else _function(name)
        candidate, number = base, 2
        while candidate in used:
            candidate = f"{base[: _MAX - 4]}_{number}"
            number += 1
        used.add(candidate)
        found[name] = candidate
    return {name: found[name] for name in listed}


def version(*candidates: object) -> str:
    """Return the first version that a manifest can state; `0.0.0` when there is none."""
    for candidate in candidates:
        text = str(candidate or "").strip().removeprefix("v").replace("+", "-")
        if len(text) <= _MAX and _VERSION.fullmatch(text):
            return text
    return "0.0.0"


def _function(name: str) -> str:
    text = re.sub(r"[^A-Za-z0-9_]+", "_", _ascii(name)).strip("_")
    return (text if text and not text[0].isdigit() else f"f_{text}")[:_MAX]


def _ascii(text: str) -> str:
    return unicodedata.normalize("NFKD", text[:500]).encode("ascii", "ignore").decode()
