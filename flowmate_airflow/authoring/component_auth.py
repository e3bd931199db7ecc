"""The credentials of a component.json as ways to authenticate, from the parts of a Connection."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flowmate_airflow.authoring.texts import plain
from flowmate_airflow.authoring.views import is_oauth, is_secret

LOGINS = ("username", "user", "login", "email", "userName", "user_name")
PASSWORDS = ("passphrase", "password", "pass")
KEYS = ("key", "apiKey", "api_key", "apikey", "accessToken", "access_token", "token", "apiToken", "api_token", "secret")
ADDRESSES = ("baseUrl", "baseURL", "baseUri", "baseURI", "base_url", "url", "host", "hostname", "domainUrl")


def component_auth(credentials: Any, *, sailor: bool) -> dict[str, Any]:
    """Return the manifest's `auth` of a component.

    :param credentials: of its component.json
    :param sailor: whether it was written for elastic.io, whose components get what an OAuth login gave as one object
    """
    if not isinstance(credentials, Mapping):
        return {}
    given = credentials.get("fields")
    fields = (
        {str(name): each for name, each in given.items() if isinstance(each, Mapping)}
        if isinstance(given, Mapping)
        else {}
    )
    for kind, make in (("oauth2", _oauth2), ("oauth1", _oauth1)):
        if isinstance(credentials.get(kind), Mapping) or (kind == "oauth2" and any(map(is_oauth, fields.values()))):
            return {kind: make(fields, sailor), **_choice(fields)}
    if not fields:
        return {}
    choice = _choice(fields)
    if choice:
        return choice
    name, title = _kind(fields)
    return {name: {"title": title, **_parts(fields)}}


def sources(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """Return the part of a Connection that each credential comes from, each part once."""
    found: dict[str, str] = {}
    used: set[str] = set()
    for wanted, part in ((LOGINS, "login"), (PASSWORDS, "password"), (KEYS, "password"), (ADDRESSES, "url")):
        name = next((each for each in wanted if each in fields and each not in found), None)
        if name is not None and part not in used:
            found[name] = part
            used.add(part)
    # Components generated from an API's description call its credentials `auth_` and the API's own name for them.
    secrets = [name for name, field in fields.items() if is_secret(field) or name.startswith("auth_")]
    secrets = [name for name in secrets if name not in found]
    if "password" not in used and secrets:
        found[secrets[0]] = "password"
    for name in fields:
        if name not in found:
            found[name] = extra(name, used)
        used.add(found[name])
    return {name: found[name] for name in fields}


def extra(name: str, used: set[str]) -> str:
    """Return a part of the Connection's extra for a credential, which no other has, and note it as used."""
    word = re.sub(r"[^A-Za-z0-9_-]+", "_", name.rpartition(".")[2]) or "value"
    word = word if re.match("[A-Za-z_]", word) else f"_{word}"
    if word == "auth":  # it picks the method
        word = "auth_value"
    source, number = f"extra.{word}", 2
    while source in used:
        source = f"extra.{word}_{number}"
        number += 1
    used.add(source)
    return source


def _choice(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the way of a component that lets its user choose how to authenticate: the choice and all else in extra."""
    chosen = next((name for name, field in fields.items() if field.get("viewClass") == "HTTPAuthView"), None)
    if chosen is None:
        return {}
    used: set[str] = set()
    rest = {name: extra(name, used) for name, field in fields.items() if name != chosen and not is_oauth(field)}
    method = {"title": "HTTP authentication", "required": {chosen: extra(chosen, used)}, **_optional(rest)}
    return {"http": method}


def _parts(fields: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    parts = sources(fields)
    required = {name: parts[name] for name, field in fields.items() if field.get("required") is True}
    optional = {name: part for name, part in parts.items() if name not in required}
    if not required:  # nobody says what is needed, but without its secret no method works
        secret = next((name for name, part in parts.items() if part == "password"), None)
        if secret is not None:
            required = {secret: optional.pop(secret)}
    return {**({"required": required} if required else {}), **({"optional": optional} if optional else {})}


def _kind(fields: Mapping[str, Mapping[str, Any]]) -> tuple[str, str]:
    parts = sources(fields)
    secret = next((name for name, part in parts.items() if part == "password"), None)
    label = plain(fields[secret].get("label"), 80).rstrip(":") if secret else ""
    if secret and "login" in parts.values():
        return "basic", "User name and password"
    if secret and ("token" in secret.lower() or "bearer" in secret.lower()):
        return "token", label or "Access token"
    if secret and "key" in secret.lower():
        return "api_key", label or "API key"
    return "custom", "Credentials"


def _oauth2(fields: Mapping[str, Mapping[str, Any]], sailor: bool) -> dict[str, Any]:
    holder = next((name for name, field in fields.items() if is_oauth(field)), "oauth")
    token = f"{holder}.access_token" if sailor else "accessToken"
    rest = {name: field for name, field in fields.items() if not is_oauth(field)}
    others = _others(rest)
    return {"title": "OAuth 2", "required": {token: "password", **others[0]}, **_optional(others[1])}


def _oauth1(fields: Mapping[str, Mapping[str, Any]], sailor: bool) -> dict[str, Any]:
    holder = next((name for name, field in fields.items() if is_oauth(field)), "oauth")
    prefix, token, secret = (
        (f"{holder}.", "oauth_token", "oauth_token_secret") if sailor else ("", "accessToken", "accessTokenSecret")
    )
    rest = {name: field for name, field in fields.items() if not is_oauth(field)}
    others = _others(rest)
    required = {f"{prefix}{token}": "password", f"{prefix}{secret}": "extra.token_secret", **others[0]}
    return {"title": "OAuth 1", "required": required, **_optional(others[1])}


def _others(fields: Mapping[str, Mapping[str, Any]]) -> tuple[dict[str, str], dict[str, str]]:
    used = {"password", "extra.token_secret"}
    parts = {}
    for name in fields:
        address = name in ADDRESSES and "url" not in used
        parts[name] = "url" if address else extra(name, used)
        used.add(parts[name])
    required = {name: part for name, part in parts.items() if fields[name].get("required") is True}
    return required, {name: part for name, part in parts.items() if name not in required}


def _optional(parts: Mapping[str, str]) -> dict[str, Any]:
    return {"optional": dict(parts)} if parts else {}
