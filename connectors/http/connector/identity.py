"""Who the connector is to the other system, and the one host that may learn it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import requests
from flowmate_connector import ConfigError
from requests.auth import AuthBase, HTTPBasicAuth

_METHODS = ("none", "basic", "bearer", "api_key")
_TOKENS = ("accessToken", "access_token", "token")
"""What a manifest calls a token that goes with each request; the last two are what logins by OAuth 2 and by a session
bring where it does not say."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class _NoAuth(AuthBase):
    """Set on purpose: without an `auth`, requests would look into a .netrc file."""

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        return request


class _Header(AuthBase):
    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers[self._name] = self._value
        return request


class _QueryParameter(AuthBase):
    def __init__(self, name: str, value: str) -> None:
        self._name, self._value = name, value

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        parts = urlsplit(request.url or "")
        # A link to the next page may carry the key already.
        pairs = [pair for pair in parse_qsl(str(parts.query), keep_blank_values=True) if pair[0] != self._name]
        query = urlencode([*pairs, (self._name, self._value)])
        request.url = str(parts._replace(query=query).geturl())
        return request


@dataclass(frozen=True)
class Identity:
    """The credentials of a step.

    :param method: the name of the method of the manifest
    :param base_url: the connection's address, which relative URLs are relative to
    :param auth: puts the credentials into a request
    """

    method: str
    base_url: str | None
    auth: AuthBase = field(repr=False)

    @property
    def is_secret(self) -> bool:
        """Whether a request carries something that no other host may see."""
        return not isinstance(self.auth, _NoAuth)

    @classmethod
    def of(cls, credentials: Mapping[str, Any]) -> Identity:
        """Return the identity of a step's credentials.

        :raises ConfigError: the method is unknown or a part of it is missing
        """
        method = str(credentials.get("auth") or _guess(credentials))
        if method not in _METHODS:  # of another manifest with this image: what it gives says what it is
            method = _known(method, _guess(credentials))
        base_url = credentials.get("baseUrl") or None
        if base_url is not None:
            base_url = str(base_url)
            host_of(base_url)
        return cls(method, base_url, _auth(method, credentials))


def _guess(credentials: Mapping[str, Any]) -> str:
    for name, method in (*((name, "bearer") for name in _TOKENS), ("key", "api_key"), ("username", "basic")):
        if name in credentials:
            return method
    return "none"


def _known(method: str, guessed: str) -> str:
    if guessed == "none":
        raise ConfigError(
            f"the connection's auth method is {method!r}, not none, basic, bearer or api_key, and it gives none of "
            f"{', '.join(_TOKENS)}, key and username"
        )
    return guessed


def _auth(method: str, credentials: Mapping[str, Any]) -> AuthBase:
    if method == "none":
        return _NoAuth()
    if method == "basic":
        username = _needed(credentials, "username").encode("utf-8")
        return HTTPBasicAuth(username, _needed(credentials, "passphrase").encode("utf-8"))
    if method == "bearer":
        name = next((each for each in _TOKENS if each in credentials), _TOKENS[0])
        return _Header("Authorization", f"Bearer {_needed(credentials, name)}")
    key = _needed(credentials, "key")
    if credentials.get("queryParam"):
        return _QueryParameter(str(credentials["queryParam"]), key)
    return _Header(str(credentials.get("headerName") or "X-API-Key"), key)


def _needed(credentials: Mapping[str, Any], name: str) -> str:
    value = credentials.get(name)
    if not isinstance(value, str) or not value:
        raise ConfigError(f"the connection gives no `{name}`")
    if "\n" in value or "\r" in value:
        raise ConfigError(f"the connection's `{name}` has a line break in it")
    return value


def host_of(url: str) -> str:
    """Return the host and port of an absolute URL, in one spelling.

    :raises ConfigError: it is no http or https URL, or carries a user name
    """
    parts = split_url(url)
    port = parts.port or _DEFAULT_PORTS[parts.scheme]
    host = (parts.hostname or "").lower()
    return host if port == _DEFAULT_PORTS[parts.scheme] else f"{host}:{port}"


def split_url(url: str) -> SplitResult:
    """Return the parts of an absolute URL.

    :raises ConfigError: it is no http or https URL, or carries a user name
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in _DEFAULT_PORTS and bool(parts.hostname) and (parts.port or 0) >= 0
    except ValueError:
        raise ConfigError("a URL cannot be read; it has a broken host or port") from None
    if not valid:
        raise ConfigError(f"{shown(url)} is no absolute http or https URL")
    if parts.username is not None:
        raise ConfigError(f"the URL of {parts.hostname} has a user name in it; put it into a connection")
    return parts


def shown(url: str) -> str:
    """Return a URL fit for a log: without its query, which may hold a key, and without a user name."""
    bare = url.split("#")[0].split("?")[0]
    scheme, mark, rest = bare.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}" if mark else bare
