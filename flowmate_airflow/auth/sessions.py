"""Sessions: a request logs in, its answer has a token that is over at some time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flowmate_airflow.auth.answers import at, is_busy, metadata, parsed, pause, read, said
from flowmate_airflow.auth.errors import Kind, LoginError
from flowmate_airflow.auth.grants import Grant
from flowmate_airflow.auth.http import Answer
from flowmate_airflow.auth.placing import basic, sent
from flowmate_airflow.auth.tokens import LONGEST, Login, moment_of, number_of, token_text
from flowmate_airflow.catalog.auth import SessionAuth

TOKEN_TYPE = "session"  # noqa: S105
_YEAR_2001 = 1e9
"""Seconds since 1970: a number from there on is a moment, one below a time from now."""


def log_in(method: SessionAuth, values: Mapping[str, str]) -> Login:
    """Return the token of a new session.

    :raises LoginError: there is none; `needs_reauth` when the other system does not know what people filled in
    """
    headers = _basic(method, values) if method.login_auth == "basic" else {}
    answer = sent(method, method.login, values, form=method.form, headers=headers)
    secrets = [values.get(name) for name in method.inputs]
    if answer.status in (401, 403):
        more = said(parsed(answer.content), secrets) or answer.phrase
        raise LoginError(f"{answer.host} does not take the login: {more}", "needs_reauth")
    is_json = not method.token_path.startswith(("header:", "cookie:"))
    value = read(answer, secrets) if is_json or answer.content or answer.status >= 400 else None
    token = token_text(_token(method, answer, value), answer.host, f"token at `{method.token_path}`")
    grant = Grant(
        token, token_type=TOKEN_TYPE, expires_at=_expires_at(method, answer, value), obtained_at=answer.started
    )
    return Login(grant, metadata(value, method.token_metadata, answer.host))


def log_out(method: SessionAuth, values: Mapping[str, str], grant: Grant) -> bool:
    """End a session and return whether the other system did; False where the method has no way to.

    :raises LoginError: it could not be asked, or said no
    """
    if method.logout is None:
        return False
    tokens = {name: grant.access_token for name, part in method.parts.items() if part in method.produced}
    answer = sent(method, method.logout, {**values, **tokens})
    if answer.status in (401, 403):
        return True  # it was over before
    if answer.status >= 400:
        kind: Kind = "transient" if is_busy(answer) else "refused"
        raise LoginError(f"{answer.host} answered {answer.phrase} to the logout", kind, pause(answer))
    return True


def _basic(method: SessionAuth, values: Mapping[str, str]) -> dict[str, str]:
    names = {part: name for name, part in method.inputs.items()}
    return basic(values.get(names.get("login", "")), values.get(names.get("password", "")))


def _token(method: SessionAuth, answer: Answer, value: Any) -> Any:
    place, _, name = method.token_path.partition(":")
    if name and place == "header":
        return answer.headers.get(name)
    if name and place == "cookie":
        return answer.cookies.get(name)
    return at(value, method.token_path)


def _expires_at(method: SessionAuth, answer: Answer, value: Any) -> float:
    said = None if method.expires_path is None else at(value, method.expires_path)
    number = number_of(said)
    if number is not None and method.expires_unit != "date":
        seconds = number / 1000 if method.expires_unit == "ms" else number
        if 0 < seconds < _YEAR_2001:
            return answer.started + min(seconds, LONGEST)
    moment = moment_of(said, method.expires_unit, answer) if said else None
    return answer.started + method.expires_in if moment is None else moment
