"""Where people may be sent when they have linked something: only where the configuration says."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from flowmate_airflow.settings import SECTION, SettingError, setting

OPTION = "return_urls"
MAX_URL = 2000
_PLAIN = re.compile(r"[\x21-\x7e]+")
_PORTS = {"http": 80, "https": 443}
_STEPS = re.compile(r"(^|/)\.{1,2}(/|$)")


class ReturnError(ValueError):
    """Nobody may be sent to an address."""


def checked_return(url: str) -> str:
    """Return an address that people may be sent to.

    It begins as an address of the option `return_urls` does: with the same scheme, host and port, and with its path, up
    to a slash or the end.

    :raises ReturnError: they may not; the text does not repeat the address
    :raises SettingError: the option cannot be read
    """
    try:
        origin, path = _taken_apart(url)
    except ValueError as error:
        raise ReturnError(f"the address to return to {error}") from None
    for allowed, prefix in return_urls():
        if origin == allowed and (path == prefix or path.startswith(f"{prefix.rstrip('/')}/")):
            return url
    raise ReturnError(f"the address to return to is none of those in [{SECTION}] {OPTION}")


def return_urls() -> list[tuple[str, str]]:
    """Return the option: origins, each with the beginning of a path.

    :raises SettingError: it has something else in it
    """
    found = []
    for text in re.split(r"[\s,]+", setting(OPTION).strip()):
        if text:
            try:
                found.append(_taken_apart(text))
            except ValueError as error:
                raise SettingError(f"[{SECTION}] {OPTION}: an address in it {error}") from None
    return found


def with_outcome(url: str, connector: str, status: str) -> str:
    """Return an address with what has happened in its query: `link=CONNECTOR&status=STATUS`."""
    parts = urlsplit(url)
    others = [(name, value) for name, value in parse_qsl(parts.query, True) if name not in ("link", "status")]
    return urlunsplit(parts._replace(query=urlencode([*others, ("link", connector), ("status", status)])))


def origin_of(url: str) -> str:
    """Return the origin of an address as browsers write it: scheme, host, and the port where it is another one.

    :raises ValueError: it has none
    """
    parts = urlsplit(url)
    host = parts.hostname
    if parts.scheme not in _PORTS or not host:
        raise ValueError("must begin with https:// and a host")
    name = f"[{host}]" if ":" in host else host
    port = "" if parts.port in (None, _PORTS[parts.scheme]) else f":{parts.port}"
    return f"{parts.scheme}://{name}{port}"


def _taken_apart(url: str) -> tuple[str, str]:
    """Return an address's origin and path.

    :raises ValueError: a browser might take it for another one than it looks like
    """
    if not isinstance(url, str) or len(url) > MAX_URL or not _PLAIN.fullmatch(url):
        raise ValueError(f"must have up to {MAX_URL} characters, all of them plain ASCII")
    try:
        origin = origin_of(url)
        parts = urlsplit(url)
    except ValueError:
        raise ValueError("must begin with https:// and a host") from None
    if "\\" in url or "@" in parts.netloc or "#" in url or not url.startswith(f"{parts.scheme}://"):
        raise ValueError("may have no user, no backslash and no fragment")
    if _STEPS.search(parts.path) or re.search(r"%(2e|2f|5c)", parts.path, re.IGNORECASE):
        raise ValueError("may have no `.` or `..` in its path, and no encoded dot or slash")
    return origin, parts.path or "/"
