"""Names and versions as a manifest takes them, out of those that others gave."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable

from flowmate_airflow.catalog.names import FUNCTION, MAX_NAME, connector_slug, function_slug

_VERSION = re.compile(r"[0-9]+(\.[0-9]+){0,2}([.-][0-9A-Za-z]+)*")
_PREFIXES = ("airbyte-", "flowmate-", "tap-", "target-", "source-", "destination-")


def connector_name(*candidates: str | None) -> str:
    """Return the first of some names that can be made a connector's, such as that of an image or a title."""
    for candidate in candidates:
        name = connector_slug(candidate or "")
        if name:
            return name
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
    for name in sorted(listed, key=lambda each: not FUNCTION.fullmatch(each)):  # those that fit keep theirs
        base = function_slug(name)
        candidate, number = base, 2
        while candidate in used:
            candidate = f"{base[: MAX_NAME - 4]}_{number}"
            number += 1
        used.add(candidate)
        found[name] = candidate
    return {name: found[name] for name in listed}


def version(*candidates: object) -> str:
    """Return the first version that a manifest can state; `0.0.0` when there is none."""
    for candidate in candidates:
        text = str(candidate or "").strip().removeprefix("v").replace("+", "-")
        if len(text) <= MAX_NAME and _VERSION.fullmatch(text):
            return text
    return "0.0.0"
