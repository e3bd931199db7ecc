"""How a step asks for its Connection: until the credentials are there, and never for more than a task may have."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from flowmate_airflow.auth.credentials import Account, account_of
from flowmate_airflow.auth.grants import MARK, TOKEN
from flowmate_airflow.auth.names import PREFIX
from flowmate_airflow.auth.refusals import looking_name, refused_name
from flowmate_airflow.auth.views import VIEW, Problem, needs_view, problem_in
from flowmate_airflow.catalog.manifest import Manifest
from flowmate_airflow.steps.errors import ConfigFailure, StepError, TransientFailure

PATIENCE_SECONDS = 90.0
"""How long a step waits for credentials that are being renewed: a request to a provider ends after 30."""
PAUSE_SECONDS = (0.5, 1.5)
"""From one question to the next, at random between these: many tasks begin at the same moment."""
SETTING = "[secrets] backend = flowmate_airflow.auth.backend.FlowMateBackend"


def ask(
    get: Callable[[str], Any],
    conn_id: str,
    step: str,
    *,
    manifest: Manifest | None = None,
    refused: Account | None = None,
    sleep: Callable[[float], object] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> Account:
    """Return a step's Connection with fresh credentials.

    :param get: asks Airflow for a Connection, or has its parts
    :param step: the step's id, for errors
    :param manifest: the connector's that gets them
    :param refused: the Connection whose token the other system has refused before its time
    :raises ConfigFailure: somebody must link it anew, or change something
    :raises TransientFailure: there are no credentials just now
    :raises StoreError: it is linked for another connector, and nobody knows whether this one may use it
    """
    end = clock() + PATIENCE_SECONDS
    while True:
        got = _got(get, conn_id, refused)
        account = got if isinstance(got, Account) else account_of(got)
        problem = problem_in(account.extra.get(MARK))
        if problem is None:
            check_view(account, step, manifest)
            return account if manifest is None else _shared(account, manifest.name)
        pause = random.uniform(*PAUSE_SECONDS)  # noqa: S311  nothing secret
        if problem.kind != "pending" or clock() + pause > end:
            raise failure_of(problem, account, step)
        sleep(pause)


def failure_of(problem: Problem, account: Account, step: str) -> StepError:
    """Return how a step fails whose Connection has no credentials for it."""
    mark = account.extra.get(MARK)
    names = mark if isinstance(mark, Mapping) else {}
    tenant, connector = names.get("tenant"), names.get("connector")
    whose = f" of the tenant {str(tenant)[:100]!r}" if tenant else ""
    head = f"step `{step}`: the Connection `{account.conn_id}`{whose}"
    if problem.kind == "needs_reauth":
        command = f", or with `flowmate links reauth {tenant} {connector}`" if tenant and connector else ""
        return ConfigFailure(f"{head} needs a new login: {problem.text}. Link it again in Airflow's UI{command}")
    if problem.kind == "failed":
        return ConfigFailure(f"{head} has no credentials: {problem.text}")
    return TransientFailure(f"{head} has no credentials just now: {problem.text}")


def check_view(account: Account, step: str, manifest: Manifest | None = None) -> None:
    """Refuse a Connection that came as it is stored: with what brings credentials, which no task may have.

    :raises ConfigFailure: the secrets backend is not set, so that it did
    """
    mark = account.extra.get(MARK)
    names = mark if isinstance(mark, Mapping) else {}
    method = None if manifest is None else manifest.auth.get(str(names.get("method")))
    is_bare = method is not None and needs_view(method) and names.get(VIEW) is not True
    if TOKEN in account.extra or is_bare:
        raise ConfigFailure(
            f"step `{step}`: the Connection `{account.conn_id}` was linked, and Airflow hands it out as it is stored, "
            f"which is more than a task may have. Set `{SETTING}` for the API server"
        )


def _shared(account: Account, connector: str) -> Account:
    """Return a Connection as this connector's own where a symlink lets it use the one of another."""
    mark = account.extra.get(MARK)
    if not isinstance(mark, Mapping) or mark.get("connector") in (None, connector):
        return account
    from flowmate_airflow.store.linked import is_shared
    from flowmate_airflow.store.store import open_store

    if not is_shared(open_store(), account.conn_id, connector):
        return account  # whoever makes credentials of it says why it may not be
    return replace(account, extra={**account.extra, MARK: {**mark, "connector": connector}})


def _got(get: Callable[[str], Any], conn_id: str, refused: Account | None) -> Any:
    """Return what Airflow has, with what is wrong with it.

    :raises AirflowNotFoundException: there is no such Connection
    :raises PermissionError: it may not be had
    """
    from airflow.sdk.exceptions import AirflowNotFoundException

    known = [looking_name(conn_id)] if conn_id.startswith(PREFIX) else []
    if refused is not None and refused.password and MARK in refused.extra:
        known = [refused_name(conn_id, refused.password)]
    for name in known:
        with suppress(AirflowNotFoundException):  # it is none of FlowMate's, or its backend is not there
            return get(name)
    try:
        return get(conn_id)
    except (AirflowNotFoundException, PermissionError):
        if known:
            raise
        with suppress(AirflowNotFoundException, PermissionError):  # it may be one of FlowMate's by another name
            return get(looking_name(conn_id))
        raise
