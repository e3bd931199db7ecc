"""Who is told: the Connections that `[flowmate] outgoing` names, and what each wants to know."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import urlsplit

from flowmate_airflow.auth.credentials import Account, account_of
from flowmate_airflow.flows.errors import did_you_mean
from flowmate_airflow.outgoing.news import EVENTS, News
from flowmate_airflow.settings import SettingError, setting

OPTION = "[flowmate] outgoing"
MAX_TARGETS = 20
MAX_PATTERNS = 100
STANDARD, HUB, BOTH = "standard", "hub", "both"
SIGNATURES = (STANDARD, HUB, BOTH)
FLOWMATE, HOTGLUE = "flowmate", "hotglue"
FORMS = (FLOWMATE, HOTGLUE)
PREFIX = "whsec_"
"""How the secrets of Standard Webhooks begin."""
_KEYS = ("path", "events", "flows", "signature", "payload", "allow_private")


class TargetError(Exception):
    """A Connection cannot be a target; the text says why, and holds nothing secret."""


@dataclass(frozen=True, slots=True)
class Target:
    """An application that is told.

    :param url: where it listens; it may hold a token
    :param events: patterns of the events that it wants
    :param flows: patterns of the flows that it wants to hear of
    :param signature: one of :data:`SIGNATURES`
    :param payload: one of :data:`FORMS`
    :param allow_private: whether the address may be one of a private network, and plain HTTP
    """

    conn_id: str
    url: str = field(repr=False)
    secret: str = field(repr=False)
    events: tuple[str, ...] = ("*",)
    flows: tuple[str, ...] = ("*",)
    signature: str = STANDARD
    payload: str = FLOWMATE
    allow_private: bool = False

    def wants(self, news: News) -> bool:
        """Whether it wants to be told; news of no flow in particular is told whatever flows it wants."""
        flow = news.flow
        return self.wants_event(news.event) and (flow is None or self.wants_flow(flow))

    def wants_event(self, event: str) -> bool:
        """Whether it wants to know of events of that name."""
        return any(fnmatchcase(event, pattern) for pattern in self.events)

    def wants_flow(self, flow: str) -> bool:
        """Whether it wants to hear of a flow."""
        return any(fnmatchcase(flow, pattern) for pattern in self.flows)


def target_names() -> tuple[str, ...]:
    """Return the conn_ids of all targets.

    :raises SettingError: there are too many
    """
    names = tuple(dict.fromkeys(name.strip() for name in setting("outgoing").split(",") if name.strip()))
    if len(names) > MAX_TARGETS:
        raise SettingError(f"{OPTION} names {len(names)} Connections; {MAX_TARGETS} are allowed")
    return names


def find_target(conn_id: str) -> Target:
    """Return the target that a Connection describes, as Airflow finds it in this process.

    :raises TargetError: there is no such Connection, or it cannot be a target
    """
    from airflow.models.connection import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        found = Connection.get_connection_from_secrets(conn_id)
    except AirflowNotFoundException:
        raise missing_target(conn_id) from None
    return target_of(account_of(found))


def missing_target(conn_id: str) -> TargetError:
    """Return the error of a target whose Connection does not exist."""
    return TargetError(
        f"{OPTION} names the Connection `{conn_id}`, which does not exist; add it with `airflow connections add "
        f"{conn_id} --conn-type generic --conn-host https://… --conn-password {PREFIX}…`"
    )


def target_of(account: Account) -> Target:
    """Return the target that a Connection describes.

    :raises TargetError: it cannot be one
    """
    extra, conn_id = account.extra, account.conn_id
    for key in extra:
        if key not in _KEYS:
            hint = did_you_mean(str(key), _KEYS) or f"it may have {', '.join(_KEYS)}"
            raise TargetError(f"the extra of the Connection `{conn_id}` has an unknown key `{str(key)[:50]}`; {hint}")
    target = Target(
        conn_id,
        _url(account),
        account.password or "",
        _patterns(account, "events"),
        _patterns(account, "flows"),
        _choice(account, "signature", SIGNATURES),
        _choice(account, "payload", FORMS),
        _is_true(account, "allow_private"),
    )
    _check_events(target)
    _check_secret(target)
    _check_url(target)
    return target


def _url(account: Account) -> str:
    url, path = account.part("url"), account.extra.get("path", "")
    if url is None:
        raise TargetError(f"the Connection `{account.conn_id}` has no host; write for example https://app.example.com")
    if not isinstance(path, str):
        raise _wrong(account, "path", "must be a text")
    return f"{str(url).rstrip('/')}/{path.lstrip('/')}" if path else str(url)


def _patterns(account: Account, key: str) -> tuple[str, ...]:
    value = account.extra.get(key, ["*"])
    if isinstance(value, str):  # as an environment variable's URI has it
        value = [part.strip() for part in value.split(",") if part.strip()]
    if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
        raise _wrong(account, key, "must be a list of texts")
    if not 0 < len(value) <= MAX_PATTERNS:
        raise _wrong(account, key, f"must have 1 to {MAX_PATTERNS} entries")
    return tuple(value)


def _choice(account: Account, key: str, choices: Sequence[str]) -> str:
    value = account.extra.get(key, choices[0])
    if not isinstance(value, str) or value not in choices:
        raise _wrong(account, key, f"must be one of {', '.join(choices)}")
    return value


def _is_true(account: Account, key: str) -> bool:
    words: Mapping[Any, bool] = {True: True, False: False, "true": True, "false": False}
    value = account.extra.get(key, False)
    if not isinstance(value, bool | str) or value not in words:
        raise _wrong(account, key, "must be true or false")
    return words[value]


def _wrong(account: Account, key: str, what: str) -> TargetError:
    return TargetError(f"`{key}` in the extra of the Connection `{account.conn_id}` {what}")


def _check_events(target: Target) -> None:
    for pattern in target.events:
        if not any(fnmatchcase(event, pattern) for event in EVENTS):
            hint = did_you_mean(pattern, EVENTS) or f"there are {', '.join(EVENTS)}"
            raise TargetError(f"the Connection `{target.conn_id}` wants `{pattern[:50]}`, which is no event; {hint}")


def _check_secret(target: Target) -> None:
    """Check that there is something to sign with: nothing is sent unsigned."""
    if target.signature == HUB:
        if len(target.secret) < 16:
            raise TargetError(
                f"the Connection `{target.conn_id}` has no password of 16 characters or more to sign with"
            )
        return
    try:
        size = len(base64.b64decode(target.secret.removeprefix(PREFIX), validate=True))
    except (binascii.Error, ValueError):
        size = 0
    if not target.secret.startswith(PREFIX) or not 24 <= size <= 64:
        raise TargetError(
            f"the password of the Connection `{target.conn_id}` is no secret of Standard Webhooks: {PREFIX} and 24 to "
            f"64 random bytes in base64, such as printed by: echo {PREFIX}$(openssl rand -base64 32)"
        )


def _check_url(target: Target) -> None:
    try:
        parts = urlsplit(target.url)
        is_url = bool(parts.hostname) and parts.port != 0 and parts.username is None and target.url.isprintable()
    except ValueError:
        is_url, parts = False, urlsplit("")
    if not is_url or parts.fragment or " " in target.url:
        raise TargetError(
            f"the host of the Connection `{target.conn_id}` is no address such as https://app.example.com"
        )
    if parts.scheme != "https" and not (parts.scheme == "http" and target.allow_private):
        raise TargetError(f"the address of the Connection `{target.conn_id}` must begin with https://")
