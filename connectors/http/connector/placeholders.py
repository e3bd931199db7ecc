"""`{field.path}` in a URL, filled from a message."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import quote

from flowmate_connector import ConfigError, MessageError

from .values import MISSING, dig

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_HOST = re.compile(r"^[a-zA-Z][a-zA-Z0-9+.-]*://[^/?#]*")


def fill(url: str, data: Any) -> str:
    """Return the URL with its placeholders filled in, percent-encoded.

    :raises ConfigError: a placeholder stands where the host is, or has no name
    :raises MessageError: the message has no usable value for a placeholder
    """
    host = _HOST.match(url)
    if host and "{" in host[0]:
        raise ConfigError("a placeholder may not stand in the host of `url`: a message must not pick who gets it")
    return _PLACEHOLDER.sub(lambda match: _value(match[1].strip(), data), url)


def _value(path: str, data: Any) -> str:
    if not path:
        raise ConfigError("`url` has an empty placeholder {}")
    value = dig(data, path)
    if value is MISSING or value is None:
        raise MessageError(f"the message has no `{path}` for the URL", "config")
    if isinstance(value, bool):
        value = "true" if value else "false"
    if not isinstance(value, str | int | float):
        raise MessageError(f"`{path}` of the message is no text or number, so it cannot go into the URL", "config")
    text = str(value)
    # An empty part or a dot would address the collection itself: a DELETE of one thing became one of all.
    if text.strip(". ") == "":
        raise MessageError(f"`{path}` of the message is {text!r}, which cannot be a part of a URL", "config")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise MessageError(f"`{path}` of the message is no valid Unicode text", "config") from None
