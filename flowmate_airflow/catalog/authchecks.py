"""Checks of a method of `auth` that its model cannot make: what its templates stand for, and what goes together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from flowmate_airflow.catalog.auth import ApiKeyAuth, SessionAuth
from flowmate_airflow.catalog.authmethod import AuthMethod, Request
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2
from flowmate_airflow.catalog.placeholders import NAME, ends_open, names_in, names_in_host, texts_in
from flowmate_airflow.flows.errors import did_you_mean, shown

Path = tuple[str | int, ...]

_OURS = ("state", "redirect_uri", "response_type", "code_challenge", "code_challenge_method", "oauth_token")
"""Parameters of a consent that protect it."""
_HEADER = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A name of a header (RFC 9110, 5.1)."""


@dataclass(frozen=True, slots=True)
class Flaw:
    """What is wrong with a method, and where below it.

    :param offset: into the text there
    """

    path: Path
    message: str
    hint: str | None = None
    offset: int | None = None


def flaws(method: AuthMethod) -> Iterator[Flaw]:
    """Yield what is wrong with a method."""
    for path, value, known in _templates(method):
        yield from _unknown(path, value, known)
    for path, address in _addresses(method):
        yield from _address_flaws(method, path, address)
    for number, pattern in enumerate(method.hosts):
        if ends_open(pattern):
            yield from _forged(method, ("hosts", number), names_in(pattern))
    yield from _secrets_in_browser(method)
    yield from _unfit(method)


def _templates(method: AuthMethod) -> Iterator[tuple[Path, Any, set[str]]]:
    """Yield each place that may have templates, with the names that stand for something there."""
    before = _before(method)
    for key in ("authorize_url", "token_url", "refresh_url", "revoke_url", "issuer", "request_url", "access_url"):
        yield (key,), getattr(method, key, None), before
    for key in ("authorize_params", "token_params", "refresh_params", "token_headers", "jwt", "form"):
        value = getattr(method, key, None)
        yield (key,), value.model_dump() if key == "jwt" and value is not None else value, before
    yield ("hosts",), list(method.hosts), before
    for key, known in (("login", before), ("logout", before | _produced(method)), ("verify", _after(method))):
        request = getattr(method, key, None)
        if isinstance(request, Request):
            found = request.model_dump(by_alias=True, include={"url", "headers", "params", "json_"})
            yield (key,), found, known


def _before(method: AuthMethod) -> set[str]:
    """Return the names that stand for something while there is a login."""
    signing = {"login", "password", "extra.consumer_secret", "extra.token_secret"} if _is_consent1(method) else set()
    known = {name for name, part in method.parts.items() if part not in method.produced | signing}
    if isinstance(method, OAuth2):
        known |= {"client_id", "scope"}
    if isinstance(method, OAuth1):
        known.add("consumer_key")
    return known | set(method.login_parts)


def _produced(method: AuthMethod) -> set[str]:
    return {name for name, part in method.parts.items() if part in method.produced}


def _after(method: AuthMethod) -> set[str]:
    """Return the names that stand for something once there are credentials."""
    return (_before(method) | set(method.parts)) - set(method.login_parts)


def _is_consent1(method: AuthMethod) -> bool:
    return isinstance(method, OAuth1) and method.legs == 3


def _unknown(path: Path, value: Any, known: set[str]) -> Iterator[Flaw]:
    for below, text in texts_in(value):
        for match in NAME.finditer(text):
            if match[1] not in known:
                hint = did_you_mean(match[1], known) or "name it under `required` or `optional`"
                message = f"`{{{match[1]}}}` stands for no credential here"
                yield Flaw((*path, *below), message, hint, match.start())


def _addresses(method: AuthMethod) -> Iterator[tuple[Path, str]]:
    for key in ("authorize_url", "token_url", "refresh_url", "revoke_url", "issuer", "request_url", "access_url"):
        address = getattr(method, key, None)
        if address is not None:
            yield (key,), address
    for key in ("login", "logout", "verify"):
        request = getattr(method, key, None)
        if isinstance(request, Request):
            yield (key, "url"), request.url


def _address_flaws(method: AuthMethod, path: Path, address: str) -> Iterator[Flaw]:
    if address.startswith("http://") and not method.private:
        yield Flaw(path, f"{shown(address)} is without TLS", "write https://, or `private: true` for a test system")
    left = re.search(r"[{}]", NAME.sub("", address))
    if left is not None:
        yield Flaw(path, f"{shown(address)} has a `{left[0]}` alone", "write `{name}` for the credential of that name")
    host = re.split(r"[/?#\\]", address.partition("://")[2], maxsplit=1)[0]
    if "@" in host:
        yield Flaw(path, f"{shown(address)} has a user in it", "credentials have their own places")
    yield from _forged(method, path, names_in_host(address))


def _forged(method: AuthMethod, path: Path, names: Iterable[str]) -> Iterator[Flaw]:
    """Yield what the way back tells, of the names that say which host it is."""
    told = set(method.redirect_metadata.values()) if isinstance(method, OAuth2) else set()
    for name in names:
        # Whoever sends a person back chooses it: the client's secret would go wherever they like.
        if method.parts.get(name) in told:
            yield Flaw(path, f"`{{{name}}}` says which host it is, and anybody can send a person back with any")


def _secrets_in_browser(method: AuthMethod) -> Iterator[Flaw]:
    """Yield secrets in what a browser is sent to."""
    hidden = {name for name, part in {**method.parts, **method.login_parts}.items() if part == "password"}
    hidden |= {name for name, schema in method.fields.items() if schema.get("format") == "password"}
    for key in ("authorize_url", "authorize_params"):
        for below, text in texts_in(getattr(method, key, None)):
            for match in NAME.finditer(text):
                if match[1] in hidden:
                    yield Flaw(
                        (key, *below), f"`{{{match[1]}}}` is secret, and a browser shows this", None, match.start()
                    )


def _unfit(method: AuthMethod) -> Iterator[Flaw]:
    """Yield what does not go together."""
    for name in set(_OURS) & set(getattr(method, "authorize_params", {})):
        yield Flaw(("authorize_params", name), f"FlowMate itself says what `{name}` is", "leave it out")
    if isinstance(method, OAuth2) and method.require_issuer and method.issuer is None:
        yield Flaw(("require_issuer",), "there is no `issuer` to compare with", "add `issuer:`")
    if isinstance(method, ApiKeyAuth) and method.place == "header" and not _HEADER.fullmatch(method.name):
        yield Flaw(("name",), f"{shown(method.name)} cannot be the name of a header")
    for key in ("login", "logout", "verify"):
        request = getattr(method, key, None)
        if isinstance(request, Request) and request.method == "GET" and request.json_ is not None:
            yield Flaw((key,), "a GET has no body", "add `method: POST`")
    if isinstance(method, SessionAuth):
        yield from _unfit_session(method)


def _unfit_session(method: SessionAuth) -> Iterator[Flaw]:
    if method.form is not None and method.login.json_ is not None:
        yield Flaw(("form",), "a login has either `form` or `json`", "leave one of them out")
    if method.form is not None and method.login.method == "GET":
        yield Flaw(("login",), "a GET has no body", "add `method: POST`")
    if method.login_auth == "basic" and not {"login", "password"} <= set(method.inputs.values()):
        yield Flaw(
            ("login_auth",), "`inputs` asks for no login and password", "add `username: login` and `password: password`"
        )
