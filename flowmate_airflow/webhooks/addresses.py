"""The addresses that others post to, made of the configuration and never of what a request says."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from flowmate_airflow.settings import SECTION, SettingError, api_base_url, setting

PATH = "/flowmate/hooks/"
"""Where the receiver is, below the API server's address; the endpoint's name follows."""


def public_url() -> str:
    """Return the API server's address as other systems reach it: `[flowmate] public_url`, else `[api] base_url`.

    :raises SettingError: there is none, or it is no address
    """
    for name, text in ((f"[{SECTION}] public_url", setting("public_url")), ("[api] base_url", api_base_url())):
        if text:
            try:
                return checked_base(text)
            except ValueError as error:
                raise SettingError(f"{name} {error}") from None
    raise SettingError(
        f"nobody knows the address at which others reach this Airflow; set [{SECTION}] public_url, "
        "such as https://hooks.example.com"
    )


def hook_url(endpoint: str, token: str | None = None, base: str | None = None, *, tenant: str = "") -> str:
    """Return the address of an endpoint.

    :param endpoint: its name
    :param token: what makes it hard to guess, where it should have one
    :param base: of the API server, :func:`public_url` by default
    :param tenant: whose address it is, where each has its own
    :raises SettingError: there is no such address in the configuration
    """
    # As a path may have it: some senders sign the address, and the receiver gets to see it decoded.
    parts = [quote(part, safe="~:@") for part in (endpoint, tenant or None, token) if part is not None]
    return f"{public_url() if base is None else base}{PATH}{'/'.join(parts)}"


def checked_base(text: str) -> str:
    """Return the address of an API server without a slash at its end.

    :raises ValueError: it is none; the text does not repeat it, as it may hold a password
    """
    try:
        parts = urlsplit(text.strip())
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_address = False
    if not is_address or not text.strip().isprintable() or " " in text.strip():
        raise ValueError("is no address; write it as https://hooks.example.com")
    if parts.username is not None or parts.query or parts.fragment:
        raise ValueError("may have no user, query or fragment; write it as https://hooks.example.com")
    return text.strip().rstrip("/")
