"""A Connection's parts under the names that a connector's manifest declares."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, quote_plus

from flowmate_airflow.auth.grants import MARK
from flowmate_airflow.catalog.auth import RENEWED
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.steps.errors import ConfigFailure

METHOD_KEY = "auth"
"""The key of a Connection's extra that picks one of a connector's ways to authenticate."""
EXPIRES_AT = "expires_at"
"""What connectors of ours get beside a token that is over at some time: when, in seconds since 1970."""


@dataclass(frozen=True, slots=True)
class Account:
    """The parts of an Airflow Connection, as Airflow names them. Never shown: it holds secrets."""

    conn_id: str
    login: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    host: str | None = field(default=None, repr=False)
    port: int | None = field(default=None, repr=False)
    schema: str | None = field(default=None, repr=False)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def part(self, source: str) -> Any:
        """Return a part by its name in a manifest, such as `password` or `extra.token`; None when it is not set."""
        if source == "url":
            return self._url()
        if source.startswith("extra."):
            return self.extra.get(source.removeprefix("extra."))
        value = getattr(self, source)
        return dict(value) if source == "extra" else value

    def _url(self) -> str | None:
        if not self.host:
            return None
        host = self.host if "://" in self.host else f"{self.schema or 'https'}://{self.host}"
        head, separator, path = host.partition("://")
        name, slash, rest = path.partition("/")
        if name.count(":") > 1 and not name.startswith("["):
            name = f"[{name}]"  # an IPv6 address
        port = f":{self.port}" if self.port and ":" not in name.rpartition("]")[2] else ""
        return f"{head}{separator}{name}{port}{slash}{rest}"


def account_of(connection: Any) -> Account:
    """Return the parts of an Airflow Connection; an extra that is no JSON object counts as none."""
    extra: dict[str, Any] = {}
    with suppress(TypeError, ValueError):
        extra = dict(connection.extra_dejson)
    return Account(
        connection.conn_id,
        connection.login,
        connection.password,
        connection.host,
        connection.port,
        connection.schema,
        extra,
    )


def missing_connection(conn_id: str, step: str, use: str) -> ConfigFailure:
    """Return the failure of a step whose Connection does not exist, with how to add it."""
    return ConfigFailure(
        f"step `{step}` ({use}) names the Connection `{conn_id}`, which does not exist. "
        f"Add it in Airflow's UI under Admin, Connections, or with "
        f"`airflow connections add {conn_id} --conn-type generic --conn-login … --conn-password …`"
    )


def credentials_for(manifest: Manifest, account: Account | None, step: str) -> dict[str, Any]:
    """Return what the connector's function gets as credentials; `auth` names the method, to connectors of ours.

    The method is the one that the Connection was linked by, else the one that its extra names under `auth`, else the
    one that uses most of what the Connection has, else the first of the manifest.

    :param account: the Connection, or None when the step names none
    :param step: the step's id, for errors
    :raises ConfigFailure: no method of the connector fits the Connection, or it is linked for another connector
    """
    if account is None or not manifest.auth:
        return {}
    name = _method(manifest, account, step)
    method = manifest.auth[name]
    values = {**_values(method.optional, account), **_values(method.required, account)}
    if manifest.is_foreign:  # words of ours may mean something else to components that know nothing of us
        return values
    end = expires_at(account) if isinstance(method, RENEWED) else None
    return {METHOD_KEY: name, **({} if end is None else {EXPIRES_AT: end}), **values}


def is_renewed(manifest: Manifest, account: Account | None, step: str) -> bool:
    """Whether a connector of ours has a token that is over at some time, so that it may need another one.

    :raises ConfigFailure: no method of the connector fits the Connection
    """
    if account is None or not manifest.auth or manifest.is_foreign:
        return False
    return isinstance(manifest.auth[_method(manifest, account, step)], RENEWED)


def expires_at(account: Account | None) -> float | None:
    """Return when the token of a Connection is over, in seconds since 1970; None where nobody knows."""
    mark = None if account is None else account.extra.get(MARK)
    end = mark.get(EXPIRES_AT) if isinstance(mark, Mapping) else None
    return float(end) if isinstance(end, int | float) and not isinstance(end, bool) else None


def method_for(manifest: Manifest, account: Account, step: str) -> AuthMethod | None:
    """Return the method that a Connection is for, None where the connector has none.

    :raises ConfigFailure: none of the connector's fits the Connection
    """
    return manifest.auth[_method(manifest, account, step)] if manifest.auth else None


def _method(manifest: Manifest, account: Account, step: str) -> str:
    asked = _linked_method(manifest, account, step) or account.extra.get(METHOD_KEY)
    if asked is not None and (not isinstance(asked, str) or asked not in manifest.auth):
        raise ConfigFailure(
            f"the Connection `{account.conn_id}` of step `{step}` asks for the auth method {asked!r} in its extra; "
            f"`{manifest.name}` has {', '.join(manifest.auth)}"
        )
    candidates = [asked] if asked is not None else list(manifest.auth)
    fitting = [name for name in candidates if not _missing(manifest.auth[name], account)]
    if not fitting:
        wanted = "; ".join(f"{name} needs {', '.join(manifest.auth[name].required.values())}" for name in candidates)
        raise ConfigFailure(
            f"the Connection `{account.conn_id}` of step `{step}` lacks what `{manifest.name}` needs: {wanted}. "
            f"Set it with `airflow connections` or in Airflow's UI under Admin, Connections"
        )
    return max(fitting, key=lambda name: len(manifest.auth[name].required))


def _linked_method(manifest: Manifest, account: Account, step: str) -> Any:
    """Return the method that a Connection was linked by; None: it was not linked.

    :raises ConfigFailure: it was linked for another connector, which alone may have it
    """
    mark = account.extra.get(MARK)
    if not isinstance(mark, Mapping) or not mark:
        return None
    if mark.get("connector") not in (None, manifest.name):
        raise ConfigFailure(
            f"the Connection `{account.conn_id}` of step `{step}` is linked for the connector "
            f"{str(mark['connector'])[:100]!r}, so that `{manifest.name}` may not have it; link `{manifest.name}`, too"
        )
    return mark.get("method")


def _missing(method: AuthMethod, account: Account) -> list[str]:
    return [source for source in method.required.values() if account.part(source) in (None, "")]


def _values(names: Mapping[str, str], account: Account) -> dict[str, Any]:
    values = {name: account.part(source) for name, source in names.items()}
    return {name: value for name, value in values.items() if value not in (None, "")}


def secrets_of(account: Account | None, *, rare: bool = True) -> Iterator[str]:
    """Yield every text that must not turn up in a log: the secrets, their lines, and the forms they are written in.

    :param rare: also the forms in which they are seldom written
    """
    if account is None:
        return
    extra = {key: value for key, value in account.extra.items() if key not in (METHOD_KEY, MARK)}
    for secret in (account.password, *_texts(extra)):
        if not secret or len(secret) < 5:
            continue
        yield from dict.fromkeys((secret, *_forms(secret, rare)))
        lines = secret.splitlines()
        if len(lines) > 1:  # a key of many lines reaches the log line by line
            yield from (line for line in lines if len(line) >= 16)
    if account.login and account.password:
        yield _base64(f"{account.login}:{account.password}")


def _forms(secret: str, rare: bool) -> Iterator[str]:
    """Yield a secret as it is written in JSON, in a URL or form, in HTML, by Python, in base64 and in hexadecimal."""
    raw = secret.encode(errors="surrogatepass")
    for written in (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]):
        yield written
        if rare:
            yield json.dumps(written, ensure_ascii=written.isascii())[1:-1]  # JSON in a text of JSON
    for quoted in (quote(raw, safe=""), quote_plus(raw), quote(raw)):
        yield quoted
        yield re.sub("%[0-9A-F]{2}", lambda match: match[0].lower(), quoted)
    for inner in inner_base64(raw, places=3 if rare else 1):
        yield inner
        yield inner.translate(str.maketrans("+/", "-_"))
    if not rare:
        return
    marked_up = html.escape(secret)
    yield from (marked_up, marked_up.replace("&quot;", "&#34;").replace("&#x27;", "&#39;"))
    yield from (repr(secret)[1:-1], repr(raw)[2:-1])
    yield from (raw.hex(), raw.hex().upper())


def inner_base64(raw: bytes, places: int = 3) -> Iterator[str]:
    """Yield what base64 makes of bytes wherever they stand in a longer text: their place in three decides.

    The first and the last character, which their neighbours have a part in, are left out.

    :param places: how many of the three
    """
    for before in range(places):
        encoded = base64.b64encode(b"\0" * before + raw).decode()
        yield encoded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]


def _base64(text: str) -> str:
    return base64.b64encode(text.encode(errors="surrogatepass")).decode()


def texts_in(values: Mapping[str, Any], *, rare: bool = True) -> Iterator[str]:
    """Yield every text of some credentials, in the forms it is written in, that must not turn up in a log.

    :param rare: also the forms in which it is seldom written
    """
    for secret in _texts(values):
        if len(secret) >= 5:
            yield from dict.fromkeys((secret, *_forms(secret, rare)))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for child in value.values():
            yield from _texts(child)
    elif isinstance(value, list):
        for child in value:
            yield from _texts(child)
    elif isinstance(value, str):
        yield value
