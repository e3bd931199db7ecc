"""Airflow's Connections for a local run: from the environment without Airflow, else by asking Airflow."""

from __future__ import annotations

import json
import os
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from flowmate_airflow.auth.asking import ask
from flowmate_airflow.auth.credentials import Account, missing_connection
from flowmate_airflow.auth.grants import TOKEN
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.steps.errors import ConfigFailure, StepError
from flowmate_airflow.store.errors import StoreError

ENVIRONMENT = "AIRFLOW_CONN_"
_EXTRA_KEY = "__extra__"


def find_account(
    conn_id: str, step: str, use: str, *, manifest: Manifest | None = None, refused: Account | None = None
) -> Account:
    """Return the Connection of that id.

    :param step: the step that names it, for errors
    :param manifest: the connector's that gets its credentials
    :param refused: the Connection as it was, when its token was refused before its time
    :raises ConfigFailure: there is none, or it cannot be read
    :raises TransientFailure: it has no credentials just now
    """
    found = _from_environment(conn_id, step)
    if found is None:
        return _from_airflow(conn_id, step, use, manifest, refused)
    if TOKEN not in found.extra:
        return found
    return ask(lambda _: _view(found), conn_id, step, manifest=manifest)


def _from_environment(conn_id: str, step: str) -> Account | None:
    text = os.environ.get(f"{ENVIRONMENT}{conn_id.upper()}")
    if not text:
        return None
    try:
        return _from_json(conn_id, text) if text.lstrip().startswith("{") else _from_uri(conn_id, text)
    except ValueError as error:
        # Never the text itself: it holds secrets.
        raise ConfigFailure(
            f"step `{step}`: the environment variable {ENVIRONMENT}{conn_id.upper()} is no Connection: {error}"
        ) from None


def _view(account: Account) -> Account:
    """Return what a step gets of a linked Connection that somebody has put into the environment."""
    from flowmate_airflow.auth.connections import Stored
    from flowmate_airflow.auth.origins import Found
    from flowmate_airflow.auth.serving import view_of_found

    names = ("login", "password", "host", "port", "schema", "extra")
    stored = Stored(account.conn_id, **{name: getattr(account, name) for name in names})
    return view_of_found(Found(stored, None, "environment")).account()


def _of_airflow(name: str) -> Any:
    """Return a Connection as Airflow has it, with fresh credentials also where its secrets backend is not ours.

    :raises AirflowNotFoundException: there is none
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    from flowmate_airflow.auth import origins, serving
    from flowmate_airflow.auth.refusals import split_name

    conn_id, refused = split_name(name)
    try:
        found = origins.find(conn_id, wrapped=origins.configured())
    except StoreError:
        if _has_connections():
            raise
        found = None  # this Airflow's database was never made
    if found is None:
        raise AirflowNotFoundException(conn_id)
    if not serving.is_ours(found.stored):
        return found.connection
    return serving.view_of_found(found, refused=refused).account()


def _has_connections() -> bool:
    from airflow.utils.session import create_session
    from sqlalchemy import inspect

    with create_session(scoped=False) as session:
        return bool(inspect(session.get_bind()).has_table("connection"))


def _from_json(conn_id: str, text: str) -> Account:
    try:
        value = json.loads(text)
        extra = value.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
    except ValueError:
        raise ValueError("it is not valid JSON") from None
    if not isinstance(extra, dict):
        raise ValueError("its `extra` is not an object")
    return Account(
        conn_id,
        value.get("login"),
        value.get("password"),
        value.get("host"),
        _port(value.get("port")),
        value.get("schema"),
        extra,
    )


def _from_uri(conn_id: str, uri: str) -> Account:
    """Read a Connection's URI as Airflow does: `type://login:password@host:port/schema?extra`.

    The host may have a scheme of its own: `type://https://host`.
    """
    _, separator, rest = uri.partition("://")
    if not separator:
        raise ValueError("it is neither JSON nor a URI")
    parts = urlsplit(rest if "://" in rest else f"//{rest}")
    host = unquote(parts.hostname) if parts.hostname else None
    try:
        port = parts.port
    except ValueError:
        raise ValueError("its port is not a number") from None
    extra: Any = dict(parse_qsl(parts.query, keep_blank_values=True))
    if _EXTRA_KEY in extra:
        try:
            extra = json.loads(extra[_EXTRA_KEY])
        except ValueError:
            raise ValueError(f"its {_EXTRA_KEY} is not valid JSON") from None
    return Account(
        conn_id,
        unquote(parts.username) if parts.username else None,
        unquote(parts.password) if parts.password else None,
        f"{parts.scheme}://{host}" if host and parts.scheme else host,
        port,
        unquote(parts.path[1:]) or None,
        extra if isinstance(extra, dict) else {},
    )


def _port(value: Any) -> int | None:
    try:
        return int(value) if value else None
    except (TypeError, ValueError):
        raise ValueError("its port is not a number") from None


def _from_airflow(conn_id: str, step: str, use: str, manifest: Manifest | None, refused: Account | None) -> Account:
    try:
        from airflow.sdk.exceptions import AirflowNotFoundException

        try:
            return ask(_of_airflow, conn_id, step, manifest=manifest, refused=refused)
        except AirflowNotFoundException:
            raise missing_connection(conn_id, step, use) from None
    except StepError:
        raise
    except Exception as error:
        raise ConfigFailure(
            f"step `{step}` ({use}): Airflow could not be asked for the Connection `{conn_id}` "
            f"({type(error).__name__}: {error}); set {ENVIRONMENT}{conn_id.upper()} to do without it"
        ) from None
