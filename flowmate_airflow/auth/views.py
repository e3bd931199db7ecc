"""What a task gets of a stored Connection: the credential to send, and nothing that could bring another one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from flowmate_airflow.auth.connections import Stored
from flowmate_airflow.auth.grants import MARK, PROBLEM, TOKEN, Grant
from flowmate_airflow.auth.leaving import LEAVING
from flowmate_airflow.auth.values import CLIENT_ID, CLIENT_SECRET, Client
from flowmate_airflow.catalog.auth import SessionAuth
from flowmate_airflow.catalog.authmethod import AuthMethod
from flowmate_airflow.catalog.oauth import OAuth1, OAuth2

VIEW = "view"
"""The key beside `connector` that says that it is a view."""
EXPIRES_AT = "expires_at"
"""The key beside `connector` with the end of the credential, in seconds since 1970."""
Kind = Literal["needs_reauth", "pending", "cooling", "failed"]
_BRINGING = (TOKEN, CLIENT_ID, CLIENT_SECRET, "certificate", "private_key")
"""Keys of an extra with what brings credentials, whoever has filled it in."""
_SHOWN = ("connector", "method", "tenant", LEAVING)


@dataclass(frozen=True, slots=True)
class Problem:
    """Why there are no credentials.

    :param kind: `needs_reauth`: until somebody links anew; `pending`: ask again in a moment; `cooling`: the other
        system could not be asked, and will be later; `failed`: somebody must change something
    :param text: one sentence for people
    """

    kind: Kind
    text: str


def needs_view(method: AuthMethod) -> bool:
    """Whether what is stored for this method brings credentials, rather than being them."""
    return isinstance(method, OAuth2 | SessionAuth) or (isinstance(method, OAuth1) and method.legs == 3)


def view_of(stored: Stored, method: AuthMethod, client: Client | None = None) -> Stored:
    """Return what a task gets, with the credentials that the stored Connection has now.

    :param client: the application, whose secret OAuth 1 signs with
    """
    if not needs_view(method):
        return replace(stored, extra={**_without(stored.extra, {TOKEN}), MARK: _marked(stored.mark)})
    grant = stored.grant
    view = replace(
        stored,
        description=None,
        login=stored.login if _is_for_tasks(method, "login") else None,
        password=None if grant is None else grant.access_token,
        host=stored.host if _is_for_tasks(method, "host", "url") else None,
        port=stored.port if _is_for_tasks(method, "port", "url") else None,
        schema=stored.schema if _is_for_tasks(method, "schema") else None,
        extra={**_without(_extra(stored, method), {TOKEN}), MARK: _marked(stored.mark, grant)},
    )
    return _signing(view, grant, client) if isinstance(method, OAuth1) else view


def problem_view(stored: Stored, problem: Problem) -> Stored:
    """Return what a task gets where there are no credentials for it: why."""
    mark = {**_marked(stored.mark), PROBLEM: {"kind": problem.kind, "text": problem.text}}
    return Stored(stored.conn_id, stored.conn_type, extra={MARK: mark})


def problem_in(mark: Any) -> Problem | None:
    """Return the problem that a view tells of.

    :param mark: what its extra has under :data:`MARK`
    """
    told = mark.get(PROBLEM) if isinstance(mark, Mapping) else None
    if not isinstance(told, Mapping):
        return None
    kind, text = told.get("kind"), told.get("text")
    known: dict[Any, Kind] = {"needs_reauth": "needs_reauth", "pending": "pending", "cooling": "cooling"}
    return Problem(known.get(kind, "failed"), str(text or "there are no credentials"))


def _marked(mark: Mapping[str, Any], grant: Grant | None = None) -> dict[str, Any]:
    """Return the mark of a view."""
    shown = {name: mark[name] for name in _SHOWN if name in mark}
    end = {} if grant is None or grant.expires_at is None else {EXPIRES_AT: grant.expires_at}
    return {**shown, VIEW: True, **end}


def _extra(stored: Stored, method: AuthMethod) -> dict[str, Any]:
    """Return the extra without what only a login needs."""
    if "extra" in method.login_parts.values():  # a login needs all of it; a task gets what it is asked for
        return {name: value for name, value in stored.extra.items() if f"extra.{name}" in _for_tasks(method)}
    bringing = {part.removeprefix("extra.") for part in method.login_parts.values() if part.startswith("extra.")}
    hidden = {name for name in {*_BRINGING, *bringing} if f"extra.{name}" not in _for_tasks(method)}
    return _without(stored.extra, hidden)


def _is_for_tasks(method: AuthMethod, *parts: str) -> bool:
    """Whether a part, under one of its names, is handed out: it is for functions, or not only for logins."""
    named = set(parts)
    return named.isdisjoint(method.login_parts.values()) or not named.isdisjoint(_for_tasks(method))


def _for_tasks(method: AuthMethod) -> frozenset[str]:
    """Return the parts that the manifest hands to functions, or has a login tell them."""
    return frozenset(method.parts.values()) | method.filled()


def _signing(view: Stored, grant: Grant | None, client: Client | None) -> Stored:
    """Return a view with all that OAuth 1 signs requests with."""
    texts = {
        "token_secret": None if grant is None else grant.token_secret,
        "consumer_secret": None if client is None else client.client_secret,
    }
    extra = {**view.extra, **{name: text for name, text in texts.items() if text is not None}}
    return replace(view, login=None if client is None else client.client_id, extra=extra)


def _without(extra: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    return {name: value for name, value in extra.items() if name not in names}
